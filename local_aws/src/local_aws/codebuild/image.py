"""CodeBuild's images on this machine: a throwaway process environment for each build.

    env/     python, python3, pip, uv of the build's own, which holds nothing of the developer's
    home/    HOME; .config/pip/pip.conf says how pip reaches its index, as the developer's pip does
    tmp/     TMPDIR

What all builds share, read-only, is in the cache folder: pip, and a layer for each lock
(layers.py). `python -m local_aws.codebuild.image --lock FILE` makes layers ahead of time.
"""

import argparse
import configparser
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv

from local_aws.codebuild.layers import (
    LayerError,
    RealUv,
    ensure_layer,
    link_tree,
    protect,
)
from local_aws.containers.cache import default_cache_dir, make_cache_dir
from local_aws.containers.container import SYSTEM_PATH
from local_aws.containers.images import PIP_VARIABLES
from local_aws.containers.job_pip.environment import Interpreter
from local_aws.containers.job_pip.layer_cache import file_lock
from local_aws.errors import AwsError, LocalAwsError

logger = logging.getLogger(__name__)

# Image to the environment type that it needs.
KNOWN_IMAGES = {
    re.compile(r"aws/codebuild/amazonlinux-x86_64-standard:5\.0(-[\d.]+)?"): "LINUX_CONTAINER",
    re.compile(r"aws/codebuild/standard:[67]\.0(-[\d.]+)?"): "LINUX_CONTAINER",
    re.compile(r"aws/codebuild/amazonlinux-aarch64-standard:3\.0(-[\d.]+)?"): "ARM_CONTAINER",
}
# What uv needs from the developer's environment to reach an index and to keep its cache.
UV_VARIABLES = re.compile(
    r"UV_((DEFAULT_|EXTRA_)?INDEX(_URL|_STRATEGY|_\w+_(USERNAME|PASSWORD))?|FIND_LINKS|NO_INDEX"
    r"|OFFLINE|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|KEYRING_PROVIDER|CONFIG_FILE|HTTP_\w+"
    r"|CONCURRENT_\w+)|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)",
    re.IGNORECASE,
)
SETTINGS = "build-uv.json"
STAND_IN = """\
import os
import sys

CODE = "import sys; sys.path.insert(0, {project!r}); from local_aws.codebuild import build_uv; \\
build_uv.main(sys.argv[1], sys.argv[2], sys.argv[3:])"
RUN = [{interpreter!r}, "-I", "-S", "-c", CODE, {settings!r}, {parent}, *sys.argv[1:]]
os.execv(RUN[0], RUN)
"""
FIND_UV_BIN = """\
import os
import sys


def find_uv_bin():
    return os.path.join(sys.prefix, "bin", "uv")
"""


class BuildImageError(LocalAwsError):
    """What all builds need, or a layer, could not be installed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildEnvironment:
    """What a build starts with: its interpreter and the variables that its image brings."""

    python: Path
    variables: Mapping[str, str]


def check_image(image: str, environment_type: str) -> None:
    """Raise AwsError unless builds can run in that image and type of environment."""
    for pattern, wanted_type in KNOWN_IMAGES.items():
        if pattern.fullmatch(image):
            if environment_type != wanted_type:
                raise AwsError(
                    "InvalidInputException",
                    f"The environment type {environment_type} is not supported for the image "
                    f"{image}. Use {wanted_type}.",
                )
            return
    raise AwsError(
        "InvalidInputException",
        f"local_aws cannot run builds in the image {image}. It runs "
        "aws/codebuild/amazonlinux-x86_64-standard:5.0, aws/codebuild/standard:6.0 and :7.0, "
        "and aws/codebuild/amazonlinux-aarch64-standard:3.0.",
    )


class BuildImages:
    """Makes environments for builds. Safe to use from several threads."""

    def __init__(self, cache_dir: Path | None = None) -> None:
        self._cache_dir = (cache_dir or default_cache_dir()).absolute()
        self._lock = threading.Lock()
        self._interpreter: Interpreter | None = None

    def prepare(self, root: Path, visible_root: Path) -> BuildEnvironment:
        """A new environment in the folder `root`, which the build sees as `visible_root`.

        Raises BuildImageError when what it needs cannot be installed.
        """
        interpreter = self._find_interpreter()
        seen = visible_root / "env"
        _make_environment(root / "env", interpreter, self._ensure_base(interpreter))
        _add_uv(root / "env", seen, interpreter)
        settings = {
            "uv": uv.find_uv_bin(),
            "uv_variables": uv_variables(),
            "donor": dataclasses.asdict(interpreter),
            "python": str(seen / "bin" / "python3"),
            "layers_dir": str(_layers_dir(self._cache_dir)),
            "root": str(visible_root),
            "real_root": str(root),
        }
        _write_private(root / "env" / SETTINGS, json.dumps(settings))
        for name in ("home", "tmp"):
            (root / name).mkdir()
        _write_pip_config(root / "home")
        return BuildEnvironment(
            python=seen / "bin" / "python3",
            variables={
                "HOME": str(visible_root / "home"),
                "LANG": "C.UTF-8",
                "PATH": ":".join((str(seen / "bin"), *SYSTEM_PATH)),
                "TMPDIR": str(visible_root / "tmp"),
            },
        )

    def make_layer(self, lock: Path) -> Path:
        """The layer of a lock, made if it is missing. Raises BuildImageError."""
        if not lock.is_file():
            raise BuildImageError(f"there is no lock {lock}")
        interpreter = self._find_interpreter()
        real = RealUv(uv.find_uv_bin(), {**os.environ, **uv_variables()}, interpreter)
        try:
            layer = ensure_layer(lock, interpreter, _layers_dir(self._cache_dir), real)
        except LayerError as err:
            raise BuildImageError(f"could not install {lock}:\n{err}") from err
        if layer is None:
            raise BuildImageError(
                f"{lock} doesn't pin each package with ==, or names local code; "
                "only what a text determines can be cached"
            )
        return layer

    def python_version(self) -> str:
        """The Python that builds get, such as 3.12.4."""
        return self._find_interpreter().version

    def _find_interpreter(self) -> Interpreter:
        with self._lock:
            if self._interpreter is None:
                self._interpreter = Interpreter.of(Path(sys.executable))
            return self._interpreter

    def _ensure_base(self, interpreter: Interpreter) -> Path:
        """site-packages with what an image brings (pip), installed once, without a network."""
        pip = _pip_of(interpreter)
        facts = f"3 {interpreter.tag} {interpreter.version} {[entry.name for entry in pip]}"
        name = f"codebuild-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
        folder = self._cache_dir / name
        if not folder.is_dir():
            make_cache_dir(self._cache_dir)
            with file_lock(self._cache_dir / f"{name}.lock"):
                if not folder.is_dir():
                    _make_base(folder, pip)
        return folder / "site-packages"


def uv_variables() -> dict[str, str]:
    """How the real uv reaches its index and the developer's cache, whatever HOME is."""
    found = {k: v for k, v in os.environ.items() if UV_VARIABLES.fullmatch(k)}
    # uv looks for it below HOME, and HOME is another one in a build.
    found["UV_CACHE_DIR"] = os.path.abspath(os.environ.get("UV_CACHE_DIR") or _uv_cache_dir())  # noqa: PTH100
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "uv", "uv.toml")
    if settings.is_file():
        found.setdefault("UV_CONFIG_FILE", str(settings))
    return found


@functools.cache
def _uv_cache_dir() -> str:
    command = [uv.find_uv_bin(), "cache", "dir", "--color", "never"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def _layers_dir(cache_dir: Path) -> Path:
    return cache_dir / "build-layers"


def _pip_of(interpreter: Interpreter) -> Sequence[Path]:
    """The environment's own pip: Debian's Pythons have no ensurepip to make another with."""
    found = [
        entry
        for place in interpreter.site_packages
        for pattern in ("pip", "pip-*.dist-info")
        for entry in Path(place).glob(pattern)
    ]
    if not found:
        raise BuildImageError(f"there is no pip for builds in {interpreter.site_packages}")
    return found


def _make_base(folder: Path, pip: Sequence[Path]) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        finished = Path(scratch, "finished")
        for entry in pip:
            shutil.copytree(entry, finished / "site-packages" / entry.name)
        protect(finished)
        finished.rename(folder)
    logger.info("Made the build image's base in %.0f s", time.monotonic() - started)


def _make_environment(folder: Path, interpreter: Interpreter, base: Path) -> None:
    scripts = folder / "bin"
    scripts.mkdir(parents=True)
    (scripts / "python3").symlink_to(interpreter.base_python)
    for name in ("python", f"python{interpreter.minor_version}"):
        (scripts / name).symlink_to("python3")
    for name in ("pip", "pip3"):
        _write_script(scripts / name, '#!/bin/sh\nexec "$(dirname "$0")/python3" -m pip "$@"\n')
    home = Path(interpreter.base_python).parent
    (folder / "pyvenv.cfg").write_text(
        f"home = {home}\ninclude-system-site-packages = false\nversion = {interpreter.version}\n"
    )
    link_tree(base, _site_packages(folder, interpreter))


def _add_uv(folder: Path, seen: Path, interpreter: Interpreter) -> None:
    """Install the stand-in under uv's name and version, so that pip finds it there already."""
    site_packages = _site_packages(folder, interpreter)
    package = site_packages / "uv"
    package.mkdir()
    names = {
        "project": str(Path(__file__).resolve().parents[2]),
        "interpreter": sys.executable,
        "settings": str(seen / SETTINGS),
    }
    (package / "__init__.py").write_text(FIND_UV_BIN)
    (package / "__main__.py").write_text(STAND_IN.format(**names, parent="sys.executable"))
    command = f"#!{seen / 'bin' / 'python3'}\n" + STAND_IN.format(**names, parent="''")
    _write_script(folder / "bin" / "uv", command)
    distribution = importlib.metadata.distribution("uv")
    about = site_packages / f"uv-{distribution.version}.dist-info"
    about.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: uv\nVersion: {distribution.version}\n"
    (about / "METADATA").write_text(metadata)
    (about / "INSTALLER").write_text("local_aws\n")
    (about / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    installed = ["uv/__init__.py", "uv/__main__.py", "../../../bin/uv"]
    installed += [f"{about.name}/{name}" for name in ("METADATA", "INSTALLER", "WHEEL", "RECORD")]
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in installed))


def _write_pip_config(home: Path) -> None:
    """The developer's pip settings, from files and variables, as the settings of the build's pip.

    A file that only the user can read, not variables: they may hold a password.
    """
    config = configparser.RawConfigParser()
    config.read([Path.home() / ".pip/pip.conf", Path.home() / ".config/pip/pip.conf"])
    if not config.has_section("global"):
        config.add_section("global")
    for name, value in os.environ.items():
        if name == "PIP_CONFIG_FILE":
            config.read(value)
        elif name.upper().startswith("PIP_") and PIP_VARIABLES.fullmatch(name):
            config.set("global", name[4:].lower().replace("_", "-"), value)
    for option, names in {
        "proxy": ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
        "cert": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
    }.items():
        value = next((os.environ[name] for name in names if os.environ.get(name)), "")
        if value and not config.has_option("global", option):
            config.set("global", option, value)
    config.set("global", "disable-pip-version-check", "1")
    folder = home / ".config" / "pip"
    folder.mkdir(parents=True)
    _write_private(folder / "pip.conf", "")
    with (folder / "pip.conf").open("w") as file:
        config.write(file)


def _site_packages(folder: Path, interpreter: Interpreter) -> Path:
    return folder / "lib" / f"python{interpreter.minor_version}" / "site-packages"


def _write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Make what builds need ahead of time: the image's base, and a layer for each lock."""
    parser = argparse.ArgumentParser(
        prog="python -m local_aws.codebuild.image", description=main.__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "--lock",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="requirements whose layer is to be there; may be repeated (default: none)",
    )
    parser.add_argument(
        "--cache-dir", type=Path, default=default_cache_dir(), help="default: %(default)s"
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    images = BuildImages(arguments.cache_dir)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch).resolve()
            images.prepare(root, root)
        for lock in arguments.lock:
            started = time.monotonic()
            layer = images.make_layer(lock.absolute())
            logger.info("%s: %s (%.0f s)", lock, layer, time.monotonic() - started)
    except LocalAwsError as err:
        logger.error("%s", err)
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
