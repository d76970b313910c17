"""CodeCommit's commits, written without a clone: CreateCommit, PutFile, DeleteFile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.codecommit.bare_repository import BRANCHES, TAGS, BareRepository, is_full_id
from local_aws.codecommit.branches import check_branch_name, no_such_branch
from local_aws.codecommit.codecommit import CodeCommitRepositories
from local_aws.codecommit.files import FILE_LIMIT_BYTES, MODE_NAMES, check_path, mode_name
from local_aws.codecommit.git import GitError
from local_aws.codecommit.objects import (
    Entry,
    list_files,
    object_type,
    write_blob,
    write_commit,
    write_tree,
)
from local_aws.codecommit.tree_changes import Put, Request, TreeChange, change_files
from local_aws.errors import AwsError
from local_aws.gateway import Handler

_MODES = {name: mode for mode, name in MODE_NAMES.items()}
_ENTRY_LIMIT = 100


@dataclass(frozen=True)
class _Written:
    """A commit that a branch now points to."""

    commit: str
    tree: str
    change: TreeChange


@dataclass(frozen=True)
class CodeCommitFileChanges:
    """The operations that commit to a branch."""

    repositories: CodeCommitRepositories

    def handlers(self) -> Mapping[str, Handler]:
        """Operation name to handler."""
        return {
            "CreateCommit": self.create_commit,
            "PutFile": self.put_file,
            "DeleteFile": self.delete_file,
        }

    def create_commit(self, call: Call) -> Mapping[str, Any]:
        """Put, move, delete files and set modes in one commit."""
        params = call.params
        bare = self.repositories.find(params["repositoryName"]).bare
        puts, deletes = params.get("putFiles", []), params.get("deleteFiles", [])
        modes = params.get("setFileModes", [])
        count = len(puts) + len(deletes) + len(modes)
        if count == 0:
            raise AwsError("FileEntryRequiredException", "the commit changes no file")
        if count > _ENTRY_LIMIT:
            raise AwsError(
                "MaximumFileEntriesExceededException",
                f"{count} files; one commit over the API changes at most {_ENTRY_LIMIT}. "
                "Push with git instead.",
            )
        request = Request(
            puts=[_put(bare, put) for put in puts],
            deletes=[check_path(one["filePath"]) for one in deletes],
            modes={check_path(one["filePath"]): _mode(one["fileMode"]) for one in modes},
            keeper=write_blob(bare, b"") if params.get("keepEmptyFolders") else None,
        )
        said = {"message": f"Change {count} file{'s' if count > 1 else ''}", "name": "authorName"}
        written = _write(bare, call, request, said)
        return {
            "commitId": written.commit,
            "treeId": written.tree,
            "filesAdded": _metadata(written.change.added),
            "filesUpdated": _metadata(written.change.updated),
            "filesDeleted": _metadata(written.change.deleted),
        }

    def put_file(self, call: Call) -> Mapping[str, Any]:
        """Add or update one file."""
        params = call.params
        bare = self.repositories.find(params["repositoryName"]).bare
        put = _put(bare, params)
        try:
            said = {"message": f"Put {put.path}", "name": "name"}
            written = _write(bare, call, Request(puts=[put], modes={}), said)
        except AwsError as err:
            if err.code != "NoChangeException":
                raise
            raise AwsError(
                "SameFileContentException", f"{put.path} has this content and mode already"
            ) from err
        return {"commitId": written.commit, "treeId": written.tree, "blobId": put.blob}

    def delete_file(self, call: Call) -> Mapping[str, Any]:
        """Delete one file."""
        params = call.params
        bare = self.repositories.find(params["repositoryName"]).bare
        path = check_path(params["filePath"])
        keeper = write_blob(bare, b"") if params.get("keepEmptyFolders") else None
        request = Request(deletes=[path], modes={}, keeper=keeper)
        written = _write(bare, call, request, {"message": f"Delete {path}", "name": "name"})
        return {
            "commitId": written.commit,
            "treeId": written.tree,
            "filePath": path,
            "blobId": written.change.deleted[path].id,
        }


def _write(bare: BareRepository, call: Call, request: Request, said: Mapping[str, str]) -> _Written:
    """Commit on top of the branch; `said` has the default message and the name's parameter."""
    params = call.params
    branch = check_branch_name(params["branchName"])
    with bare.writing(call.caller_arn):
        parent = _parent(bare, branch, params.get("parentCommitId"))
        change = change_files(list_files(bare, parent) if parent else {}, request)
        try:
            tree = write_tree(bare, change.files)
        except GitError as err:
            raise AwsError("InvalidPathException", str(err)) from err
        commit = write_commit(
            bare,
            tree=tree,
            parent=parent,
            message=params.get("commitMessage") or said["message"],
            name=params.get(said["name"]) or call.caller_arn.rpartition("/")[2],
            email=params.get("email", ""),
        )
        bare.git("update-ref", BRANCHES + branch, commit, parent or "")
    return _Written(commit, tree, change)


def _parent(bare: BareRepository, branch: str, given: str | None) -> str | None:
    """The branch's tip, which the caller must know; None for a repository's first commit."""
    refs = bare.refs()
    tip = refs.get(BRANCHES + branch)
    if tip is None and TAGS + branch in refs:
        raise AwsError("BranchNameIsTagNameException", f"{branch} is a tag, not a branch")
    if tip is None and any(ref.startswith(BRANCHES) for ref in refs):
        raise no_such_branch(branch)
    if given is None and tip is not None:
        raise AwsError(
            "ParentCommitIdRequiredException",
            f"Branch {branch} has commits: give the id of its tip as parentCommitId",
        )
    if given is None or given == tip:
        return tip
    if not is_full_id(given):
        raise AwsError(
            "InvalidParentCommitIdException", f"{given!r} is not a full commit id of 40 hex digits"
        )
    if object_type(bare, given) != "commit":
        raise AwsError("ParentCommitDoesNotExistException", f"Commit {given} does not exist")
    raise AwsError(
        "ParentCommitIdOutdatedException", f"{given} is not the tip of branch {branch}: {tip} is"
    )


def _put(bare: BareRepository, params: Mapping[str, Any]) -> Put:
    """One file to be written; its content is in the repository afterwards."""
    path = check_path(params["filePath"])
    mode = _mode(params["fileMode"]) if "fileMode" in params else None
    source, content = params.get("sourceFile"), params.get("fileContent")
    if source is not None and content is not None:
        raise AwsError(
            "FileContentAndSourceFileSpecifiedException",
            f"{path}: give either fileContent or sourceFile",
        )
    if source is not None:
        return Put(
            path=path,
            mode=mode,
            source=check_path(source["filePath"]),
            is_move=source.get("isMove", False),
        )
    if content is None:
        raise AwsError(
            "SourceFileOrContentRequiredException", f"{path}: give fileContent or sourceFile"
        )
    if len(content) > FILE_LIMIT_BYTES:
        raise AwsError(
            "FileContentSizeLimitExceededException",
            f"{path} has {len(content)} bytes; over the API at most {FILE_LIMIT_BYTES} are taken. "
            "Push with git instead.",
        )
    return Put(path=path, mode=mode, blob=write_blob(bare, content))


def _mode(name: str) -> str:
    if name not in _MODES:
        raise AwsError(
            "InvalidFileModeException", f"{name!r} is no file mode; there are {', '.join(_MODES)}"
        )
    return _MODES[name]


def _metadata(files: Mapping[str, Entry]) -> list[dict[str, str]]:
    return [
        {"absolutePath": path, "blobId": entry.id, "fileMode": mode_name(entry.mode)}
        for path, entry in sorted(files.items())
    ]
