"""What a change set says of resources that depend on a replaced one."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

CHAIN = """
Parameters: {Color: {Type: String}, WithOther: {Type: String, Default: 'no'}}
Conditions: {WithOther: !Equals [!Ref WithOther, 'yes']}
Resources:
  Endpoint:
    Type: AWS::SageMaker::Endpoint
    Properties: {EndpointConfigName: !GetAtt Config.EndpointConfigName}
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      ProductionVariants:
        - VariantName: a
          ModelName: !GetAtt Model.ModelName
          ServerlessConfig: {MemorySizeInMB: 2048, MaxConcurrency: 1}
  Other:
    Type: AWS::SageMaker::Model
    Condition: WithOther
    Properties: {ExecutionRoleArn: ROLE, PrimaryContainer: {Image: IMAGE}}
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      ExecutionRoleArn: ROLE
      PrimaryContainer: {Image: IMAGE, ModelDataUrl: URL, Environment: {COLOR: !Ref Color}}
"""


def test_replacement_spreads_to_what_depends_on_it(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    account, client = serving_account, serving_account.cloudformation
    name = f"chain-{uuid.uuid4().hex[:12]}"
    body = (
        CHAIN.replace("ROLE", account.role_arn)
        .replace("IMAGE", account.image_uri)
        .replace("URL", account.put_archive("chain"))
    )
    client.create_stack(StackName=name, TemplateBody=body, Parameters=_given("red", "yes"))
    until(lambda: _status(client, name) == "CREATE_COMPLETE")

    client.create_change_set(
        StackName=name, ChangeSetName="green", TemplateBody=body, Parameters=_given("green", "no")
    )
    described = client.describe_change_set(StackName=name, ChangeSetName="green")
    changes = {
        change["ResourceChange"]["LogicalResourceId"]: (
            change["ResourceChange"]["Action"],
            change["ResourceChange"].get("Replacement"),
        )
        for change in described["Changes"]
    }

    assert changes == {
        "Model": ("Modify", "True"),
        "Config": ("Modify", "Conditional"),
        "Endpoint": ("Modify", "False"),
        "Other": ("Remove", None),
    }


def _given(color: str, other: str) -> list[dict[str, str]]:
    return [
        {"ParameterKey": "Color", "ParameterValue": color},
        {"ParameterKey": "WithOther", "ParameterValue": other},
    ]


def _status(client: Any, name: str) -> str:
    return str(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
