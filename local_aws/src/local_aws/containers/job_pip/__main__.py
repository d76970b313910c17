"""`python -m pip` in a job."""

import json
import os
import runpy
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .environment import FAILURE, SETTINGS, Environment, Interpreter
from .layers import InstallError, attach_requirements
from .requirement_files import read_all

PLAIN_OPTIONS = frozenset(
    {"-q", "-qq", "--quiet", "-v", "--verbose", "--no-cache-dir", "--no-input", "--no-index"}
    | {"--disable-pip-version-check", "--no-warn-script-location", "--prefer-binary"}
)
OPTIONS_WITH_VALUE = frozenset(
    {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host"}
    | {"--progress-bar", "--root-user-action", "--timeout", "--retries", "-c", "--constraint"}
)


def main(arguments: Sequence[str]) -> int:
    folder = Path(sys.prefix)
    settings = json.loads((folder / SETTINGS).read_text())
    os.environ.update(settings["pip_variables"])
    files = _requirement_files(arguments)
    texts = read_all(files) if files else None
    if texts is None:
        _run_real_pip()
    started = time.monotonic()
    try:
        cached = attach_requirements(
            Environment(folder, Interpreter(**settings["image"])),
            texts=texts,
            pip_arguments=arguments[1:],
            layers_dir=Path(settings["layers_dir"]),
            pip_variables=settings["pip_variables"],
        )
    except InstallError as err:
        (folder / FAILURE).write_text(f"pip {' '.join(arguments)} failed: {err}")
        return err.exit_code
    names = " ".join(str(file) for file in files)
    how = "from a cached layer" if cached else "into a new layer"
    sys.stdout.write(f"{names}: installed {how} in {time.monotonic() - started:.2f} s\n")
    return 0


def _requirement_files(arguments: Sequence[str]) -> list[Path]:
    """The files of a plain `install -r FILE...`; none when the command line says anything else."""
    words = list(arguments)
    files: list[Path] = []
    constraints: list[Path] = []
    if words[:1] != ["install"]:
        return []
    words.pop(0)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word in PLAIN_OPTIONS:
            continue
        if name not in OPTIONS_WITH_VALUE | {"-r", "--requirement"}:
            return []
        if not equals:
            if not words:
                return []
            value = words.pop(0)
        if name in ("-r", "--requirement"):
            files.append(Path(value))
        elif name in ("-c", "--constraint"):
            constraints.append(Path(value))
    return [*files, *constraints] if files else []


def _run_real_pip() -> NoReturn:
    """Become the pip of the image, which installs into the job's own environment."""
    stand_in = Path(sys.prefix, "job-pip")
    sys.path[:] = [entry for entry in sys.path if Path(entry) != stand_in]
    for name in [name for name in sys.modules if name == "pip" or name.startswith("pip.")]:
        del sys.modules[name]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
