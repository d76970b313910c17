"""`aws cloudformation deploy` as people type it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cli import run_aws

TEMPLATE = """
Parameters:
  Days: {Type: Number, Default: 7}
Resources:
  Logs:
    Type: AWS::Logs::LogGroup
    Properties: {RetentionInDays: !Ref Days}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement:
          Effect: Allow
          Action: sts:AssumeRole
          Principal: {Service: events.amazonaws.com}
Outputs:
  Logs: {Value: !Ref Logs}
"""


@pytest.fixture
def aws(account: Any) -> Any:
    def run(*arguments: str, fails: bool = False) -> str:
        done = run_aws(account.own, *arguments)
        assert (done.returncode != 0) is fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


def test_deploy_makes_a_change_set_and_knows_when_there_is_nothing_to_do(
    account: Any, aws: Any, tmp_path: Path
) -> None:
    template = tmp_path / "template.yml"
    template.write_text(TEMPLATE)
    deploy = ("cloudformation", "deploy", "--template-file", str(template))
    stack = ("--stack-name", "typed", "--tags", "team=ml", "--parameter-overrides", "Days=14")
    iam = ("--capabilities", "CAPABILITY_IAM")
    client = account.cloudformation

    assert "InsufficientCapabilities" in aws(*deploy, *stack, fails=True)
    # Executing it as well would wait for 30 s between two looks, as the command does.
    assert "Changeset created successfully" in aws(*deploy, *stack, *iam, "--no-execute-changeset")
    (change_set,) = client.list_change_sets(StackName="typed")["Summaries"]
    client.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
    client.get_waiter("stack_create_complete").wait(StackName="typed", WaiterConfig={"Delay": 1})

    (made,) = client.describe_stacks(StackName="typed")["Stacks"]
    (output,) = made["Outputs"]
    name = output["OutputValue"]
    (group,) = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert group["retentionInDays"] == 14
    assert account.client("logs").list_tags_log_group(logGroupName=name)["tags"] == {"team": "ml"}
    quiet = "--no-fail-on-empty-changeset"
    assert "No changes to deploy" in aws(*deploy, *stack, *iam, quiet)
