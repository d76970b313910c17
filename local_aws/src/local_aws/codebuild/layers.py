"""Locked requirements, installed and compiled once, then hard-linked into environments of builds.

A layer's content is decided by interpreter and lock. It is made by the real uv in an environment of
its own. Its files are copies, not links into uv's cache, and read-only: nothing that a build does
reaches the developer's packages.

Runs in the process of local_aws and, started by the build's uv, without any installed package: it
needs the standard library only.
"""

import errno
import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_aws.containers.job_pip.environment import Interpreter
from local_aws.containers.job_pip.layer_cache import LAST_LINES, kept_layer
from local_aws.containers.job_pip.requirement_files import read_all

LAYOUT_VERSION = "2"
_LINK_IS_IMPOSSIBLE = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})
_PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*(\[[^\]]*\])?\s*==\s*[^\s;*]+\s*(;.*)?$")
_NOT_OF_A_LAYER = re.compile(r"python[\d.]*|activate.*|deactivate.*|pydoc\.bat")


class LayerError(Exception):
    """The real uv refused; the message is its last lines."""


@dataclass(frozen=True)
class RealUv:
    """The developer's uv, and the variables that it runs with.

    `donor` is the developer's environment, whose compiled files needn't be compiled again.
    """

    program: str
    variables: Mapping[str, str]
    donor: Interpreter


def ensure_layer(lock: Path, interpreter: Interpreter, layers_dir: Path, uv: RealUv) -> Path | None:
    """The layer with what the lock says, made if it is missing.

    None if the text doesn't determine what gets installed. Raises LayerError when uv can't install
    it.
    """
    texts = read_all([lock])
    if texts is None or not all(_is_pinned(text) for text in texts):
        return None
    facts = [LAYOUT_VERSION, interpreter.tag, *texts]
    layer, _ = kept_layer(
        layers_dir, facts, lambda scratch: _make(scratch, lock, "".join(texts), interpreter, uv)
    )
    return layer


def link_layer(layer: Path, site_packages: Path, prefix: Path, visible_prefix: Path) -> bool:
    """Put the layer's files into the environment `prefix`; False if it has one of the packages.

    `visible_prefix` is how the environment's own scripts call it.
    """
    tree = layer / "tree"
    facts = json.loads((layer / "layer.json").read_text())
    if distributions(site_packages) & set(facts["distributions"]):
        return False
    built_in, here = facts["built_in"].encode(), os.fsencode(visible_prefix)
    link_tree(tree, prefix)
    for script in (tree / "bin").iterdir():
        content = script.read_bytes()
        if built_in in content:
            place = prefix / "bin" / script.name
            place.unlink()
            place.write_bytes(content.replace(built_in, here))
            place.chmod(0o755)
    return True


def link_tree(source: Path, target: Path) -> None:
    """Hard-link all files below one folder to another; copy where that is impossible."""
    waiting = [(str(source), str(target))]
    links = True
    while waiting:
        folder, place = waiting.pop()
        os.makedirs(place, exist_ok=True)  # noqa: PTH103  # 45,000 files: Path costs a second
        with os.scandir(folder) as entries:
            for entry in entries:
                there = f"{place}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, there))
                    continue
                try:
                    if links:
                        os.link(entry.path, there, follow_symlinks=False)
                        continue
                except FileExistsError:
                    continue
                except OSError as err:
                    if err.errno not in _LINK_IS_IMPOSSIBLE:
                        raise
                    links = False
                if not os.path.lexists(there):
                    shutil.copy2(entry.path, there, follow_symlinks=False)


def distributions(site_packages: Path) -> set[str]:
    """The names of the packages that are installed there, as folders spell them."""
    folders = site_packages.glob("*.dist-info")
    return {folder.name.partition("-")[0].lower() for folder in folders}


def adopt_compiled(site_packages: Path, donor: Path, cache_tag: str) -> list[Path]:
    """Take compiled files from another site-packages where it holds the very same source.

    A compiled file names its source's time and size (PEP 552): the time is set to that of the copy.
    The answer is the sources that are still without.
    """
    rest: list[Path] = []
    for folder, _, names in os.walk(site_packages):
        theirs = donor / Path(folder).relative_to(site_packages)
        cache = Path(folder, "__pycache__")
        for name in names:
            if not name.endswith(".py"):
                continue
            source = Path(folder, name)
            compiled_name = f"{name[:-3]}.{cache_tag}.pyc"
            try:
                compiled = (theirs / "__pycache__" / compiled_name).read_bytes()
                their_source = (theirs / name).read_bytes()
            except OSError:
                rest.append(source)
                continue
            header = struct.unpack("<4xIII", compiled[:16])
            ours = source.read_bytes()
            if ours != their_source or header[0] != 0 or header[2] != len(ours):
                rest.append(source)
                continue
            modified = struct.pack("<I", int(source.stat().st_mtime) & 0xFFFFFFFF)
            cache.mkdir(exist_ok=True)
            (cache / compiled_name).write_bytes(compiled[:8] + modified + compiled[12:])
    return rest


def protect(folder: Path) -> None:
    """Take the write permission from all files below."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118  # as above
            if not os.path.islink(path):  # noqa: PTH114
                os.chmod(path, os.stat(path).st_mode & 0o555)  # noqa: PTH101, PTH116


def _is_pinned(text: str) -> bool:
    """Whether each requirement of the text is `name==version`."""
    for line in text.replace("\\\n", " ").splitlines():
        requirement = re.sub(r"(^|\s)(#.*|--hash=\S+)", "", line).strip()
        if requirement and not requirement.startswith("-") and not _PINNED.match(requirement):
            return False
    return True


def _make(scratch: Path, lock: Path, text: str, interpreter: Interpreter, uv: RealUv) -> Path:
    environment = scratch / "layer" / "tree"
    environment.parent.mkdir()
    _run(uv, "venv", "--quiet", "--python", interpreter.base_python, str(environment))
    hashes = ("--require-hashes",) if "--hash=" in text else ()
    python = str(environment / "bin" / "python")
    copy = ("--link-mode", "copy")
    _run(uv, "pip", "sync", "--quiet", *hashes, *copy, "--python", python, str(lock))
    site_packages = environment / "lib" / f"python{interpreter.minor_version}/site-packages"
    if uv.donor.tag == interpreter.tag:
        cache_tag = "-".join(interpreter.tag.split("-")[:2])
        rest = adopt_compiled(site_packages, Path(uv.donor.site_packages[0]), cache_tag)
    else:
        rest = list(site_packages.rglob("*.py"))
    # Some packages hold templates that are no Python: what can't be compiled stays as it is.
    subprocess.run(
        [interpreter.base_python, "-m", "compileall", "-q", "-j", "0", "-i", "-"],
        input="".join(f"{path}\n" for path in rest),
        text=True,
        capture_output=True,
        check=False,
    )
    _leave_packages_only(environment, site_packages)
    facts = {"built_in": str(environment), "distributions": sorted(distributions(site_packages))}
    (environment.parent / "layer.json").write_text(json.dumps(facts))
    protect(environment)
    return environment.parent


def _leave_packages_only(environment: Path, site_packages: Path) -> None:
    for entry in environment.iterdir():
        if entry.is_symlink() or entry.is_file():  # lib64, pyvenv.cfg and the like
            entry.unlink()
    for entry in (environment / "bin").iterdir():
        if _NOT_OF_A_LAYER.fullmatch(entry.name):
            entry.unlink()
    for entry in site_packages.glob("_virtualenv.*"):
        entry.unlink()


def _run(uv: RealUv, *arguments: str) -> None:
    unwanted = ("VIRTUAL_ENV", "UV_SYSTEM_PYTHON", "UV_PYTHON")
    environment = {k: v for k, v in uv.variables.items() if k not in unwanted}
    answer = subprocess.run(
        [uv.program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        lines: Sequence[str] = (answer.stderr or answer.stdout).strip().splitlines()
        raise LayerError("\n".join(lines[-LAST_LINES:]))
