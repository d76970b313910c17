"""Which files a commit adds, updates and deletes, and what is refused: a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local_aws.codecommit.objects import Entry
from local_aws.errors import AwsError

_DEFAULT_MODE = "100644"
_KEEPER = ".gitkeep"


@dataclass(frozen=True, kw_only=True)
class Put:
    """A file to be written: new content (`blob`), or that of another path (`source`).

    Without a mode it keeps the one it has, or that of its source.
    """

    path: str
    blob: str | None = None
    source: str | None = None
    is_move: bool = False
    mode: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """All that one commit is to change. `keeper` is an empty blob, for folders to be kept."""

    puts: Sequence[Put] = ()
    deletes: Sequence[str] = ()
    modes: Mapping[str, str]
    keeper: str | None = None


@dataclass(frozen=True)
class TreeChange:
    """The files afterwards; of those added, updated and deleted, what stands or stood there."""

    files: Mapping[str, Entry]
    added: Mapping[str, Entry]
    updated: Mapping[str, Entry]
    deleted: Mapping[str, Entry]


def change_files(before: Mapping[str, Entry], request: Request) -> TreeChange:
    """The files after the request; AwsError says which path cannot be."""
    _refuse_same_path(request)
    after = dict(before)
    moved = [put.source for put in request.puts if put.source is not None and put.is_move]
    for path in (*request.deletes, *moved):
        _find(before, path)
        after.pop(path, None)
    for path, mode in request.modes.items():
        after[path] = Entry(mode, _find(before, path).id)
    for put in request.puts:
        after[put.path] = _put(before, put)
    if request.keeper is not None:
        _keep_folders(before, after, request.keeper)
    _refuse_conflicts(before, after)
    change = TreeChange(
        files=after,
        added={path: entry for path, entry in after.items() if path not in before},
        updated={
            path: entry for path, entry in after.items() if path in before and before[path] != entry
        },
        deleted={path: entry for path, entry in before.items() if path not in after},
    )
    if not (change.added or change.updated or change.deleted):
        raise AwsError("NoChangeException", "the files are already as the commit would leave them")
    return change


def _refuse_same_path(request: Request) -> None:
    paths = [*(put.path for put in request.puts), *request.deletes, *request.modes]
    for path in paths:
        if paths.count(path) > 1:
            raise AwsError(
                "SamePathRequestException", f"{path} is named more than once in one commit"
            )


def _find(files: Mapping[str, Entry], path: str) -> Entry:
    if path not in files:
        raise AwsError("FileDoesNotExistException", f"File {path} does not exist in this branch")
    return files[path]


def _put(before: Mapping[str, Entry], put: Put) -> Entry:
    if put.source is not None:
        source = _find(before, put.source)
        return Entry(put.mode or source.mode, source.id)
    assert put.blob is not None
    present = before.get(put.path)
    return Entry(put.mode or (present.mode if present else _DEFAULT_MODE), put.blob)


def _keep_folders(before: Mapping[str, Entry], after: dict[str, Entry], keeper: str) -> None:
    """Leave a .gitkeep in each folder that lost its last file."""
    for path in before:
        folder = path.rpartition("/")[0]
        if folder and path not in after and not any(p.startswith(f"{folder}/") for p in after):
            after[f"{folder}/{_KEEPER}"] = Entry(_DEFAULT_MODE, keeper)


def _refuse_conflicts(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> None:
    """Nothing can be a file and a folder."""
    for path in after:
        folder = path
        while folder := folder.rpartition("/")[0]:
            if folder in after and folder in before:
                raise AwsError(
                    "DirectoryNameConflictsWithFileNameException",
                    f"{folder} is a file, so there can be no {path}",
                )
            if folder in after:
                raise AwsError(
                    "FileNameConflictsWithDirectoryNameException",
                    f"{folder} is a folder, which holds {path}, so there can be no file {folder}",
                )
