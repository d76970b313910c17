"""Requirements installed once into a shared, read-only layer, then attached where needed.

A layer's name is a digest of all that decides its content: interpreter, image's packages, layers
below it, requirements. It is built by the real pip in an environment of its own and put in place by
a rename, so a layer is complete or absent.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .environment import OWN_SCRIPTS, Environment

LAYOUT_VERSION = "1"
LAST_LINES = 20


class InstallError(Exception):
    """The real pip refused; the message is its last lines."""

    def __init__(self, exit_code: int, last_lines: str) -> None:
        super().__init__(last_lines)
        self.exit_code = exit_code


def attach_requirements(
    environment: Environment,
    *,
    texts: Sequence[str],
    pip_arguments: Sequence[str],
    layers_dir: Path,
    pip_variables: Mapping[str, str],
) -> bool:
    """Give the environment what `pip install PIP_ARGUMENTS` would install; True when a cached layer
    had it.

    `texts` is what the requirements say. Raises InstallError, and caches nothing, when pip refuses.
    """
    below = [layer.name for layer in environment.attached_layers()]
    options = [_without_credentials(word) for word in pip_arguments if not Path(word).is_file()]
    facts = [LAYOUT_VERSION, environment.image.identity(), *below, *options, *texts]
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]
    layer = layers_dir / key
    cached = layer.is_dir()
    if not cached:
        layers_dir.mkdir(parents=True, exist_ok=True)
        with _lock(layers_dir / f"{key}.lock"):
            if not layer.is_dir():
                _build(layer, environment, pip_arguments, pip_variables)
    environment.attach(layer, json.loads((layer / "layer.json").read_text())["built_in"])
    return cached


def _build(
    layer: Path, wanted_by: Environment, arguments: Sequence[str], variables: Mapping[str, str]
) -> None:
    for leftover in layer.parent.glob(f".{layer.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{layer.name}-", dir=layer.parent))
    try:
        builder = Environment(scratch / "env", wanted_by.image)
        builder.make()
        for below in wanted_by.attached_layers():
            builder.attach(below, "")
        _run_pip(builder, arguments, variables)
        finished = scratch / "layer"
        (finished / "bin").mkdir(parents=True)
        for script in (builder.folder / "bin").iterdir():
            if script.name not in OWN_SCRIPTS and not script.is_symlink():
                script.rename(finished / "bin" / script.name)
        for pth in builder.site_packages.glob("[59]0-*.pth"):
            pth.unlink()
        builder.site_packages.rename(finished / "site-packages")
        (finished / "layer.json").write_text(json.dumps({"built_in": str(builder.folder)}))
        finished.rename(layer)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_pip(builder: Environment, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    pip = subprocess.Popen(
        [str(builder.python), "-m", "pip", "install", *arguments],
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    with pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines = [*lines[1 - LAST_LINES :], line]
    if pip.returncode:
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise InstallError(pip.returncode, "".join(errors).strip())


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stdout.write("Waiting for another job that installs the same requirements\n")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _without_credentials(word: str) -> str:
    return re.sub(r"//[^/@]*@", "//", word)
