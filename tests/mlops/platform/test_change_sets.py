"""Change sets against local_aws's CloudFormation, and answers that only AWS gives by a Stubber."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from mlops.account import Account
from mlops.errors import DeploymentFailed
from mlops.platform.change_sets import (
    Change,
    ChangeRequest,
    ChangeSet,
    computed_change_set,
    execute_change_set,
)
from mlops.platform.stacks import find_stack

DELAY = 0.05


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": properties}


def request_of(name: str, resources: Mapping[str, Any], **parameters: str | None) -> ChangeRequest:
    template = {
        "Parameters": {key: {"Type": "String", "Default": "x"} for key in parameters},
        "Resources": resources,
    }
    return ChangeRequest(
        stack_name=name,
        template={"TemplateBody": json.dumps(template)},
        parameters=parameters,
        tags={"application": "test"},
    )


@pytest.fixture
def cloudformation(local_account: Account) -> Any:
    return local_account.client("cloudformation")


@pytest.fixture
def name() -> str:
    return f"stack-{uuid.uuid4().hex[:8]}"


def deploy(cloudformation: Any, request: ChangeRequest) -> None:
    stack = find_stack(cloudformation, request.stack_name)
    with computed_change_set(cloudformation, request, stack, DELAY) as change_set:
        execute_change_set(cloudformation, change_set)
    waiter = "stack_update_complete" if stack else "stack_create_complete"
    cloudformation.get_waiter(waiter).wait(
        StackName=request.stack_name, WaiterConfig={"Delay": DELAY}
    )


def change_sets(cloudformation: Any, name: str) -> list[Any]:
    return list(cloudformation.list_change_sets(StackName=name)["Summaries"])


def test_looking_at_a_new_stack_leaves_nothing_behind(cloudformation: Any, name: str) -> None:
    request = request_of(name, {"One": topic(), "Two": topic()})
    with computed_change_set(cloudformation, request, None, DELAY) as change_set:
        assert change_set.creates_stack
        assert not change_set.empty
        assert {change.logical_id: change.action for change in change_set.changes} == {
            "One": "Add",
            "Two": "Add",
        }
        assert find_stack(cloudformation, name).status == "REVIEW_IN_PROGRESS"
    assert find_stack(cloudformation, name) is None


def test_an_interrupted_look_leaves_nothing_behind(cloudformation: Any, name: str) -> None:
    request = request_of(name, {"One": topic()})
    with (
        pytest.raises(KeyboardInterrupt),
        computed_change_set(cloudformation, request, None, DELAY),
    ):
        raise KeyboardInterrupt
    assert find_stack(cloudformation, name) is None


def test_ctrl_c_while_the_set_is_being_made_leaves_nothing_behind(
    cloudformation: Any, name: str
) -> None:
    """Its request is on the way: AWS makes it whether or not somebody waits for the answer."""
    events, happened = cloudformation.meta.events, []

    def interrupt(**_: Any) -> None:
        happened.append("sent")
        signal.raise_signal(signal.SIGINT)

    def answered(**_: Any) -> None:
        happened.append("answered")

    hooks = {"before-send": interrupt, "after-call": answered}
    for moment, hook in hooks.items():
        events.register(f"{moment}.cloudformation.CreateChangeSet", hook)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            computed_change_set(cloudformation, request_of(name, {"One": topic()}), None, DELAY),
        ):
            pytest.fail("Ctrl-C was lost")
    finally:
        for moment, hook in hooks.items():
            events.unregister(f"{moment}.cloudformation.CreateChangeSet", hook)
    assert happened == ["sent", "answered"]
    assert find_stack(cloudformation, name) is None


def test_a_stack_that_somebody_else_reviews_stays(cloudformation: Any, name: str) -> None:
    request = request_of(name, {"One": topic()})
    cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="theirs",
        ChangeSetType="CREATE",
        TemplateBody=request.template["TemplateBody"],
    )
    stack = find_stack(cloudformation, name)
    with computed_change_set(cloudformation, request, stack, DELAY) as change_set:
        assert change_set.creates_stack
    assert [each["ChangeSetName"] for each in change_sets(cloudformation, name)] == ["theirs"]


def test_what_an_executed_one_made_stays(cloudformation: Any, name: str) -> None:
    deploy(cloudformation, request_of(name, {"One": topic()}))
    stack = find_stack(cloudformation, name)
    assert (stack.status, stack.tags) == ("CREATE_COMPLETE", {"application": "test"})


def test_without_differences_it_is_empty_and_gone(cloudformation: Any, name: str) -> None:
    request = request_of(name, {"One": topic()})
    deploy(cloudformation, request)
    stack = find_stack(cloudformation, name)
    with computed_change_set(cloudformation, request, stack, DELAY) as change_set:
        assert change_set.empty
        assert change_set.changes == ()
    assert change_sets(cloudformation, name) == []


def test_a_change_tells_its_properties_and_whether_it_replaces(
    cloudformation: Any, name: str
) -> None:
    old, new = (f"{name}-{each}" for each in "ab")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": old}}
    deploy(cloudformation, request_of(name, {"Data": bucket, "Told": topic(), "Gone": topic()}))
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": new}}
    request = request_of(name, {"Data": bucket, "Told": topic(DisplayName="me")})
    stack = find_stack(cloudformation, name)
    with computed_change_set(cloudformation, request, stack, DELAY) as change_set:
        changes = {change.logical_id: change for change in change_set.changes}
    assert changes["Data"] == Change(
        action="Modify",
        logical_id="Data",
        resource_type="AWS::S3::Bucket",
        replacement="yes",
        policy="",
        properties=("BucketName",),
    )
    assert changes["Data"].endangers_data
    told = changes["Told"]
    assert (told.replacement, told.properties, told.endangers_data) == (
        "no",
        ("DisplayName",),
        False,
    )
    assert (changes["Gone"].action, changes["Gone"].endangers_data) == ("Remove", False)


def test_a_kept_value_is_the_stack_s(cloudformation: Any, name: str) -> None:
    shown = {"One": topic(DisplayName={"Ref": "Shown"})}
    deploy(cloudformation, request_of(name, shown, Shown="first"))
    stack = find_stack(cloudformation, name)
    kept = request_of(name, shown, Shown=None)
    with computed_change_set(cloudformation, kept, stack, DELAY) as change_set:
        assert change_set.empty


def test_what_an_earlier_stack_left_is_taken_in_when_asked(cloudformation: Any, name: str) -> None:
    request = dataclasses.replace(request_of(name, {"One": topic()}), import_existing=True)
    with (
        # local_aws can't, which shows that it is asked.
        pytest.raises(ClientError, match="not support the parameter ImportExistingResources"),
        computed_change_set(cloudformation, request, None, DELAY),
    ):
        pass
    assert find_stack(cloudformation, name) is None


def test_a_name_that_is_taken_says_how_to_take_it_in() -> None:
    with (
        pytest.raises(DeploymentFailed, match="mlops platform deploy --import-existing"),
        stubbed(failure="Resource of type 'AWS::ECR::Repository' already exists"),
    ):
        pass


def test_the_policy_says_what_becomes_of_the_old_one() -> None:
    told = {
        "Action": "Modify",
        "LogicalResourceId": "Database",
        "ResourceType": "AWS::RDS::DBInstance",
        "Replacement": "Conditional",
        "PolicyAction": "ReplaceAndSnapshot",
    }
    with stubbed(changes=[told]) as change_set:
        (change,) = change_set.changes
    assert (change.replacement, change.policy, change.endangers_data) == (
        "conditional",
        "Snapshot",
        True,
    )


def test_what_cloudformation_validates_before_is_told_by_resource() -> None:
    failed = {
        "EventId": "1",
        "StackId": "arn:aws:cloudformation:us-east-1:1:stack/s/1",
        "Timestamp": datetime.now(UTC),
        "LogicalResourceId": "Database",
        "ValidationStatusReason": "#/DBInstanceClass: [db.none] is not a valid value",
    }
    with (
        pytest.raises(DeploymentFailed) as refused,
        stubbed(failure="The following hook(s) failed", events=[failed]),
    ):
        pass
    assert str(refused.value) == (
        "CloudFormation can not compute the changes of s:\n"
        "  - Database: #/DBInstanceClass: [db.none] is not a valid value\n"
        "Nothing was changed. Correct the settings or the template, then deploy again."
    )


def test_without_such_events_the_set_s_own_reason_is_told() -> None:
    with (
        pytest.raises(DeploymentFailed) as refused,
        stubbed(failure="Parameters: [Cidr] must have values", events=None),
    ):
        pass
    assert refused.value.reasons == ("Parameters: [Cidr] must have values",)


@contextlib.contextmanager
def stubbed(
    changes: list[Any] | None = None, failure: str = "", events: list[Any] | None = None
) -> Iterator[ChangeSet]:
    """The change set that CloudFormation's answers make, of an existing stack `s`."""
    client = boto3.client("cloudformation", region_name="us-east-1")
    set_id = "arn:aws:cloudformation:us-east-1:1:changeSet/c/1"
    identity = {"ChangeSetName": set_id, "StackName": "s"}
    mine = {"ChangeSetName": ANY, "StackName": "s"}
    state = {"Status": "FAILED" if failure else "CREATE_COMPLETE", "StatusReason": failure}
    with Stubber(client) as stubber:
        stubber.add_response("create_change_set", {"Id": set_id, "StackId": "s/1"})
        stubber.add_response("describe_change_set", state, identity)
        if not failure:
            told = [{"Type": "Resource", "ResourceChange": change} for change in changes or []]
            stubber.add_response("describe_change_set", {"Changes": told}, identity)
        elif events is None:
            stubber.add_client_error("describe_events", "UnsupportedOperation")
        else:
            stubber.add_response("describe_events", {"OperationEvents": events})
        stubber.add_response("describe_change_set", {**state, "ExecutionStatus": "AVAILABLE"}, mine)
        stubber.add_response("describe_change_set", state, mine)
        stubber.add_response("delete_change_set", {}, mine)
        try:
            request = request_of("s", {"One": topic()})
            with computed_change_set(client, request, _existing(), DELAY) as change_set:
                yield change_set
        finally:
            stubber.assert_no_pending_responses()


def _existing() -> Any:
    client = boto3.client("cloudformation", region_name="us-east-1")
    answer = {
        "StackName": "s",
        "StackId": "s/1",
        "StackStatus": "CREATE_COMPLETE",
        "CreationTime": datetime.now(UTC),
    }
    with Stubber(client) as stubber:
        stubber.add_response("describe_stacks", {"Stacks": [answer]})
        return find_stack(client, "s")
