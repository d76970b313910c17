"""Requirements installed once into a shared, read-only layer, then attached where needed.

What decides a layer's content: interpreter, image's packages, layers below it, requirements. It is
built by the real pip in an environment of its own.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .environment import OWN_SCRIPTS, Environment
from .layer_cache import LAST_LINES, kept_layer

LAYOUT_VERSION = "1"


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
    layer, cached = kept_layer(
        layers_dir,
        facts,
        lambda scratch: _build(scratch, environment, pip_arguments, pip_variables),
        lambda: print("Waiting for another job that installs the same requirements", flush=True),
    )
    environment.attach(layer, json.loads((layer / "layer.json").read_text())["built_in"])
    return cached


def _build(
    scratch: Path, wanted_by: Environment, arguments: Sequence[str], variables: Mapping[str, str]
) -> Path:
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
    return finished


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


def _without_credentials(word: str) -> str:
    return re.sub(r"//[^/@]*@", "//", word)
