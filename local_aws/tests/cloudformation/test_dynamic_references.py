"""Values that templates take from Parameter Store and Secrets Manager."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError


def parameter(value: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Type": "String", "Value": value},
    }


def stored(account: Any, stack: Any) -> str:
    name = stack.ids()["P"]
    return str(account.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])


def test_parameters_are_resolved_by_name_and_version(account: Any) -> None:
    name = f"/dynamic/{uuid.uuid4().hex}"
    ssm = account.client("ssm")
    ssm.put_parameter(Name=name, Value="one", Type="String")
    ssm.put_parameter(Name=name, Value="two", Type="String", Overwrite=True)
    latest, first = f"{{{{resolve:ssm:{name}}}}}", f"{{{{resolve:ssm:{name}:1}}}}"
    stack = account.stack({"P": parameter({"Fn::Sub": f"${{AWS::Region}} {latest} {first}"})})
    stack.template["Outputs"] = {"Latest": {"Value": latest}}
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()
    assert stored(account, stack) == "us-east-1 two one"
    assert stack.outputs() == {"Latest": "two"}

    ssm.put_parameter(Name=name, Value="three", Type="String", Overwrite=True)
    assert stack.update() == "UPDATE_COMPLETE"
    assert stored(account, stack) == "us-east-1 three one"


def test_secrets_reach_the_resource_and_no_description(account: Any) -> None:
    secret = account.client("secretsmanager").create_secret(
        Name=f"dynamic/{uuid.uuid4().hex}",
        SecretString=json.dumps({"user": "ada", "password": "Lovelace1815"}),
    )
    reference = "{{resolve:secretsmanager:%s:SecretString:password}}"
    by_arn, by_name = reference % secret["ARN"], reference % secret["Name"]
    stack = account.stack({"P": parameter(f"{by_arn} {by_name}")})
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()

    assert stored(account, stack) == "Lovelace1815 Lovelace1815"
    assert "Lovelace1815" not in json.dumps(stack.events(), default=str)

    account.client("secretsmanager").delete_secret(
        SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True
    )
    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("{{resolve:ssm:/none}}", r"Parameters: \[/none\] cannot be found"),
        ("{{resolve:ssm-secure:/none:1}}", "does not support dynamic references to ssm-secure"),
    ],
)
def test_a_reference_to_nothing_is_refused_with_the_request(
    account: Any, reference: str, problem: str
) -> None:
    with pytest.raises(ClientError, match=problem):
        account.stack({"P": parameter(reference)}).create()


def test_a_secret_that_is_not_there_fails_its_resource(account: Any) -> None:
    stack = account.stack({"P": parameter("{{resolve:secretsmanager:none:SecretString:key}}")})
    assert stack.create() == "ROLLBACK_COMPLETE"
    assert "Secrets Manager can't find the secret of none:SecretString:key" in stack.reasons()


def test_parameters_of_ssm_types_take_what_is_stored(account: Any) -> None:
    ssm, prefix = account.client("ssm"), f"/typed/{uuid.uuid4().hex}"
    ssm.put_parameter(Name=f"{prefix}/vpc", Value="vpc-1", Type="String")
    ssm.put_parameter(Name=f"{prefix}/subnets", Value="subnet-1,subnet-2", Type="StringList")
    stack = account.stack(
        {
            "P": parameter(
                {"Fn::Join": [" ", [{"Ref": "Vpc"}, {"Fn::Select": [1, {"Ref": "Subnets"}]}]]}
            )
        },
        Parameters={
            "Vpc": {
                "Type": "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>",
                "Default": f"{prefix}/vpc",
            },
            "Subnets": {
                "Type": "AWS::SSM::Parameter::Value<List<AWS::EC2::Subnet::Id>>",
                "Default": f"{prefix}/subnets",
            },
            "Named": {"Type": "AWS::SSM::Parameter::Name", "Default": f"{prefix}/vpc"},
        },
    )
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()
    assert stored(account, stack) == "vpc-1 subnet-2"
    shown = {p["ParameterKey"]: p for p in stack.describe()["Parameters"]}
    assert shown["Subnets"]["ResolvedValue"] == "subnet-1,subnet-2"
    assert shown["Vpc"]["ParameterValue"] == f"{prefix}/vpc"

    with pytest.raises(ClientError, match=r"Unable to fetch parameters \[/none\]"):
        stack.update(Parameters={"Named": "/none"})
    ssm.put_parameter(Name=f"{prefix}/secret", Value="x", Type="SecureString")
    with pytest.raises(ClientError, match="have types not supported by CloudFormation"):
        stack.update(Parameters={"Vpc": f"{prefix}/secret"})
