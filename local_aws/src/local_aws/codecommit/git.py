"""git as a program: in an environment of its own, without questions, errors in git's own words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from local_aws.errors import LocalAwsError

_LIMIT_SECONDS = 600.0
# What would point git to another repository, or change what it says; the rest of git's variables
# is cleared with them.
_GIT_PREFIX = "GIT_"


class GitError(LocalAwsError):
    """A git command failed; its last words are in the message."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.git_exit_code = exit_code


class GitNotFound(GitError):
    """This machine has no git, or not the part of it that is needed."""


def run_git(
    *arguments: str,
    directory: Path | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    limit_seconds: float = _LIMIT_SECONDS,
) -> bytes:
    """The standard output of `git <arguments>`, run in `directory`.

    `environment` is added to `git_environment()`. Raises GitError if it fails or takes too long.
    """
    command = [find_git(), *arguments]
    shown = f"git {' '.join(arguments)}"
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            input=stdin,
            capture_output=True,
            env={**git_environment(), **(environment or {})},
            timeout=limit_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as err:
        raise GitError(f"{shown} took longer than {limit_seconds:g} s and was ended") from err
    except (FileNotFoundError, NotADirectoryError) as err:
        raise GitError(f"{shown}: there is no folder {directory}") from err
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip() or "it printed nothing"
        raise GitError(f"{shown} failed with {done.returncode}: {words}", done.returncode)
    return done.stdout


def git_environment() -> dict[str, str]:
    """An environment in which git behaves the same for everybody.

    No configuration of the user or the machine, no questions, English messages; no proxy, because
    all servers are on this machine; and no doubt about who owns a folder: the repositories are
    ours, whatever a mounted file system says.
    """
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_GIT_PREFIX)}
    return {
        **kept,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_KEY_1": "http.proxy",
        "GIT_CONFIG_VALUE_1": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "LC_ALL": "C",
    }


def find_git() -> str:
    """The path of the git program; raises GitNotFound, which says what to install."""
    program = shutil.which("git")
    if program is None:
        raise GitNotFound("no git on PATH: repositories need it. Install git (2.31 or later).")
    return program


def find_http_backend() -> Path:
    """The path of `git http-backend`, which serves clones and pushes."""
    folder = Path(run_git("--exec-path").decode().strip())
    program = folder / "git-http-backend"
    if not program.is_file():
        raise GitNotFound(
            f"no git-http-backend in {folder}: git on this machine came without it, so nothing can "
            "be pushed or cloned. Install your system's full git package."
        )
    return program
