"""A unit's files and the zips that seed repositories, cut by the project's own program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local_aws.errors import CommandFailed, UsageError

_PROGRAM = "mlops.project.seed_repositories"
_FILE = Path("infra") / "seed_repositories.py"


def write_unit(unit: str, folder: Path, project_dir: Path) -> None:
    """Write the files of `modelbuild` or `modeldeploy`, as the working tree has them."""
    _run(project_dir, "--unit", unit, "--folder", str(folder))


def write_seeds(folder: Path, project_dir: Path) -> list[Path]:
    """Write one zip for each unit; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    _run(project_dir, "--output-dir", str(folder))
    return sorted(folder.glob("*.zip"))


def _run(project_dir: Path, *arguments: str) -> None:
    if not (project_dir / _FILE).is_file():
        raise UsageError(f"{project_dir} holds no {_FILE}. Run this in the project's root folder.")
    done = subprocess.run(
        [sys.executable, "-m", _PROGRAM, *arguments],
        cwd=project_dir,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise CommandFailed(
            f"{_PROGRAM} ended with exit code {done.returncode}:\n{done.stderr.strip()}",
            done.returncode,
        )
