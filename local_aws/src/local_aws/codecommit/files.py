"""CodeCommit's commits, files, folders and differences, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.codecommit.bare_repository import BareRepository, is_full_id
from local_aws.codecommit.codecommit import CodeCommitRepositories
from local_aws.codecommit.objects import (
    FOLDER_MODE,
    SUBMODULE_MODE,
    Commit,
    Difference,
    Entry,
    Person,
    blob_size,
    differences,
    find_entry,
    list_folder,
    object_type,
    read_blob,
    read_commit,
)
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.pagination import page_of

MODE_NAMES = {"100644": "NORMAL", "100755": "EXECUTABLE", "120000": "SYMLINK"}
FILE_LIMIT_BYTES = 6 * 1024 * 1024
_COMMIT_BATCH_LIMIT = 100


@dataclass(frozen=True)
class CodeCommitFiles:
    """The operations that read what is in a repository."""

    repositories: CodeCommitRepositories

    def handlers(self) -> Mapping[str, Handler]:
        """Operation name to handler."""
        return {
            "GetCommit": self.get_commit,
            "BatchGetCommits": self.batch_get_commits,
            "GetFile": self.get_file,
            "GetBlob": self.get_blob,
            "GetFolder": self.get_folder,
            "GetDifferences": self.get_differences,
        }

    def get_commit(self, call: Call) -> Mapping[str, Any]:
        """Who committed what when, and on top of which commits."""
        bare, commit_id = self._bare(call), call.params["commitId"]
        if not is_full_id(commit_id):
            raise AwsError(
                "InvalidCommitIdException",
                f"{commit_id!r} is not a full commit id of 40 hex digits",
            )
        commit = read_commit(bare, commit_id)
        if commit is None:
            raise AwsError("CommitIdDoesNotExistException", f"Commit {commit_id} does not exist")
        return {"commit": _commit(commit)}

    def batch_get_commits(self, call: Call) -> Mapping[str, Any]:
        """The same of several, and which were not found."""
        bare, ids = self._bare(call), call.params["commitIds"]
        if len(ids) > _COMMIT_BATCH_LIMIT:
            raise AwsError(
                "CommitIdsLimitExceededException",
                f"{len(ids)} commit ids; at most {_COMMIT_BATCH_LIMIT} are allowed in one call",
            )
        found, errors = [], []
        for commit_id in ids:
            commit = read_commit(bare, commit_id) if is_full_id(commit_id) else None
            if commit is not None:
                found.append(_commit(commit))
                continue
            code = "CommitIdDoesNotExistException"
            message = f"Commit {commit_id} does not exist"
            errors.append({"commitId": commit_id, "errorCode": code, "errorMessage": message})
        return {"commits": found, "errors": errors}

    def get_file(self, call: Call) -> Mapping[str, Any]:
        """A file's content at a commit, by default at the tip of the default branch."""
        bare = self._bare(call)
        path = check_path(call.params["filePath"])
        commit = _resolve(bare, call.params.get("commitSpecifier"))
        entry = find_entry(bare, commit, path)
        if entry is None or entry.mode in (FOLDER_MODE, SUBMODULE_MODE):
            raise AwsError(
                "FileDoesNotExistException", f"File {path} does not exist in commit {commit}"
            )
        content = _content(bare, entry.id)
        return {
            "commitId": commit,
            "blobId": entry.id,
            "filePath": path,
            "fileMode": mode_name(entry.mode),
            "fileSize": len(content),
            "fileContent": content,
        }

    def get_blob(self, call: Call) -> Mapping[str, Any]:
        """A file's content by the id that GetDifferences and GetFolder give."""
        bare, blob = self._bare(call), call.params["blobId"]
        if not is_full_id(blob):
            raise AwsError(
                "InvalidBlobIdException", f"{blob!r} is not a full blob id of 40 hex digits"
            )
        if object_type(bare, blob) != "blob":
            raise AwsError("BlobIdDoesNotExistException", f"Blob {blob} does not exist")
        return {"content": _content(bare, blob)}

    def get_folder(self, call: Call) -> Mapping[str, Any]:
        """What is directly in a folder; '/' is the root."""
        bare, given = self._bare(call), call.params["folderPath"]
        path = check_path(given) if given.strip("/") else ""
        commit = _resolve(bare, call.params.get("commitSpecifier"))
        folder = find_entry(bare, commit, path)
        if folder is None or folder.mode != FOLDER_MODE:
            raise AwsError(
                "FolderDoesNotExistException", f"Folder {path} does not exist in commit {commit}"
            )
        answer: dict[str, Any] = {
            "commitId": commit,
            "folderPath": path,
            "treeId": folder.id,
            **{kind: [] for kind in ("subFolders", "files", "symbolicLinks", "subModules")},
        }
        for name, entry in list_folder(bare, folder.id).items():
            place = {"absolutePath": f"{path}/{name}" if path else name, "relativePath": name}
            if entry.mode == FOLDER_MODE:
                answer["subFolders"].append({"treeId": entry.id, **place})
            elif entry.mode == SUBMODULE_MODE:
                answer["subModules"].append({"commitId": entry.id, **place})
            else:
                kind = "symbolicLinks" if entry.mode == "120000" else "files"
                file = {"blobId": entry.id, "fileMode": mode_name(entry.mode), **place}
                answer[kind].append(file)
        return answer

    def get_differences(self, call: Call) -> Mapping[str, Any]:
        """The paths that differ between two commits, or all of one commit."""
        params, bare = call.params, self._bare(call)
        after = _resolve(bare, params["afterCommitSpecifier"])
        before = params.get("beforeCommitSpecifier")
        paths = {check_path(params[name]) for name in ("beforePath", "afterPath") if name in params}
        found = [
            {"path": difference.path, **_difference(difference)}
            for difference in differences(bare, _resolve(bare, before) if before else None, after)
            if not paths or any(_is_below(difference.path, path) for path in paths)
        ]
        try:
            page, more = page_of(found, lambda one: str(one["path"]), params)
        except AwsError as err:
            raise AwsError("InvalidContinuationTokenException", err.message) from err
        return {"differences": page, **more}

    def _bare(self, call: Call) -> BareRepository:
        return self.repositories.find(call.params["repositoryName"]).bare


def check_path(path: str) -> str:
    """The path without a slash at its ends; AwsError unless a commit may hold it."""
    if not path:
        raise AwsError("PathRequiredException", "A path is required.")
    stripped = path.strip("/")
    forbidden = ("", ".", "..", ".git")
    if "\0" in stripped or any(part.lower() in forbidden for part in stripped.split("/")):
        raise AwsError(
            "InvalidPathException",
            f"{path!r} is not a valid path: no part of it may be empty, '.', '..' or '.git'",
        )
    return stripped


def mode_name(mode: str) -> str:
    """CodeCommit's word for git's mode; what old programs wrote otherwise is NORMAL."""
    return MODE_NAMES.get(mode, "NORMAL")


def _resolve(bare: BareRepository, specifier: str | None) -> str:
    """The commit that is meant; without a specifier the tip of the default branch."""
    commit = bare.find_commit(specifier or "HEAD")
    if commit is None:
        said = f"Commit {specifier}" if specifier else "The default branch"
        raise AwsError("CommitDoesNotExistException", f"{said} does not exist in this repository")
    return commit


def _content(bare: BareRepository, blob: str) -> bytes:
    size = blob_size(bare, blob)
    if size > FILE_LIMIT_BYTES:
        raise AwsError(
            "FileTooLargeException",
            f"the file has {size} bytes; over the API at most {FILE_LIMIT_BYTES} are given. "
            "Clone the repository instead.",
        )
    return read_blob(bare, blob)


def _commit(commit: Commit) -> dict[str, Any]:
    return {
        "commitId": commit.id,
        "treeId": commit.tree,
        "parents": list(commit.parents),
        "message": commit.message,
        "author": _person(commit.author),
        "committer": _person(commit.committer),
        "additionalData": commit.extra,
    }


def _person(person: Person) -> dict[str, str]:
    return {"name": person.name, "email": person.email, "date": person.date}


def _difference(difference: Difference) -> dict[str, Any]:
    blobs = {
        "beforeBlob": _blob(difference.path, difference.before),
        "afterBlob": _blob(difference.path, difference.after),
    }
    return {
        "changeType": difference.kind,
        **{name: blob for name, blob in blobs.items() if blob is not None},
    }


def _blob(path: str, entry: Entry | None) -> dict[str, str] | None:
    return {"blobId": entry.id, "path": path, "mode": entry.mode} if entry else None


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
