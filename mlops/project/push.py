"""`mlops push`: the working tree's unit as a commit on top of its repository's branch."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops.account import Account
from mlops.errors import InputError
from mlops.project.executions import newest_execution_id
from mlops.project.git import Git, login_settings
from mlops.project.project_stack import UNITS, ProjectStack
from mlops.project.watching import wait_for_execution
from mlops.seed_repositories import write_folder
from mlops.units import list_files


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """The commit at the tip of the branch; `new` False means the tree was there already."""

    commit: str
    message: str
    new: bool


def start_unit(
    account: Account,
    project: ProjectStack,
    unit: str,
    tree: Path,
    message: str | None = None,
    *,
    again: bool,
) -> tuple[Pushed, str | None]:
    """Push the unit; what was pushed, and the id of the execution that this started.

    Where nothing changed, `again` runs the last commit once more; without it there is no id.
    """
    pipeline_name = project.pipeline_name(unit)
    before = newest_execution_id(account, pipeline_name)
    pushed = push_unit(account, project, unit, tree, message)
    if pushed.new:
        return pushed, wait_for_execution(account, pipeline_name, before)
    if not again:
        return pushed, None
    started = account.client("codepipeline").start_pipeline_execution(name=pipeline_name)
    return pushed, str(started["pipelineExecutionId"])


def push_unit(
    account: Account,
    project: ProjectStack,
    unit: str,
    tree: Path,
    message: str | None = None,
    edit: Callable[[Path], None] = lambda _: None,
) -> Pushed:
    """Commit `build` or `deploy` as it is in the working tree, and push.

    `edit` may change the pushed files, given their folder. In a repository that both units share
    only this unit's files are replaced. Raises CommandFailed with git's or the remote's words.
    """
    require_tree(tree)
    url = remote_url(project, unit, tree)
    author_name, author_email = Git(tree).author()
    with tempfile.TemporaryDirectory(prefix="mlops-push-") as scratch:
        folder = Path(scratch) / "repository"
        folder.mkdir()
        git = Git(folder, login_settings(account, url))
        git.run("init", "--quiet", "--initial-branch", project.branch)
        git.run("remote", "add", "origin", url)
        begun = _fetch(git, project.branch, may_be_missing=project.connected)
        if begun:
            git.run("reset", "--quiet", "--hard", f"origin/{project.branch}")
            if not project.shared_repository:
                git.run("rm", "-r", "--quiet", "--ignore-unmatch", ".")
        files = Path(scratch) / "files"
        write_folder(list_files(UNITS[unit], tree), files)
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
        git.run("push", "--quiet", "origin", f"HEAD:refs/heads/{project.branch}")
        return Pushed(commit=git.run("rev-parse", "HEAD"), message=text, new=True)


def require_tree(tree: Path) -> None:
    """Raise InputError if the folder isn't a checkout of the project, which has both units."""
    missing = [name for name in ("model_build", "model_deploy") if not (tree / name).is_dir()]
    if missing:
        raise InputError(
            f"{tree} holds no {missing[0]}/. Run this in the project's root folder; in a clone of "
            "one unit's repository, `git push` is all there is to do."
        )


def remote_url(project: ProjectStack, unit: str, tree: Path) -> str:
    """CodeCommit's address, or behind a Git connection that of the working tree's own remote."""
    if not project.connected:
        return project.clone_url(unit)
    repository = project.repository(unit)
    for url in Git(tree).remotes().values():
        path = url.removesuffix("/").removesuffix(".git")
        if path.endswith((f"/{repository}", f":{repository}")):
            return url
    raise InputError(
        f"the project's repository is {repository}, behind a Git connection, and no remote of "
        f"{tree} is that one. Add it: git remote add {UNITS[unit]} URL"
    )


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
