"""What became of branches and tags, told on the event bus: one event for each of them."""

from __future__ import annotations

from collections.abc import Sequence

from local_aws.codecommit.bare_repository import BRANCHES, TAGS, BareRepository, RefChange
from local_aws.event_bus import EventBus


def publish_codecommit(
    bus: EventBus,
    changes: Sequence[RefChange],
    *,
    arn: str,
    name: str,
    repository_id: str,
    caller_arn: str,
) -> None:
    """As CodeCommit does (user guide, "Monitoring CodeCommit events").

    A created reference has no `oldCommitId`, a deleted one no `commitId`.
    """
    for change in changes:
        kind, short = _name(change)
        detail = {
            "event": _event(change),
            "repositoryName": name,
            "repositoryId": repository_id,
            "referenceType": kind,
            "referenceName": short,
            "referenceFullName": change.ref,
            "callerUserArn": caller_arn,
            **_ids(change),
        }
        bus.publish(
            "aws.codecommit", "CodeCommit Repository State Change", resources=[arn], detail=detail
        )


def publish_connection(
    bus: EventBus, changes: Sequence[RefChange], *, name: str, repository: BareRepository
) -> None:
    """What a Git provider's webhook would tell AWS, with the paths that trigger filters look at.

    A new branch has changed all its files; tags and deletions change none.
    """
    for change in changes:
        kind, short = _name(change)
        paths = []
        if kind == "branch" and change.new is not None:
            paths = _changed_paths(repository, change.old, change.new)
        detail = {
            "fullRepositoryId": name,
            "referenceType": kind,
            "referenceName": short,
            "changedPaths": paths,
            **_ids(change),
        }
        bus.publish("local.connection", "Push", resources=[], detail=detail)


def _event(change: RefChange) -> str:
    if change.old is None:
        return "referenceCreated"
    return "referenceDeleted" if change.new is None else "referenceUpdated"


def _name(change: RefChange) -> tuple[str, str]:
    if change.ref.startswith(BRANCHES):
        return "branch", change.ref.removeprefix(BRANCHES)
    return "tag", change.ref.removeprefix(TAGS)


def _ids(change: RefChange) -> dict[str, str]:
    ids = {"commitId": change.new, "oldCommitId": change.old}
    return {name: value for name, value in ids.items() if value is not None}


def _changed_paths(repository: BareRepository, before: str | None, after: str) -> list[str]:
    """The paths whose content or mode differs; without `before`, all files."""
    if before is None:
        listed = repository.git("ls-tree", "-r", "-z", "--full-tree", "--name-only", after)
    else:
        listed = repository.git(
            "diff-tree", "-r", "-z", "--no-renames", "--name-only", before, after
        )
    return sorted(listed.decode(errors="surrogateescape").split("\0")[:-1])
