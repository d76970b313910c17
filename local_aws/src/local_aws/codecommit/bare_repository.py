"""One bare repository: its refs, and one writer at a time, after whom is told what changed."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_aws.codecommit.git import run_git

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
_DEFAULT_BRANCH = "main"


@dataclass(frozen=True, kw_only=True)
class RefChange:
    """A branch or tag that was created (no old id), moved, or deleted (no new id)."""

    ref: str
    old: str | None
    new: str | None


class BareRepository:
    """A bare git repository on disk. Safe to use from several threads.

    `told` is called after each writer with what changed and who changed it.
    """

    def __init__(self, path: Path, told: Callable[[Sequence[RefChange], str], None]) -> None:
        self.path = path
        self._told = told
        self._lock = threading.RLock()

    def create(self) -> None:
        """Make it: empty, pushes over HTTP allowed, default branch main."""
        self.path.mkdir(parents=True)
        self.git("init", "--quiet", "--bare", f"--initial-branch={_DEFAULT_BRANCH}", ".")
        self.git("config", "http.receivepack", "true")
        # It would go on in the background after a push; repositories here are short-lived.
        self.git("config", "receive.autogc", "false")

    def delete(self) -> None:
        """Remove it from disk, when no writer is at work."""
        with self._lock:
            shutil.rmtree(self.path)

    def git(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes:
        """The output of a git command in this repository; raises GitError."""
        # Named, lest git finds another one in a folder above when this one is damaged.
        own = {"GIT_DIR": str(self.path), **(environment or {})}
        return run_git(*arguments, directory=self.path, stdin=stdin, environment=own)

    @contextlib.contextmanager
    def writing(self, caller_arn: str) -> Iterator[None]:
        """Be the only writer; on leaving, whoever listens is told what became of the refs.

        Whatever did change is told even if the writer fails afterwards. The order of the calls is
        the order of the changes.
        """
        with self._lock:
            before = self.refs()
            try:
                yield
            finally:
                after = self.refs()
                self._choose_default_branch(before, after)
                changes = compare_refs(before, after)
                if changes:
                    self._told(changes, caller_arn)

    def refs(self) -> dict[str, str]:
        """Branches and tags by full name, to the commit that each leads to."""
        listed = self.git(
            "for-each-ref", "--format=%(objectname) %(*objectname) %(refname)", BRANCHES, TAGS
        )
        found = {}
        for line in listed.decode().splitlines():
            own, peeled, ref = line.split(" ", 2)
            found[ref] = peeled or own
        return found

    def branches(self) -> dict[str, str]:
        """Branch name to commit id."""
        return {
            ref.removeprefix(BRANCHES): commit
            for ref, commit in self.refs().items()
            if ref.startswith(BRANCHES)
        }

    def default_branch(self) -> str | None:
        """The branch that a clone checks out; None while there is none."""
        head = self.git("symbolic-ref", "HEAD").decode().strip().removeprefix(BRANCHES)
        return head if head in self.branches() else None

    def set_default_branch(self, name: str) -> None:
        """Let clones check out that branch."""
        self.git("symbolic-ref", "HEAD", BRANCHES + name)

    def _choose_default_branch(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """After the first push: main if it is there, else the first branch there is."""
        first = sorted(ref for ref in after if ref.startswith(BRANCHES))
        if not first or any(ref.startswith(BRANCHES) for ref in before):
            return
        if BRANCHES + _DEFAULT_BRANCH not in first:
            self.set_default_branch(first[0].removeprefix(BRANCHES))


def compare_refs(before: Mapping[str, str], after: Mapping[str, str]) -> list[RefChange]:
    """What changed between two states, by ref name."""
    return [
        RefChange(ref=ref, old=before.get(ref), new=after.get(ref))
        for ref in sorted({*before, *after})
        if before.get(ref) != after.get(ref)
    ]
