"""A commit as a person makes it: by git, over HTTP."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from callers import git_logs_in

PERSON = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "LC_ALL": "C",
}


def git_in(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What became of git there, run by a person without a proxy or a configuration."""
    inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**inherited, **git_logs_in(), **PERSON, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def push_commit(
    url: str, files: Mapping[str, bytes], branch: str = "main", **environment: str
) -> str:
    """Id of a new commit with these files on top of what the branch has, pushed to it.

    `environment` has the credentials, if os.environ doesn't.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        git_in(folder, "init", "--quiet", f"--initial-branch={branch}")
        if git_in(folder, "fetch", "--quiet", url, branch, **environment).returncode == 0:
            git_in(folder, "reset", "--quiet", "--hard", "FETCH_HEAD")
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        git_in(folder, "add", "--all")
        git_in(folder, "commit", "--quiet", "--message", f"Write {', '.join(files)}")
        pushed = git_in(folder, "push", "--quiet", url, f"HEAD:refs/heads/{branch}", **environment)
        assert pushed.returncode == 0, pushed.stderr
        return git_in(folder, "rev-parse", "HEAD").stdout.strip()
