"""The role that a stack is given: every change is a call under it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local_aws.cloudformation.service import CloudFormation
from local_aws.gateway import Gateway


def test_everything_is_called_under_the_role_that_the_stack_was_given(
    account: Any, tmp_path: Path
) -> None:
    # A gateway of its own: its log of calls is complete when it is closed.
    gateway = Gateway(tmp_path, lambda own: [CloudFormation(own)]).start()
    alone = type(account)(gateway)
    try:
        role_arn = alone.create_role("cloudformation.amazonaws.com")
        stack = alone.stack(
            {
                "Topic": {"Type": "AWS::SNS::Topic"},
                "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 3}},
            }
        )
        assert stack.create(RoleARN=role_arn) == "CREATE_COMPLETE", stack.reasons()
        stack.resources["Logs"]["Properties"]["RetentionInDays"] = 7
        assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
        assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    finally:
        gateway.close()

    calls = [json.loads(line) for line in (tmp_path / "api-calls.jsonl").read_text().splitlines()]
    under_role = f":assumed-role/{role_arn.rsplit('/', 1)[-1]}/cloudformation"
    assert {call["action"] for call in calls if call["caller"].endswith(under_role)} == {
        *("sns:CreateTopic", "sns:DeleteTopic"),
        *("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogGroup"),
    }
