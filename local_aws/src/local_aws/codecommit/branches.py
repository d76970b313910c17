"""CodeCommit's branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.codecommit.bare_repository import BRANCHES, is_full_id
from local_aws.codecommit.codecommit import CodeCommitRepositories, page_by_token
from local_aws.codecommit.git import GitError, run_git
from local_aws.codecommit.objects import object_type
from local_aws.errors import AwsError
from local_aws.gateway import Handler


@dataclass(frozen=True)
class CodeCommitBranches:
    """The operations on branches."""

    repositories: CodeCommitRepositories

    def handlers(self) -> Mapping[str, Handler]:
        """Operation name to handler."""
        return {
            "GetBranch": self.get_branch,
            "ListBranches": self.list_branches,
            "CreateBranch": self.create_branch,
            "DeleteBranch": self.delete_branch,
            "UpdateDefaultBranch": self.update_default_branch,
        }

    def get_branch(self, call: Call) -> Mapping[str, Any]:
        """The commit at its tip."""
        bare = self.repositories.find(call.params.get("repositoryName")).bare
        name = check_branch_name(call.params.get("branchName"))
        branches = bare.branches()
        if name not in branches:
            raise no_such_branch(name)
        return {"branch": {"branchName": name, "commitId": branches[name]}}

    def list_branches(self, call: Call) -> Mapping[str, Any]:
        """All names."""
        bare = self.repositories.find(call.params["repositoryName"]).bare
        named = [{"name": name} for name in sorted(bare.branches())]
        page, more = page_by_token(named, "name", call.params)
        return {"branches": [one["name"] for one in page], **more}

    def create_branch(self, call: Call) -> None:
        """A new branch at a commit that the repository has."""
        bare = self.repositories.find(call.params["repositoryName"]).bare
        name, commit = check_branch_name(call.params["branchName"]), call.params["commitId"]
        if not is_full_id(commit):
            raise AwsError(
                "InvalidCommitIdException", f"{commit!r} is not a full commit id of 40 hex digits"
            )
        with bare.writing(call.caller_arn):
            if name in bare.branches():
                raise AwsError("BranchNameExistsException", f"Branch {name} already exists")
            if object_type(bare, commit) != "commit":
                raise AwsError("CommitDoesNotExistException", f"Commit {commit} does not exist")
            try:
                bare.git("update-ref", BRANCHES + name, commit, "")
            except GitError as err:
                raise AwsError("InvalidBranchNameException", str(err)) from err

    def delete_branch(self, call: Call) -> Mapping[str, Any]:
        """Remove a branch, not the default one; nothing happens if there is none, as on AWS."""
        bare = self.repositories.find(call.params["repositoryName"]).bare
        name = check_branch_name(call.params["branchName"])
        with bare.writing(call.caller_arn):
            commit = bare.branches().get(name)
            if commit is None:
                return {}
            if name == bare.default_branch():
                raise AwsError(
                    "DefaultBranchCannotBeDeletedException",
                    f"{name} is the default branch. Choose another one first "
                    "(UpdateDefaultBranch).",
                )
            bare.git("update-ref", "-d", BRANCHES + name, commit)
        return {"deletedBranch": {"branchName": name, "commitId": commit}}

    def update_default_branch(self, call: Call) -> None:
        """Let clones check out another branch."""
        bare = self.repositories.find(call.params["repositoryName"]).bare
        name = check_branch_name(call.params["defaultBranchName"])
        with bare.writing(call.caller_arn):
            if name not in bare.branches():
                raise no_such_branch(name)
            bare.set_default_branch(name)


def check_branch_name(name: str | None) -> str:
    """The name; AwsError unless git would take it."""
    if not name:
        raise AwsError("BranchNameRequiredException", "A branch name is required.")
    try:
        run_git("check-ref-format", BRANCHES + name)
    except GitError as err:
        raise AwsError(
            "InvalidBranchNameException",
            f"{name!r} is not a valid branch name (git help check-ref-format); "
            "give it without 'refs/heads/'",
        ) from err
    return name


def no_such_branch(name: str) -> AwsError:
    """The error that names the branch."""
    return AwsError("BranchDoesNotExistException", f"Branch {name} does not exist")
