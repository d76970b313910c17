"""Which push starts which pipeline: the triggers of V2 pipelines, and what sources do without them.

Sources: "Automate starting pipelines using triggers and filtering" and "Working with glob patterns
in syntax" in the CodePipeline user guide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_aws.codepipeline.actions.action import WantedRevision
from local_aws.codepipeline.definition import Action, Pipeline


@dataclass(frozen=True, kw_only=True)
class Push:
    """One pushed branch or tag of a repository behind a connection."""

    repository: str
    reference_type: str  # branch or tag
    reference: str
    commit_id: str
    changed_paths: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def from_detail(cls, detail: Mapping[str, Any]) -> Push:
        """The push that an event's detail tells of."""
        return cls(
            repository=detail["fullRepositoryId"],
            reference_type=detail["referenceType"],
            reference=detail["referenceName"],
            commit_id=detail["commitId"],
            changed_paths=tuple(detail.get("changedPaths", ())),
        )

    def wanted(self) -> WantedRevision:
        """What the source action is to fetch."""
        return WantedRevision(commit_id=self.commit_id, branch=self.reference)


def source_started_by(pipeline: Pipeline, push: Push) -> Action | None:
    """The source action that the push starts the pipeline with; None if it doesn't start it."""
    sources = {
        action.name: action
        for action in pipeline.stages[0].actions
        if action.provider == "CodeStarSourceConnection"
        and action.configuration["FullRepositoryId"] == push.repository
    }
    declared = pipeline.declaration.get("triggers", [])
    with_trigger = {trigger["gitConfiguration"]["sourceActionName"] for trigger in declared}
    for trigger in declared:
        git = trigger["gitConfiguration"]
        if git["sourceActionName"] in sources and any(
            matches(push_filter, push) for push_filter in git.get("push", [{}])
        ):
            return sources[git["sourceActionName"]]
    for name, action in sources.items():
        detects = action.configuration.get("DetectChanges", "true").lower() != "false"
        to_branch = (push.reference_type, push.reference) == (
            "branch",
            action.configuration["BranchName"],
        )
        if name not in with_trigger and detects and to_branch:
            return action
    return None


def matches(push_filter: Mapping[str, Any], push: Push) -> bool:
    """Whether a push filter lets the push through: by its branch and file paths together."""
    if push.reference_type != "branch":
        return False
    if "branches" in push_filter and not _passes(push_filter["branches"], push.reference):
        return False
    if "filePaths" in push_filter:
        return any(_passes(push_filter["filePaths"], path) for path in push.changed_paths)
    return True


def glob_matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches: `*` and `?` stay within a folder, `**` does not."""
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = [words.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", pattern)]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _passes(criteria: Mapping[str, Sequence[str]], text: str) -> bool:
    """An exclusion counts more than an inclusion; without inclusions everything is included."""
    if any(glob_matches(pattern, text) for pattern in criteria.get("excludes", [])):
        return False
    includes = criteria.get("includes", [])
    return not includes or any(glob_matches(pattern, text) for pattern in includes)
