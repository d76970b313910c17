"""Sources from git: real clones of CodeCommit repositories and of those behind a connection."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from callers import git_logs_in

from local_aws.gateway import Gateway

PERSON = {
    **os.environ,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


@pytest.fixture
def repository() -> str:
    return f"repository-{uuid.uuid4().hex[:12]}"


def code_commit(declare: Any, repository: str, **configuration: str) -> dict[str, Any]:
    given = {
        "RepositoryName": repository,
        "BranchName": "main",
        "PollForSourceChanges": "false",
        **configuration,
    }
    action = declare.action(
        "Clone", "Source/CodeCommit", given, outputs=["Code"], namespace="Source"
    )
    return declare.stage("Source", action)  # type: ignore[no-any-return]


def ask(declare: Any) -> dict[str, Any]:
    text = "#{Source.BranchName} #{Source.CommitId}"
    return declare.stage("Ask", declare.approval(configuration={"CustomData": text}))  # type: ignore[no-any-return]


def fetched(account: Any, pipeline: Any, execution_id: str) -> dict[str, str]:
    """The files of the source artifact."""
    pipeline.asked("Ask", "Approve", execution_id)
    (artifact,) = pipeline.runs(execution_id)[0]["output"]["outputArtifacts"]
    with account.read_artifact(artifact) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_branch_of_a_codecommit_repository_is_cloned(
    account: Any, declare: Any, repository: str
) -> None:
    account.commit(repository, {"README.md": "old"})
    commit_id = account.commit(repository, {"README.md": "new", "src/a.py": "a = 1"})
    pipeline = account.create(code_commit(declare, repository), ask(declare))
    execution_id = pipeline.first()

    assert fetched(account, pipeline, execution_id) == {"README.md": "new", "src/a.py": "a = 1"}
    clone, approve = pipeline.runs(execution_id)
    assert approve["input"]["resolvedConfiguration"]["CustomData"] == f"main {commit_id}"
    variables = clone["output"]["outputVariables"]
    assert variables["CommitMessage"] == "Write README.md, src/a.py"
    assert variables["RepositoryName"] == repository
    assert {"AuthorDate", "CommitterDate"} <= set(variables)
    (revision,) = pipeline.execution(execution_id)["artifactRevisions"]
    assert revision["revisionId"] == commit_id
    assert revision["revisionSummary"] == "Write README.md, src/a.py"
    assert pipeline.executions()[0]["sourceRevisions"][0]["actionName"] == "Clone"
    assert commit_id in pipeline.action("Source", "Clone")["revisionUrl"]


@pytest.mark.parametrize("given", [{"BranchName": "other"}, {"RepositoryName": "nowhere"}])
def test_missing_branch_or_repository_fails_the_action(
    account: Any, declare: Any, repository: str, given: dict[str, str]
) -> None:
    account.commit(repository, {"README.md": "hello"})
    pipeline = account.create(code_commit(declare, repository, **given), ask(declare))

    assert pipeline.ended(pipeline.first()) == "Failed"
    message = pipeline.latest("Source", "Clone")["errorDetails"]["message"]
    (name,) = given.values()
    assert name in message


@pytest.mark.parametrize(("polls", "starts"), [("true", 1), ("false", 0)])
def test_polling_source_starts_with_the_push(
    account: Any, declare: Any, repository: str, polls: str, starts: int
) -> None:
    account.commit(repository, {"README.md": "old"})
    pipeline = account.create(
        code_commit(declare, repository, PollForSourceChanges=polls), ask(declare)
    )
    pipeline.asked("Ask", "Approve")

    account.commit(repository, {"README.md": "new"})

    started = pipeline.executions()[1:]
    assert [e["trigger"]["triggerType"] for e in started] == ["PollForSourceChanges"] * starts


class Clone:
    """A working tree whose pushes go to a repository behind a connection."""

    def __init__(self, folder: Path, gateway: Gateway, name: str) -> None:
        self.folder = folder
        self.variables = {
            **PERSON,
            **git_logs_in(),
            **gateway.own.credentials_environment(None),
        }
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("remote", "add", "origin", f"{gateway.url}/git/{name}.git")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=self.variables,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def push(self, path: str, text: str, reference: str = "main") -> str:
        """Commit the file, and push; the commit's id."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", f"Write {path}")
        self.git("push", "--quiet", "origin", f"HEAD:{reference}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def clone(account: Any, repository: str, tmp_path: Path) -> Clone:
    return Clone(tmp_path, account.gateway, f"team/{repository}")


def connected(account: Any, declare: Any, repository: str) -> dict[str, Any]:
    arn = account.gateway.own.client("codeconnections").create_connection(
        ConnectionName=repository[:32], ProviderType="GitLab"
    )["ConnectionArn"]
    given = {"ConnectionArn": arn, "FullRepositoryId": f"team/{repository}", "BranchName": "main"}
    action = declare.action(
        "Clone", "Source/CodeStarSourceConnection", given, outputs=["Code"], namespace="Source"
    )
    return declare.stage("Source", action)  # type: ignore[no-any-return]


def test_push_to_the_branch_starts_with_that_commit(
    account: Any, declare: Any, repository: str, clone: Clone
) -> None:
    (clone.folder / "run.sh").write_text("#!/bin/sh\n")
    (clone.folder / "run.sh").chmod(0o755)
    clone.push("README.md", "old")
    pipeline = account.create(connected(account, declare, repository), ask(declare))
    pipeline.approve("Ask", "Approve")

    clone.push("README.md", "other", "refs/heads/other")
    commit_id = clone.push("README.md", "new")

    _, started = pipeline.executions()
    assert started["trigger"]["triggerType"] == "WebhookV2"
    execution_id = started["pipelineExecutionId"]
    assert fetched(account, pipeline, execution_id)["README.md"] == "new"
    run = pipeline.runs(execution_id)[0]
    variables = run["output"]["outputVariables"]
    assert variables["CommitId"] == commit_id
    assert variables["ProviderType"] == "GitLab"
    assert variables["AuthorEmail"] == "ada@example.com"
    assert variables["FullRepositoryName"] == f"team/{repository}"
    (artifact,) = run["output"]["outputArtifacts"]
    with account.read_artifact(artifact) as archive:
        assert archive.getinfo("run.sh").external_attr >> 16 & 0o111


def test_file_paths_decide_whether_a_push_starts_it(
    account: Any, declare: Any, repository: str, clone: Clone
) -> None:
    clone.push("README.md", "hello")
    push_filter = {
        "branches": {"includes": ["main"]},
        "filePaths": {"includes": ["release/**"]},
    }
    trigger = {
        "providerType": "CodeStarSourceConnection",
        "gitConfiguration": {"sourceActionName": "Clone", "push": [push_filter]},
    }
    pipeline = account.create(
        connected(account, declare, repository), ask(declare), triggers=[trigger]
    )

    clone.push("train/config.py", "a = 1")
    assert len(pipeline.executions()) == 1
    clone.push("release/build.py", "b = 1")
    assert len(pipeline.executions()) == 2


def test_connection_that_is_not_there_fails_the_action(
    account: Any, declare: Any, repository: str
) -> None:
    stage = connected(account, declare, repository)
    arn = "arn:aws:codeconnections:us-east-1:123456789012:connection/none"
    stage["actions"][0]["configuration"]["ConnectionArn"] = arn
    pipeline = account.create(stage, ask(declare))

    assert pipeline.ended(pipeline.first()) == "Failed"
    error = pipeline.latest("Source", "Clone")["errorDetails"]
    assert error["message"].startswith(f"Unable to use Connection: {arn}")


def test_a_push_to_another_branch_is_what_its_trigger_fetches(
    account: Any, declare: Any, repository: str, clone: Clone
) -> None:
    clone.push("README.md", "released")
    trigger = {
        "providerType": "CodeStarSourceConnection",
        "gitConfiguration": {
            "sourceActionName": "Clone",
            "push": [{"branches": {"includes": ["release/*"]}}],
        },
    }
    pipeline = account.create(
        connected(account, declare, repository), ask(declare), triggers=[trigger]
    )
    pipeline.reject("Ask", "Approve", pipeline.first())

    clone.git("push", "--quiet", "origin", "HEAD:refs/tags/v1")
    clone.push("README.md", "hotfix", "refs/heads/release/2")
    clone.push("README.md", "later")

    _, released = [e["pipelineExecutionId"] for e in pipeline.executions()]
    assert fetched(account, pipeline, released) == {"README.md": "hotfix"}
    assert pipeline.runs(released)[0]["output"]["outputVariables"]["BranchName"] == "release/2"
