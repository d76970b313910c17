"""The `aws` command line against repositories and connections."""

from __future__ import annotations

import json

import pytest
from aws_cli import run_aws


@pytest.fixture
def aws(hosting):
    """Runs `aws` as the developer; returns the exit code, what it printed as JSON, its stderr."""

    def run(*arguments):
        done = run_aws(hosting.gateway.own, *arguments)
        return done.returncode, json.loads(done.stdout or "null"), done.stderr

    return run


def test_a_repository_created_by_the_command_line_is_pushed_to(hosting, aws, work_tree):
    name = "made-by-aws"
    code, created, _ = aws(
        "codecommit", "create-repository", "--repository-name", name, "--tags", "team=ml"
    )
    assert code == 0
    commit = work_tree.commit(a="1")
    work_tree("push", "--quiet", created["repositoryMetadata"]["cloneUrlHttp"], "main")

    _, answer, _ = aws(
        "codecommit", "get-branch", "--repository-name", name, "--branch-name", "main"
    )
    assert answer["branch"]["commitId"] == commit

    code, _, stderr = aws("codecommit", "get-repository", "--repository-name", "absent")
    assert code != 0
    assert "(RepositoryDoesNotExistException)" in stderr


@pytest.mark.parametrize("service", ["codeconnections", "codestar-connections"])
def test_a_connection_created_by_the_command_line_is_available(aws, service):
    _, created, _ = aws(
        *(service, "create-connection", "--provider-type", "GitHub"),
        *("--connection-name", f"by-{service}"),
    )
    _, answer, _ = aws(service, "get-connection", "--connection-arn", created["ConnectionArn"])

    assert answer["Connection"]["ConnectionStatus"] == "AVAILABLE"
