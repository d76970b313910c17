"""Faults of local_aws itself while a stack is deployed: it goes back, or says that it can't."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.cloudformation import deployment
from local_aws.cloudformation.stack import Stack

TOPIC = {"Topic": {"Type": "AWS::SNS::Topic"}}
CAUSE = "local_aws: KeyError: 'planted'"


def _fault(*_: Any, **__: Any) -> None:
    raise KeyError("planted")


def _reasons(stack: Any) -> str:
    return "\n".join(event.get("ResourceStatusReason", "") for event in stack.events())


def test_a_creation_that_meets_a_fault_rolls_back(
    account: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stack = account.stack(TOPIC)
    monkeypatch.setattr(Stack, "evaluate_outputs", _fault)

    assert stack.create() == "ROLLBACK_COMPLETE"

    assert CAUSE in _reasons(stack)
    assert stack.statuses() == {"Topic": "DELETE_COMPLETE"}
    assert f"stack {stack.name} failed inside local_aws" in caplog.text


def test_an_update_that_meets_a_fault_goes_back(
    account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = account.stack(TOPIC)
    assert stack.create() == "CREATE_COMPLETE"
    stack.resources["Another"] = {"Type": "AWS::SNS::Topic"}

    with monkeypatch.context() as planted:
        planted.setattr(Stack, "evaluate_outputs", _fault)
        assert stack.update() == "UPDATE_ROLLBACK_COMPLETE"

    assert CAUSE in _reasons(stack)
    assert stack.update() == "UPDATE_COMPLETE"


def test_a_cleanup_that_meets_a_fault_ends(account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = account.stack({**TOPIC, "Another": {"Type": "AWS::SNS::Topic"}})
    stack.create()
    del stack.resources["Another"]

    monkeypatch.setattr(deployment.Deployment, "_delete", _fault)

    assert stack.update() == "UPDATE_FAILED"
    assert stack.describe()["StackStatusReason"] == CAUSE


def test_a_way_back_that_meets_a_fault_too_ends_as_failed(
    account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = account.stack(TOPIC)
    monkeypatch.setattr(Stack, "evaluate_outputs", _fault)
    monkeypatch.setattr(deployment, "_reversed_order", _fault)

    assert stack.create() == "ROLLBACK_FAILED"
    assert stack.describe()["StackStatusReason"] == CAUSE


def test_a_deletion_that_meets_a_fault_fails_and_can_be_tried_again(
    account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = account.stack(TOPIC)
    stack.create()

    with monkeypatch.context() as planted:
        planted.setattr(deployment, "_reversed_order", _fault)
        assert stack.delete() == "DELETE_FAILED"
    assert stack.describe()["StackStatusReason"] == CAUSE

    assert stack.delete() == "DELETE_COMPLETE"
