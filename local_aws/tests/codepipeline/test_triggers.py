"""Which push starts a pipeline: pure decisions."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.codepipeline.definition import Pipeline, read_pipeline
from local_aws.codepipeline.triggers import Push, glob_matches, matches, source_started_by


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("main", "main", True),
        ("main", "main2", False),
        ("main*", "mainline", True),
        ("release/*", "release/1", True),
        ("release/*", "release/1/hotfix", False),
        ("release/**", "release/1/hotfix", True),
        ("**", "a/b/c.py", True),
        ("release/**", "release/test/test.py", True),
        ("release/**", "release.md", False),
        ("*.py", "setup.py", True),
        ("*.py", "train/config.py", False),
        ("**.py", "train/config.py", True),
        ("v?", "v1", True),
        ("v?", "v/", False),
        ("a.b", "axb", False),
    ],
)
def test_glob(pattern: str, text: str, expected: bool) -> None:
    assert glob_matches(pattern, text) is expected


def push(reference: str = "main", *paths: str, kind: str = "branch") -> Push:
    return Push(
        repository="team/model",
        reference_type=kind,
        reference=reference,
        commit_id="c0ffee",
        changed_paths=paths,
    )


DEPLOY = {"includes": ["release/**", "requirements/release.txt"]}


@pytest.mark.parametrize(
    ("push_filter", "pushed", "expected"),
    [
        ({"branches": {"includes": ["main"]}}, push("main"), True),
        ({"branches": {"includes": ["main"]}}, push("other"), False),
        ({"branches": {"excludes": ["dev/**"]}}, push("main"), True),
        ({"branches": {"excludes": ["dev/**"]}}, push("dev/a/b"), False),
        ({"branches": {"includes": ["r*"], "excludes": ["r1"]}}, push("r1"), False),
        ({"branches": {"includes": ["r*"], "excludes": ["r1"]}}, push("r2"), True),
        ({"branches": {"includes": ["main"]}}, push("main", kind="tag"), False),
        ({"filePaths": DEPLOY}, push("main", "release/build.py", "README.md"), True),
        ({"filePaths": DEPLOY}, push("main", "train/config.py"), False),
        ({"filePaths": {"excludes": ["**.md"]}}, push("main", "README.md"), False),
        ({"filePaths": {"excludes": ["**.md"]}}, push("main", "README.md", "setup.py"), True),
        (
            {"branches": {"includes": ["main"]}, "filePaths": DEPLOY},
            push("other", "release/build.py"),
            False,
        ),
    ],
)
def test_push_filter(push_filter: dict[str, Any], pushed: Push, expected: bool) -> None:
    assert matches(push_filter, pushed) is expected


def pipeline(triggers: list[dict[str, Any]], **configuration: str) -> Pipeline:
    source = {
        "name": "Clone",
        "actionTypeId": {
            "category": "Source",
            "owner": "AWS",
            "provider": "CodeStarSourceConnection",
            "version": "1",
        },
        "configuration": {
            "FullRepositoryId": "team/model",
            "BranchName": "main",
            **configuration,
        },
        "outputArtifacts": [{"name": "Cloned"}],
    }
    return read_pipeline(
        {
            "name": "p",
            "roleArn": "r",
            "stages": [{"name": "Source", "actions": [source]}],
            "triggers": triggers,
        },
        version=1,
    )


def trigger(*filters: dict[str, Any]) -> dict[str, Any]:
    git = {"sourceActionName": "Clone", "push": list(filters)}
    return {"providerType": "CodeStarSourceConnection", "gitConfiguration": git}


def started(declared: Pipeline, pushed: Push) -> bool:
    return source_started_by(declared, pushed) is not None


def test_without_triggers_a_push_to_the_branch_starts_it() -> None:
    assert started(pipeline([]), push("main"))
    assert not started(pipeline([]), push("other"))
    assert not started(pipeline([], FullRepositoryId="team/other"), push("main"))


def test_detection_can_be_turned_off() -> None:
    assert not started(pipeline([], DetectChanges="false"), push("main"))


def test_triggers_decide_alone_and_any_filter_will_do() -> None:
    declared = pipeline(
        [trigger({"branches": {"includes": ["release/*"]}}, {"branches": {"includes": ["v*"]}})]
    )
    assert not started(declared, push("main"))
    assert started(declared, push("release/1"))
    assert started(declared, push("v2"))
    assert not started(declared, push("v2", kind="tag"))


def test_trigger_works_where_detection_is_off() -> None:
    # The console writes DetectChanges false beside the triggers that it makes.
    declared = pipeline([trigger({"branches": {"includes": ["main"]}})], DetectChanges="false")
    assert started(declared, push("main"))
