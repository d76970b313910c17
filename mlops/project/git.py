"""git, run as a program: no prompts, no proxy, none of the caller's GIT_ variables."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from local_aws.errors import CommandFailed, UsageError

_FALLBACK = {"name": "local-aws", "email": "local-aws@localhost"}
# The person's own settings hold, but for those that would change files or ask something.
_SETTINGS = ("core.autocrlf=false", "commit.gpgsign=false", "core.hooksPath=/dev/null")


class Git:
    """git in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str) -> str:
        """What it printed; raises CommandFailed with git's words, UsageError if there is no git."""
        done = self._execute(arguments)
        if done.returncode != 0:
            told = (done.stderr or done.stdout).strip()
            raise CommandFailed(f"`git {arguments[0]}` failed:\n{told}")
        return done.stdout.strip()

    def succeeds(self, *arguments: str) -> bool:
        """Whether git exits with 0."""
        return self._execute(arguments).returncode == 0

    def author(self) -> tuple[str, str]:
        """Name and address from the person's git configuration, else a fallback."""
        configured = {
            key: self._execute(["config", "--get", f"user.{key}"]).stdout.strip()
            for key in _FALLBACK
        }
        if all(configured.values()):
            return configured["name"], configured["email"]
        return _FALLBACK["name"], _FALLBACK["email"]

    def _execute(self, arguments: tuple[str, ...] | list[str]) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("GIT_")
        }
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            return subprocess.run(
                ["git", *settings, *arguments],
                cwd=self.folder,
                env={**inherited, "GIT_TERMINAL_PROMPT": "0", "NO_PROXY": "*", "LC_ALL": "C"},
                capture_output=True,
                text=True,
            )
        except FileNotFoundError as err:
            raise UsageError("there is no `git` on the PATH. Install git first.") from err
