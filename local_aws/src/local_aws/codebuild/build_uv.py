"""The `uv` of a build: the developer's, which finds locked packages compiled in a cached layer.

    uv pip sync --python X ... LOCK
        the layer of LOCK is there, or made  (layers.py)
        its files are hard-linked into the environment of X
        the real uv gets the very same arguments, checks, and finds nothing to do
            (offline; only if it finds something to do, it runs again with its index)

Why: uv writes no compiled files, so each first import after `uv pip sync` would cost seconds. Any
other command goes to the real uv as it is, but for `--system` and `uv venv`: the build's Python
takes the place of the system's, which belongs to the developer, and may be too old or too new.

Runs on the interpreter of local_aws, without any installed package, in the build's environment.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from local_aws.codebuild.layers import LayerError, RealUv, ensure_layer, link_layer
from local_aws.containers.job_pip.environment import Interpreter

PLAIN_OPTIONS = frozenset(
    {"-q", "-qq", "--quiet", "-v", "--verbose", "--no-progress", "--require-hashes", "--strict"}
    | {"--verify-hashes", "--no-config", "--offline", "--compile-bytecode", "--no-deps", "--system"}
)
TARGET_OPTIONS = frozenset({"-p", "--python"})
FILE_OPTIONS = frozenset({"-r", "--requirement", "--requirements"})


@dataclass(frozen=True)
class LockedInstall:
    """`uv pip sync LOCK` or `uv pip install -r LOCK`; `python` is empty if none is named."""

    lock: Path
    python: str


def main(settings_path: str, parent: str, arguments: Sequence[str]) -> NoReturn:
    """Become the real uv; `parent` is the interpreter that said `-m uv`, empty for the command."""
    settings = json.loads(Path(settings_path).read_text())
    environment = {**settings["uv_variables"], **os.environ}
    environment.setdefault("UV_LINK_MODE", "copy")  # uv's cache is the developer's
    if environment.pop("UV_SYSTEM_PYTHON", ""):
        parent = settings["python"]
    words = [f"--python={settings['python']}" if w == "--system" else w for w in arguments]
    if _makes_environment(words):
        # The build's Python is an environment itself: uv would look for one of the system.
        environment.setdefault("UV_PYTHON", parent or settings["python"])
    target = _used_environment(settings["root"], environment)
    if parent or not target:
        # Else uv would look for a .venv in all folders above, and find the developer's.
        environment["UV_INTERNAL__PARENT_INTERPRETER"] = parent or settings["python"]
        target = Path(parent or settings["python"]).parent.parent
    install = parse(words)
    if install is not None:
        prefix = _prefix(install.python) if install.python else target
        if prefix is not None:
            donor = Interpreter(**settings["donor"])
            real = RealUv(settings["uv"], environment, donor)
            if _link(install.lock, prefix, settings, real):
                _check_offline(words, real)
    os.execve(settings["uv"], [settings["uv"], *words], environment)  # noqa: S606


def parse(arguments: Sequence[str]) -> LockedInstall | None:
    """What is installed from one file into which environment; None for any other command."""
    words = [word for word in arguments if word not in PLAIN_OPTIONS]
    if words[:2] not in (["pip", "sync"], ["pip", "install"]):
        return None
    files: list[str] = []
    python = ""
    rest = iter(words[2:])
    for word in rest:
        name, equals, value = word.partition("=")
        if name in TARGET_OPTIONS:
            python = value if equals else next(rest, "")
        elif name in FILE_OPTIONS and words[1] == "install":
            files.append(value if equals else next(rest, ""))
        elif word.startswith("-") or words[1] == "install":
            return None
        else:
            files.append(word)
    return LockedInstall(Path(files[0]), python) if len(files) == 1 and files[0] else None


def _makes_environment(words: Sequence[str]) -> bool:
    """Whether it is `uv venv`, and nobody says of which Python."""
    command = next((word for word in words if not word.startswith("-")), "")
    named = any(w.startswith("-p") or w.partition("=")[0] == "--python" for w in words)
    return command == "venv" and not named


def _used_environment(root: str, environment: Mapping[str, str]) -> Path | None:
    """The environment that uv finds by itself, inside of the build's folder."""
    if environment.get("VIRTUAL_ENV"):
        return Path(environment["VIRTUAL_ENV"])
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".venv" / "pyvenv.cfg").is_file():
            return folder / ".venv"
        if str(folder) == root:
            break
    return None


def _prefix(python: str) -> Path | None:
    """The folder of the environment that `--python` names by a path."""
    path = Path(python)
    for folder in (path, path.parent.parent):
        if (folder / "pyvenv.cfg").is_file():
            return folder.absolute()
    return None


def _link(lock: Path, prefix: Path, settings: Mapping[str, Any], uv: RealUv) -> bool:
    """Give the environment the lock's layer; the real uv says what is wrong, if anything is."""
    started = time.monotonic()
    visible_root, real_root = settings["root"], settings["real_root"]
    if not prefix.is_relative_to(visible_root):
        return False
    real_prefix = Path(real_root, prefix.relative_to(visible_root))
    try:
        interpreter = Interpreter.of(prefix / "bin" / "python")
        site_packages = real_prefix / "lib" / f"python{interpreter.minor_version}/site-packages"
        layer = ensure_layer(lock, interpreter, Path(settings["layers_dir"]), uv)
        linked = layer is not None and link_layer(layer, site_packages, real_prefix, prefix)
    except (LayerError, OSError) as err:
        sys.stderr.write(f"local_aws: no layer for {lock}, going on without: {err}\n")
        return False
    if linked:
        seconds = time.monotonic() - started
        sys.stderr.write(f"local_aws: {lock}: linked from a layer in {seconds:.1f} s\n")
    return linked


def _check_offline(words: Sequence[str], uv: RealUv) -> None:
    """End here if the real uv agrees that nothing is left to do.

    It needs no index for that, and asking one costs seconds. If it doesn't agree, it may ask.
    """
    environment = {**uv.variables, "UV_OFFLINE": "1"}
    answer = subprocess.run([uv.program, *words], env=environment, capture_output=True, check=False)
    if answer.returncode == 0:
        sys.stdout.buffer.write(answer.stdout)
        sys.stderr.buffer.write(answer.stderr)
        sys.exit(0)
