"""Runs the project's console scripts as a person would type them, and keeps what they printed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from local_aws.containers.supervision import start_supervised
from local_aws.demo.narration import Step
from local_aws.errors import CommandFailed, UsageError

_LINES_SHOWN = 15


class Commands:
    """Commands run in `project_dir` against the AWS and MLflow that `environment` names.

    What each prints goes to `<output_dir>/<number>-<program>.log`.
    """

    def __init__(self, environment: Mapping[str, str], project_dir: Path, output_dir: Path) -> None:
        require_project(project_dir)
        self.environment = environment
        self.project_dir = project_dir
        self.output_dir = output_dir
        output_dir.mkdir(parents=True, exist_ok=True)
        self._count = len(list(output_dir.glob("*.log")))

    def run(self, step: Step, program: str, *arguments: str) -> None:
        """Run it to its end, showing its last line; raises CommandFailed with the last ones."""
        self._count += 1
        log_path = self.output_dir / f"{self._count:02}-{program}.log"
        process = start_supervised(
            [str(Path(sys.executable).parent / program), *arguments],
            environment={**os.environ, **self.environment},
            cwd=self.project_dir,
            log_path=log_path,
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                step.progress(_last_line(log_path))
        finally:
            process.stop()
        code = process.wait()
        if code != 0:
            lines = log_path.read_text(errors="replace").splitlines()[-_LINES_SHOWN:]
            raise CommandFailed(
                f"{program} ended with exit code {code}; its last lines ({log_path}):\n"
                + "\n".join(f"    {line}" for line in lines),
                code,
            )


def require_project(folder: Path) -> None:
    """Raise UsageError if the folder isn't a checkout of the project."""
    if not (folder / "model_deploy" / "staging-config.json").is_file():
        raise UsageError(
            f"{folder} holds no model_deploy/staging-config.json. "
            "Run this in the project's root folder."
        )


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][:160] if lines else ""
