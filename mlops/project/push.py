"""`mlops push`: the working tree's unit as a commit on top of its repository's branch."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops.project.clients import Clients
from mlops.project.git import Git
from mlops.project.project_stack import UNITS, ProjectStack
from mlops.project.unit_files import write_unit


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """The commit at the tip of the branch; `new` False means the tree was there already."""

    commit: str
    message: str
    new: bool


def push_unit(
    clients: Clients,
    stack: ProjectStack,
    unit: str,
    project_dir: Path,
    message: str | None = None,
    edit: Callable[[Path], None] = lambda _: None,
) -> Pushed:
    """Commit `build` or `deploy` as it is in the working tree, and push.

    `edit` may change the pushed files, given their folder. In a repository that both units share
    only this unit's files are replaced. Raises CommandFailed with git's or the remote's words.
    """
    url = stack.clone_url(unit, clients.environment["AWS_ENDPOINT_URL"])
    author_name, author_email = Git(project_dir).author()
    with tempfile.TemporaryDirectory(prefix="local-aws-push-") as scratch:
        folder = Path(scratch) / "repository"
        folder.mkdir()
        git = Git(folder)
        git.run("init", "--quiet", "--initial-branch", stack.branch)
        git.run("remote", "add", "origin", url)
        begun = _fetch(git, stack.branch, may_be_missing=stack.connected)
        if begun:
            git.run("reset", "--quiet", "--hard", f"origin/{stack.branch}")
            if not stack.shared_repository:
                git.run("rm", "-r", "--quiet", "--ignore-unmatch", ".")
        files = Path(scratch) / "files"
        write_unit(UNITS[unit], files, project_dir)
        edit(files)
        shutil.copytree(files, folder, dirs_exist_ok=True)
        git.run("add", "--all", "--force", ".")
        if begun and git.succeeds("diff", "--cached", "--quiet"):
            commit, subject = git.run("log", "-1", "--format=%H %s").split(" ", 1)
            return Pushed(commit=commit, message=subject, new=False)
        text = message or f"Update {UNITS[unit]} from the working tree"
        git.run(
            *("-c", f"user.name={author_name}", "-c", f"user.email={author_email}"),
            *("commit", "--quiet", "--message", text),
        )
        git.run("push", "--quiet", "origin", f"HEAD:refs/heads/{stack.branch}")
        return Pushed(commit=git.run("rev-parse", "HEAD"), message=text, new=True)


def _fetch(git: Git, branch: str, *, may_be_missing: bool) -> bool:
    """Whether the remote has the branch, which is then at hand.

    Behind a connection a repository may not exist yet: its first push makes it.
    """
    if may_be_missing and not git.succeeds("ls-remote", "--quiet", "origin"):
        return False
    if not git.run("ls-remote", "--heads", "origin", branch):
        return False
    git.run("fetch", "--quiet", "--no-tags", "origin", f"+{branch}:refs/remotes/origin/{branch}")
    return True
