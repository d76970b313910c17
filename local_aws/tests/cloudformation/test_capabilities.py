"""What must be acknowledged before a stack may touch IAM."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "events.amazonaws.com"},
        }
    ],
}


def with_role(account: Any, **properties: Any) -> Any:
    properties["AssumeRolePolicyDocument"] = TRUST
    return account.stack({"Role": {"Type": "AWS::IAM::Role", "Properties": properties}})


@pytest.mark.parametrize(
    ("named", "given", "missing"),
    [
        (False, [], "CAPABILITY_IAM"),
        (True, [], "CAPABILITY_NAMED_IAM"),
        (True, ["CAPABILITY_IAM"], "CAPABILITY_NAMED_IAM"),
        (False, ["CAPABILITY_AUTO_EXPAND"], "CAPABILITY_IAM"),
    ],
)
def test_too_little_is_refused(account: Any, named: bool, given: list[str], missing: str) -> None:
    stack = with_role(account, **({"RoleName": "custom"} if named else {}))
    expected = rf"InsufficientCapabilitiesException.*Requires capabilities : \[{missing}\]"
    with pytest.raises(ClientError, match=expected):
        stack.create(Capabilities=given)
    with pytest.raises(ClientError, match=expected):
        account.cloudformation.create_change_set(
            StackName=stack.name,
            ChangeSetName="set",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps(stack.template),
            Capabilities=given,
        )
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


@pytest.mark.parametrize("given", [["CAPABILITY_IAM"], ["CAPABILITY_NAMED_IAM"]])
def test_either_is_enough_for_generated_names_and_updates_need_it_too(
    account: Any, given: list[str]
) -> None:
    stack = with_role(account)
    assert stack.create(Capabilities=given) == "CREATE_COMPLETE"
    assert stack.describe()["Capabilities"] == given
    stack.resources["Role"]["Properties"]["Description"] = "new"
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_IAM\]"):
        stack.update(Capabilities=[])


def test_a_summary_says_what_is_needed_and_why(account: Any) -> None:
    body = json.dumps(with_role(account, RoleName="custom").template)
    answer = account.cloudformation.get_template_summary(TemplateBody=body)
    assert answer["Capabilities"] == ["CAPABILITY_NAMED_IAM"]
    assert answer["CapabilitiesReason"].endswith("require capabilities: [AWS::IAM::Role]")
