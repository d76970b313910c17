"""Roles, policies and keys in stacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError


def document(action: str, **statement: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, **statement}],
    }


TRUST = document("sts:AssumeRole", Principal={"Service": "sagemaker.amazonaws.com"})


def role(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": TRUST, "Path": "/project/", **properties},
    }


def inline(name: str, action: str) -> dict[str, Any]:
    return {"PolicyName": name, "PolicyDocument": document(action, Resource="*")}


def test_a_role_comes_with_its_policies_and_goes_with_them(account: Any) -> None:
    stack = account.stack(
        {
            "Shared": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Path": "/project/",
                    "PolicyDocument": document("s3:ListBucket", Resource="*"),
                },
            },
            "Role": role(
                Policies=[inline("read", "s3:GetObject")],
                ManagedPolicyArns=[{"Ref": "Shared"}],
                MaxSessionDuration="7200",
                Tags=[{"Key": "own", "Value": "1"}],
            ),
        },
        Outputs={"Arn": {"Value": {"Fn::GetAtt": "Role.Arn"}}},
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()

    iam, name = account.client("iam"), stack.ids()["Role"]
    made = iam.get_role(RoleName=name)["Role"]
    assert made["Arn"] == stack.outputs()["Arn"] == f"arn:aws:iam::123456789012:role/project/{name}"
    assert made["AssumeRolePolicyDocument"] == TRUST
    assert made["MaxSessionDuration"] == 7200
    assert {t["Key"]: t["Value"] for t in made["Tags"]} == {"own": "1", "team": "ml"}
    put = iam.get_role_policy(RoleName=name, PolicyName="read")
    assert put["PolicyDocument"] == document("s3:GetObject", Resource="*")
    (attached,) = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert attached["PolicyArn"] == stack.ids()["Shared"]

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName=name)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_policy(PolicyArn=attached["PolicyArn"])


def test_a_roles_policies_change_in_place(account: Any) -> None:
    other = account.client("iam").create_policy(
        PolicyName="other", PolicyDocument=json.dumps(document("s3:ListBucket", Resource="*"))
    )["Policy"]["Arn"]
    stack = account.stack(
        {"Role": role(Policies=[inline("a", "s3:GetObject"), inline("b", "s3:PutObject")])}
    )
    stack.create()
    iam, name = account.client("iam"), stack.ids()["Role"]

    trust = document("sts:AssumeRole", Principal={"Service": "events.amazonaws.com"})
    stack.resources["Role"] = role(
        AssumeRolePolicyDocument=trust,
        Policies=[inline("b", "s3:DeleteObject"), inline("c", "s3:ListBucket")],
        ManagedPolicyArns=[other],
        Description="new",
        Tags=[{"Key": "kind", "Value": "x"}],
    )
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()

    assert stack.ids()["Role"] == name
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["b", "c"]
    changed = iam.get_role_policy(RoleName=name, PolicyName="b")["PolicyDocument"]
    assert changed["Statement"][0]["Action"] == "s3:DeleteObject"
    made = iam.get_role(RoleName=name)["Role"]
    assert made["AssumeRolePolicyDocument"] == trust
    assert made["Description"] == "new"
    assert made["Tags"] == [{"Key": "kind", "Value": "x"}]
    (attached,) = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert attached["PolicyArn"] == other


def test_another_path_makes_another_role(account: Any) -> None:
    stack = account.stack({"Role": role()})
    stack.create()
    before = stack.ids()["Role"]

    stack.resources["Role"] = role(Path="/elsewhere/")
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()

    assert stack.ids()["Role"] != before
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.client("iam").get_role(RoleName=before)


def test_a_custom_named_role_is_not_replaced_under_its_name(account: Any) -> None:
    stack = account.stack()
    stack.resources["Role"] = role(RoleName=stack.name)
    stack.create()
    stack.resources["Role"] = role(RoleName=stack.name, Path="/elsewhere/")

    assert stack.update() == "UPDATE_ROLLBACK_COMPLETE"
    assert f"Rename {stack.name} and update the stack again" in stack.reasons()


def test_a_half_made_role_does_not_outlive_the_rollback(account: Any) -> None:
    stack = account.stack()
    stack.resources["Role"] = role(
        RoleName=stack.name, ManagedPolicyArns=["arn:aws:iam::123456789012:policy/none"]
    )

    assert stack.create() == "ROLLBACK_COMPLETE"
    assert "NoSuchEntity" in stack.reasons()
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.client("iam").get_role(RoleName=stack.name)


def test_a_managed_policy_gets_a_new_version_however_often(account: Any) -> None:
    stack = account.stack({"Role": role()})
    policy: dict[str, Any] = {"Roles": [{"Ref": "Role"}]}
    stack.resources["Policy"] = {"Type": "AWS::IAM::ManagedPolicy", "Properties": policy}
    policy["PolicyDocument"] = document("s3:GetObject", Resource="*")
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()
    iam, arn = account.client("iam"), stack.ids()["Policy"]
    (attached,) = iam.list_attached_role_policies(RoleName=stack.ids()["Role"])["AttachedPolicies"]
    assert attached["PolicyArn"] == arn

    for number in range(7):  # IAM keeps five
        policy["PolicyDocument"] = document(f"s3:Get{number}", Resource="*")
        assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    current = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    assert current["Document"]["Statement"][0]["Action"] == "s3:Get6"

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()


def test_a_key_is_changed_in_place_and_waits_for_its_deletion(account: Any) -> None:
    stack = account.stack(
        {
            "Key": {
                "Type": "AWS::KMS::Key",
                "Properties": {
                    "Description": "first",
                    "EnableKeyRotation": "true",
                    "PendingWindowInDays": 7,
                    "KeyPolicy": document("kms:*", Principal={"AWS": "*"}, Resource="*"),
                },
            },
        }
    )
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    kms, ids = account.client("kms"), stack.ids()
    described = kms.describe_key(KeyId=ids["Key"])["KeyMetadata"]
    assert (described["KeyId"], described["Description"]) == (ids["Key"], "first")
    assert kms.get_key_rotation_status(KeyId=ids["Key"])["KeyRotationEnabled"] is True
    tags = kms.list_resource_tags(KeyId=ids["Key"])["Tags"]
    assert tags == [{"TagKey": "team", "TagValue": "ml"}]

    properties = stack.resources["Key"]["Properties"]
    properties.update(Description="second", EnableKeyRotation=False)
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    assert kms.describe_key(KeyId=ids["Key"])["KeyMetadata"]["Description"] == "second"
    assert kms.get_key_rotation_status(KeyId=ids["Key"])["KeyRotationEnabled"] is False

    properties["KeySpec"] = "RSA_2048"
    assert stack.update() == "UPDATE_ROLLBACK_COMPLETE"
    assert "You cannot update the property KeySpec" in stack.reasons()

    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
    assert kms.describe_key(KeyId=ids["Key"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
