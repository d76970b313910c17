"""DeletionPolicy and UpdateReplacePolicy; what stays when a stack goes, fails or replaces."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def topic(**attributes: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", **attributes}


def exists(account: Any, arn: str) -> bool:
    found = account.client("sns").list_topics()["Topics"]
    return arn in {t["TopicArn"] for t in found}


def test_what_is_retained_stays_when_the_stack_is_deleted(account: Any) -> None:
    stack = account.stack(
        {
            "Kept": topic(DeletionPolicy="Retain"),
            "KeptToo": topic(DeletionPolicy="RetainExceptOnCreate"),
            "Gone": topic(DeletionPolicy="Delete"),
        }
    )
    stack.create()
    ids = stack.ids()

    assert stack.delete() == "DELETE_COMPLETE"
    assert {name: exists(account, arn) for name, arn in ids.items()} == {
        "Kept": True,
        "KeptToo": True,
        "Gone": False,
    }
    skipped = {
        e["LogicalResourceId"] for e in stack.events() if e["ResourceStatus"] == "DELETE_SKIPPED"
    }
    assert skipped == {"Kept", "KeptToo"}


def test_a_creation_rolled_back_leaves_what_is_retained_without_exception(account: Any) -> None:
    stack = account.stack(
        {
            "Kept": topic(DeletionPolicy="Retain"),
            "Gone": topic(DeletionPolicy="RetainExceptOnCreate"),
            "Broken": {
                "Type": "AWS::Events::Rule",
                "DependsOn": ["Kept", "Gone"],
                "Properties": {"EventPattern": {"source": "no list"}},
            },
        }
    )
    assert stack.create() == "ROLLBACK_COMPLETE"
    ids = stack.ids()
    assert (exists(account, ids["Kept"]), exists(account, ids["Gone"])) == (True, False)


def test_an_update_rolled_back_deletes_what_it_made(account: Any) -> None:
    stack = account.stack({"First": topic(Properties={"DisplayName": "before"})})
    stack.create()
    first = stack.ids()["First"]

    stack.resources["First"]["Properties"]["DisplayName"] = "after"
    stack.resources["Second"] = topic()
    stack.resources["Broken"] = {
        "Type": "AWS::Events::Rule",
        "DependsOn": ["First", "Second"],
        "Properties": {"EventPattern": {"source": "no list"}},
    }
    assert stack.update() == "UPDATE_ROLLBACK_COMPLETE"

    made = next(
        e["PhysicalResourceId"]
        for e in stack.events()
        if (e["LogicalResourceId"], e["ResourceStatus"]) == ("Second", "CREATE_COMPLETE")
    )
    assert not exists(account, made)
    assert set(stack.ids()) == {"First"}
    attributes = account.client("sns").get_topic_attributes(TopicArn=first)["Attributes"]
    assert attributes["DisplayName"] == "before"


def test_a_replaced_resource_stays_if_its_policy_says_so(account: Any) -> None:
    stack = account.stack({"Kept": topic(UpdateReplacePolicy="Retain"), "Gone": topic()})
    stack.create()
    before = stack.ids()

    for name in ("Kept", "Gone"):
        stack.resources[name]["Properties"] = {"TopicName": f"{stack.name}-{name}"}
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    assert exists(account, before["Kept"])
    assert not exists(account, before["Gone"])


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"DeletionPolicy": "Snapshot"}, "does not support DeletionPolicy Snapshot"),
        ({"UpdateReplacePolicy": "Snapshot"}, "does not support UpdateReplacePolicy Snapshot"),
        ({"UpdateReplacePolicy": "RetainExceptOnCreate"}, "UpdateReplacePolicy 'RetainExcept"),
        ({"DeletionPolicy": "Keep"}, "DeletionPolicy 'Keep'"),
    ],
)
def test_other_policies_are_refused(account: Any, attributes: dict[str, str], problem: str) -> None:
    with pytest.raises(ClientError, match=problem):
        account.stack({"Topic": topic(**attributes)}).create()


def test_hidden_parameters_are_masked_in_events(account: Any) -> None:
    stack = account.stack(
        {"Topic": topic(Properties={"DisplayName": {"Fn::Sub": "to ${Secret}"}})},
        Parameters={"Secret": {"Type": "String", "NoEcho": True}},
    )
    assert stack.create(Parameters={"Secret": "hush-hush"}) == "CREATE_COMPLETE"
    attributes = account.client("sns").get_topic_attributes(TopicArn=stack.ids()["Topic"])
    assert attributes["Attributes"]["DisplayName"] == "to hush-hush"
    events = stack.events()
    assert not any("hush-hush" in e.get("ResourceProperties", "") for e in events)
    assert any("to ****" in e.get("ResourceProperties", "") for e in events)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (
            {"Resources": {"Fn::ForEach::Topics": ["N", ["a"], {"T${N}": topic()}]}},
            "does not support the intrinsic function Fn::ForEach",
        ),
        (
            {"Resources": {"T": topic()}, "Transform": "AWS::LanguageExtensions"},
            "does not support the template section Transform",
        ),
        (
            {"Resources": {"T": topic(Properties={"Fn::Transform": {"Name": "AWS::Include"}})}},
            "does not support the intrinsic function Fn::Transform",
        ),
        (
            {"Resources": {"T": topic(), "F": {"Type": "AWS::Lambda::Function"}}},
            r"Unrecognized resource types: \[AWS::Lambda::Function\]",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    account: Any, template: dict[str, Any], problem: str
) -> None:
    stack = account.stack()
    stack.template = template
    with pytest.raises(ClientError, match=problem):
        stack.create()
