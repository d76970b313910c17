"""Commits, trees, blobs and differences of a bare repository, read and written by git."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_aws.codecommit.bare_repository import BareRepository
from local_aws.codecommit.git import GitError

SUBMODULE_MODE = "160000"
FOLDER_MODE = "040000"
_NOTHING = "0" * 40


@dataclass(frozen=True)
class Person:
    """Who wrote or committed; `date` is seconds since 1970 and the offset, as git writes it."""

    name: str
    email: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit; `extra` are its further headers (a signature, an encoding), as they are."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str
    extra: str


@dataclass(frozen=True)
class Entry:
    """What stands at a path: git's file mode, and the object's id."""

    mode: str
    id: str


@dataclass(frozen=True)
class Difference:
    """A path that was added (A; nothing before), modified (M) or deleted (D; nothing after)."""

    kind: str
    path: str
    before: Entry | None
    after: Entry | None


def read_commit(repository: BareRepository, commit: str) -> Commit | None:
    """The commit of that full id, None if there is none."""
    if object_type(repository, commit) != "commit":
        return None
    text = repository.git("cat-file", "commit", commit).decode(errors="replace")
    head, _, message = text.partition("\n\n")
    headers: dict[str, list[str]] = {}
    extra = []
    for line in head.split("\n"):
        name, _, value = line.partition(" ")
        if name in ("tree", "parent", "author", "committer"):
            headers.setdefault(name, []).append(value)
        else:
            extra.append(line)
    return Commit(
        id=commit,
        tree=headers["tree"][0],
        parents=tuple(headers.get("parent", ())),
        author=_person(headers["author"][0]),
        committer=_person(headers["committer"][0]),
        message=message,
        extra="\n".join(extra),
    )


def object_type(repository: BareRepository, object_id: str) -> str | None:
    """blob, tree, commit, tag, or None if there is no such object."""
    try:
        return repository.git("cat-file", "-t", object_id).decode().strip()
    except GitError:
        return None


def read_blob(repository: BareRepository, blob: str) -> bytes:
    """A file's content."""
    return repository.git("cat-file", "blob", blob)


def blob_size(repository: BareRepository, blob: str) -> int:
    """A file's length in bytes."""
    return int(repository.git("cat-file", "-s", blob))


def find_entry(repository: BareRepository, commit: str, path: str) -> Entry | None:
    """What stands at the path, a file or a folder; the empty path is the root folder."""
    if not path:
        tree = repository.git("rev-parse", f"{commit}^{{tree}}").decode().strip()
        return Entry(FOLDER_MODE, tree)
    listed = repository.git("--literal-pathspecs", "ls-tree", "-z", commit, "--", path)
    return _entries(listed).get(path)


def list_folder(repository: BareRepository, tree: str) -> dict[str, Entry]:
    """Names directly in a tree, to what stands there."""
    return _entries(repository.git("ls-tree", "-z", tree))


def list_files(repository: BareRepository, commit: str) -> dict[str, Entry]:
    """All files of a commit by path."""
    return _entries(repository.git("ls-tree", "-r", "-z", "--full-tree", commit))


def differences(repository: BareRepository, before: str | None, after: str) -> list[Difference]:
    """What differs between two commits, by path; without `before`, all files were added."""
    if before is None:
        files = list_files(repository, after)
        return [Difference("A", path, None, entry) for path, entry in sorted(files.items())]
    raw = repository.git("diff-tree", "-r", "-z", "--no-renames", "--raw", before, after)
    fields = raw.decode(errors="surrogateescape").split("\0")
    found = []
    for head, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, kind = head.removeprefix(":").split(" ")
        found.append(
            Difference(
                kind="M" if kind == "T" else kind,
                path=path,
                before=None if old_id == _NOTHING else Entry(old_mode, old_id),
                after=None if new_id == _NOTHING else Entry(new_mode, new_id),
            )
        )
    return found


def changed_paths(repository: BareRepository, before: str | None, after: str) -> list[str]:
    """The paths whose content or mode differs."""
    return [difference.path for difference in differences(repository, before, after)]


def write_blob(repository: BareRepository, content: bytes) -> str:
    """The id of a file's content, now kept."""
    return repository.git("hash-object", "-w", "--stdin", stdin=content).decode().strip()


def write_tree(repository: BareRepository, files: Mapping[str, Entry]) -> str:
    """The id of a tree of these files, now kept."""
    lines = [f"{entry.mode} {entry.id}\t{path}\0" for path, entry in files.items()]
    listed = "".join(lines).encode(errors="surrogateescape")
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        repository.git("update-index", "-z", "--index-info", stdin=listed, environment=index)
        return repository.git("write-tree", environment=index).decode().strip()


def write_commit(
    repository: BareRepository,
    *,
    tree: str,
    parent: str | None,
    message: str,
    name: str,
    email: str,
) -> str:
    """The id of a new commit, which no branch holds yet."""
    person = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email))
    }
    parents = ["-p", parent] if parent else []
    written = repository.git(
        "commit-tree", tree, *parents, stdin=message.encode(), environment=person
    )
    return written.decode().strip()


def _person(text: str) -> Person:
    who, _, date = text.rpartition("> ")
    name, _, email = who.rpartition("<")
    return Person(name.strip(), email, date)


def _entries(listed: bytes) -> dict[str, Entry]:
    found = {}
    for line in listed.decode(errors="surrogateescape").split("\0")[:-1]:
        head, _, path = line.partition("\t")
        mode, _, object_id = head.split(" ")
        found[path] = Entry(mode, object_id)
    return found
