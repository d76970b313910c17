"""Parameters of a template whose values are in Parameter Store."""

from __future__ import annotations

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
