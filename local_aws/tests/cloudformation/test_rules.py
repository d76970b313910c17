"""The section Rules through boto3: what it lets through, refuses, and says."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

PARAMETERS = {
    "Mode": {"Type": "String", "Default": "small"},
    "Size": {"Type": "Number", "Default": 1},
    "Zones": {"Type": "CommaDelimitedList", "Default": "a,b"},
}
RESOURCES = {
    "P": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}},
}
MODE = {"Ref": "Mode"}
ZONES = {"Ref": "Zones"}


def ruled(account: Any, *assertions: Any, **rule: Any) -> Any:
    described = [
        {"Assert": a, "AssertDescription": f"number {n}"} for n, a in enumerate(assertions)
    ]
    return account.stack(
        RESOURCES, Parameters=PARAMETERS, Rules={"Sound": {"Assertions": described, **rule}}
    )


@pytest.mark.parametrize(
    "assertion",
    [
        {"Fn::Contains": [["small", "large"], MODE]},
        {"Fn::EachMemberIn": [ZONES, ["a", "b", "c"]]},
        {"Fn::EachMemberEquals": [["small", "small"], MODE]},
        {"Fn::Equals": [{"Ref": "Size"}, 1]},
        {"Fn::Not": [{"Fn::Equals": [MODE, "large"]}]},
        {"Fn::Or": [{"Fn::Equals": [MODE, "x"]}, {"Fn::Contains": [ZONES, "b"]}]},
        {"Fn::And": [{"Fn::Equals": [MODE, "small"]}, {"Fn::Contains": [ZONES, "a"]}]},
        {"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]},
    ],
)
def test_an_assertion_that_holds_lets_the_stack_be(account: Any, assertion: Any) -> None:
    client = account.cloudformation
    stack = ruled(account, assertion)
    assert stack.create() == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        stack.update()
    negated = ruled(account, {"Fn::Not": [assertion]})
    with pytest.raises(ClientError, match=r"ValidationError.*Sound: number 0"):
        negated.create()
    with pytest.raises(ClientError, match="does not exist"):
        client.describe_stacks(StackName=negated.name)


def test_every_assertion_that_does_not_hold_is_named(account: Any) -> None:
    stack = ruled(
        account,
        {"Fn::Equals": [MODE, "small"]},
        {"Fn::Equals": [MODE, "large"]},
        {"Fn::EachMemberIn": [ZONES, ["a"]]},
    )
    with pytest.raises(ClientError, match="Sound: number 1; Sound: number 2"):
        stack.create()


def test_a_rule_counts_only_while_its_condition_holds(account: Any) -> None:
    never = {"Fn::Equals": ["a", "b"]}
    stack = ruled(account, never, RuleCondition={"Fn::Equals": [MODE, "large"]})
    assert stack.create() == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match="Sound: number 0"):
        stack.update(Parameters={"Mode": "large"})


@pytest.mark.parametrize(
    ("assertion", "problem"),
    [
        ({"Fn::RefAll": "AWS::EC2::VPC::Id"}, "local_aws does not support Fn::RefAll"),
        ({"Fn::Contains": [{"Fn::ValueOf": ["V", "A"]}, "x"]}, "does not support Fn::ValueOf:"),
        ({"Fn::Equals": [{"Ref": "Model"}, "x"]}, r"Unresolved dependencies \[Model\]"),
        ({"Fn::Join": ["", ["a"]]}, "Fn::Join is not a function for the Rules block"),
        ({"Fn::Equals": ["x"]}, "Fn::Equals in the Rules block takes a list"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(account: Any, assertion: Any, problem: str) -> None:
    with pytest.raises(ClientError, match=problem):
        ruled(account, assertion).create()


def test_short_forms_of_rule_functions_are_read(account: Any) -> None:
    body = """
Parameters: {Mode: {Type: String, Default: tiny}}
Rules:
  Known:
    Assertions:
      - {Assert: !Contains [[small, large], !Ref Mode], AssertDescription: small or large}
Resources: {P: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: x}}}
"""
    with pytest.raises(ClientError, match="Known: small or large"):
        account.cloudformation.create_stack(StackName="short-forms", TemplateBody=body)
