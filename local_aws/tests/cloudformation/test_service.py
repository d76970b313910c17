"""CloudFormation through boto3: what is refused before anything is made, stacks, change sets."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from callers import stranger

MODEL = """
Parameters:
  Url: {Type: String, AllowedPattern: 's3://.+', Description: the archive}
  Color: {Type: String, Default: red, AllowedValues: [red, green]}
  Secret: {Type: String, Default: hidden, NoEcho: true}
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      ExecutionRoleArn: ROLE
      PrimaryContainer:
        Image: IMAGE
        ModelDataUrl: !Ref Url
        Environment: {COLOR: !Ref Color}
Outputs:
  ModelName:
    Description: the generated name
    Value: !GetAtt Model.ModelName
"""


class Stack:
    """A stack of the template above."""

    def __init__(self, account: Any, until: Callable[..., Any]) -> None:
        self.account = account
        self.client = account.cloudformation
        self.name = f"stack-{uuid.uuid4().hex[:12]}"
        self.template = MODEL.replace("ROLE", account.role_arn).replace("IMAGE", account.image_uri)
        self.parameters = {"Url": account.put_archive("model")}
        self._until = until

    def request(self, **changes: Any) -> dict[str, Any]:
        return {
            "StackName": self.name,
            "TemplateBody": self.template,
            "Parameters": parameters(self.parameters),
            **changes,
        }

    def create(self, **changes: Any) -> str:
        self.client.create_stack(**self.request(**changes))
        return self.settled()

    def update(self, **changes: Any) -> str:
        self.client.update_stack(**self.request(**changes))
        return self.settled()

    def describe(self) -> dict[str, Any]:
        return self.client.describe_stacks(StackName=self.name)["Stacks"][0]  # type: ignore[no-any-return]

    def settled(self) -> str:
        def status() -> str | None:
            now = str(self.describe()["StackStatus"])
            return None if now.endswith("_IN_PROGRESS") else now

        return str(self._until(status))

    def model(self) -> dict[str, Any]:
        (output,) = self.describe()["Outputs"]
        return self.account.sagemaker.describe_model(ModelName=output["OutputValue"])  # type: ignore[no-any-return]


def parameters(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


@pytest.fixture
def stack(serving_account: Any, until: Callable[..., Any]) -> Stack:
    return Stack(serving_account, until)


def test_created_stack_shows_parameters_tags_outputs_and_events(stack: Stack) -> None:
    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE"

    described = stack.describe()
    shown = {p["ParameterKey"]: p["ParameterValue"] for p in described["Parameters"]}
    assert shown == {"Url": stack.parameters["Url"], "Color": "red", "Secret": "****"}
    (output,) = described["Outputs"]
    assert output["Description"] == "the generated name"
    assert output["OutputValue"].startswith(f"{stack.name}-Model-")
    model = stack.model()
    assert model["PrimaryContainer"]["Environment"] == {"COLOR": "red"}
    tags = stack.account.sagemaker.list_tags(ResourceArn=model["ModelArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "ml"}]
    events = stack.client.describe_stack_events(StackName=stack.name)["StackEvents"]
    assert [(e["LogicalResourceId"], e["ResourceStatus"]) for e in reversed(events)] == [
        (stack.name, "CREATE_IN_PROGRESS"),
        ("Model", "CREATE_IN_PROGRESS"),
        ("Model", "CREATE_IN_PROGRESS"),
        ("Model", "CREATE_COMPLETE"),
        (stack.name, "CREATE_COMPLETE"),
    ]


def test_resources_are_listed_with_physical_ids(stack: Stack) -> None:
    stack.create()
    arn = stack.model()["ModelArn"]

    (listed,) = stack.client.list_stack_resources(StackName=stack.name)["StackResourceSummaries"]
    (described,) = stack.client.describe_stack_resources(StackName=stack.name)["StackResources"]
    for resource in (listed, described):
        assert resource["PhysicalResourceId"] == arn
        assert resource["ResourceType"] == "AWS::SageMaker::Model"
        assert resource["ResourceStatus"] == "CREATE_COMPLETE"


def test_update_without_a_change_is_refused(stack: Stack) -> None:
    stack.create(Tags=[{"Key": "team", "Value": "ml"}])
    with pytest.raises(ClientError, match="No updates are to be performed"):
        stack.update(TemplateBody=f"# a comment\n{stack.template}")


def test_update_takes_previous_template_parameters_and_tags(stack: Stack) -> None:
    stack.create(Tags=[{"Key": "team", "Value": "ml"}])
    first = stack.model()["ModelName"]
    changes = [
        {"ParameterKey": "Url", "UsePreviousValue": True},
        {"ParameterKey": "Color", "ParameterValue": "green"},
    ]
    stack.client.update_stack(StackName=stack.name, UsePreviousTemplate=True, Parameters=changes)

    assert stack.settled() == "UPDATE_COMPLETE"
    model = stack.model()
    assert model["ModelName"] != first
    assert model["PrimaryContainer"]["Environment"] == {"COLOR": "green"}
    assert stack.describe()["Tags"] == [{"Key": "team", "Value": "ml"}]


def test_update_of_tags_alone_keeps_the_resource(stack: Stack) -> None:
    stack.create(Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}])
    before = stack.model()
    assert stack.update(Tags=[{"Key": "b", "Value": "2"}]) == "UPDATE_COMPLETE"

    assert stack.model()["ModelName"] == before["ModelName"]
    tags = stack.account.sagemaker.list_tags(ResourceArn=before["ModelArn"])["Tags"]
    assert tags == [{"Key": "b", "Value": "2"}]


def test_resource_that_leaves_the_template_is_deleted_and_a_retained_one_is_not(
    stack: Stack,
) -> None:
    other = (
        "  Other:\n    Type: AWS::SageMaker::Model\n    DeletionPolicy: Retain\n"
        + (
            stack.template.partition("    Type: AWS::SageMaker::Model\n")[2].partition("Outputs:")[
                0
            ]
        )
    )
    gone = other.replace("Other", "Gone").replace("    DeletionPolicy: Retain\n", "")
    both = stack.template.replace("Outputs:", f"{other}{gone}Outputs:")
    stack.create(TemplateBody=both)
    assert stack.update() == "UPDATE_COMPLETE"

    names = stack.account.sagemaker.list_models(NameContains=stack.name)["Models"]
    kinds = sorted(model["ModelName"].split("-")[2] for model in names)
    assert kinds == ["Model", "Other"]


def test_failing_create_is_rolled_back_with_the_reason(stack: Stack) -> None:
    stack.parameters["Url"] = f"s3://{stack.account.bucket}/missing.tar.gz"
    assert stack.create() == "ROLLBACK_COMPLETE"

    events = stack.client.describe_stack_events(StackName=stack.name)["StackEvents"]
    (failed,) = [event for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] == "Model"
    assert "Could not find model data at s3://" in failed["ResourceStatusReason"]
    (reason,) = [
        e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "ROLLBACK_IN_PROGRESS"
    ]
    assert reason.startswith("The following resource(s) failed to create: [Model].")
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        stack.update()


def test_a_custom_named_resource_cannot_be_replaced(stack: Stack) -> None:
    named = stack.template.replace("Properties:", f"Properties:\n      ModelName: {stack.name}", 1)
    stack.create(TemplateBody=named)
    stack.parameters["Color"] = "green"

    assert stack.update(TemplateBody=named) == "UPDATE_ROLLBACK_COMPLETE"
    events = stack.client.describe_stack_events(StackName=stack.name)["StackEvents"]
    assert any(
        f"Rename {stack.name} and update the stack again." in e.get("ResourceStatusReason", "")
        for e in events
    )


def test_same_name_twice_is_refused(stack: Stack) -> None:
    stack.create()
    with pytest.raises(ClientError, match="already exists") as caught:
        stack.create()
    assert caught.value.response["Error"]["Code"] == "AlreadyExistsException"


def test_deletion_protection_and_deletion(stack: Stack, until: Callable[..., Any]) -> None:
    stack.create(EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        stack.client.delete_stack(StackName=stack.name)
    stack.client.update_termination_protection(
        StackName=stack.name, EnableTerminationProtection=False
    )

    stack.client.delete_stack(StackName=stack.name)
    stack.client.get_waiter("stack_delete_complete").wait(
        StackName=stack.name, WaiterConfig={"Delay": 1}
    )
    assert stack.account.sagemaker.list_models(NameContains=stack.name)["Models"] == []
    with pytest.raises(ClientError, match=f"Stack with id {stack.name} does not exist"):
        stack.describe()
    stack.client.delete_stack(StackName=stack.name)


def test_stack_runs_under_its_role(stack: Stack) -> None:
    with pytest.raises(ClientError, match="is invalid or cannot be assumed"):
        stack.create(RoleARN=stack.account.create_role("sagemaker.amazonaws.com"))

    role_arn = stack.account.create_role("cloudformation.amazonaws.com")
    assert stack.create(RoleARN=role_arn) == "CREATE_COMPLETE"
    assert stack.describe()["RoleARN"] == role_arn


def test_template_can_lie_in_s3_and_a_large_one_must(stack: Stack) -> None:
    large = stack.template + "\n#" + "x" * 51_200
    with pytest.raises(ClientError, match="length less than or equal to 51200"):
        stack.create(TemplateBody=large)

    key = f"{stack.name}.yml"
    stack.account.put_object(key, large.encode())
    for host in (stack.account.url, "https://s3.us-east-1.amazonaws.com"):
        stack.name = f"stack-{uuid.uuid4().hex[:12]}"
        request = stack.request(TemplateURL=f"{host}/{stack.account.bucket}/{key}")
        del request["TemplateBody"]
        stack.client.create_stack(**request)
        assert stack.settled() == "CREATE_COMPLETE"
    assert stack.client.get_template(StackName=stack.name)["TemplateBody"] == large
    with pytest.raises(ClientError, match="S3 error: The specified key does not exist"):
        stack.client.get_template_summary(
            TemplateURL=f"{stack.account.url}/{stack.account.bucket}/no"
        )


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, r"Parameters: \[Url\] must have values"),
        ({"Url": "s3://a", "Other": "1"}, r"Parameters: \[Other\] do not exist in the template"),
        ({"Url": "http://a"}, "Parameter 'Url' must match pattern s3://.+"),
        ({"Url": "s3://a", "Color": "blue"}, "Parameter 'Color' must be one of AllowedValues"),
    ],
)
def test_wrong_parameters_make_no_stack(stack: Stack, values: dict[str, str], problem: str) -> None:
    with pytest.raises(ClientError, match=problem):
        stack.create(Parameters=parameters(values))
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("AWS::SageMaker::Model", "AWS::Foo::Bar", r"Unrecognized resource types: \[AWS::Foo::Bar"),
        ("ModelDataUrl", "ModelDataUri", r"extraneous key \[ModelDataUri\] is not permitted"),
        ("!Ref Url", "!Ref Uri", r"Unresolved resource dependencies \[Uri\]"),
        ("Model.ModelName", "Model.Arn", "does not support attribute type Arn"),
        ("Model.ModelName", "Modell.ModelName", "references undefined resource Modell"),
        ("!Ref Url", "!Reff Url", "does not support the intrinsic function !Reff"),
        ("!Ref Url", "{'Fn::Nope': Url}", "does not support the intrinsic function Fn::Nope"),
        ("!Ref Url", "!If [Sunny, a, b]", "Unresolved condition dependency Sunny"),
        ("!Ref Url", "!Join [a]", "Fn::Join takes a list of 2 arguments"),
        ("!Ref Url", "!FindInMap [Nowhere, a, b]", "Mapping named 'Nowhere' is not present"),
        ("!Ref Url", "!Ref Model", "Circular dependency between resources: .Model."),
        ("Outputs:", "Transform: AWS::Serverless\nOutputs:", "template section Transform"),
        ("Outputs:", "Output:", r"Invalid template property or properties \[Output\]"),
        ("    Properties:", "    Property:", "Invalid template resource property 'Property'"),
        ("    Properties:", "    Type: again\n    Properties:", "duplicate key 'Type'"),
        ("Resources:", "Resources: [", "YAML not well-formed"),
    ],
)
def test_a_mistake_in_the_template_is_named_before_anything_is_made(
    stack: Stack, before: str, after: str, problem: str
) -> None:
    assert before in stack.template
    with pytest.raises(ClientError, match=problem) as caught:
        stack.create(TemplateBody=stack.template.replace(before, after, 1))
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


def test_a_dynamic_reference_is_refused_with_what_to_do(stack: Stack) -> None:
    secret = stack.template.replace("!Ref Color", "'{{resolve:secretsmanager:word}}'", 1)
    with pytest.raises(ClientError, match=r"does not support dynamic references.*a parameter of"):
        stack.create(TemplateBody=secret)


def test_an_unsupported_request_is_refused_by_name(stack: Stack) -> None:
    with pytest.raises(ClientError, match="does not support the parameter OnFailure"):
        stack.create(OnFailure="DELETE")
    with pytest.raises(ClientError, match="does not support the parameter TimeoutInMinutes"):
        stack.create(TimeoutInMinutes=5)
    with pytest.raises(ClientError, match="cloudformation:CreateStackSet"):
        stack.client.create_stack_set(StackSetName="a")
    with pytest.raises(ClientError, match="'1stack' at 'stackName'"):
        stack.create(StackName="1stack")


def test_an_export_is_refused_by_name(stack: Stack) -> None:
    exporting = stack.template + f"    Export: {{Name: '{stack.name}-model'}}\n"

    with pytest.raises(ClientError, match="does not support Export"):
        stack.create(TemplateBody=exporting)


def test_json_template_with_ssm_parameter(stack: Stack) -> None:
    ssm = stack.account.gateway.own.client("ssm")
    ssm.put_parameter(Name=f"/{stack.name}/color", Value="blue", Type="String")
    template = {
        "Parameters": {"Color": {"Type": "AWS::SSM::Parameter::Value<String>"}},
        "Resources": {
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {
                    "ExecutionRoleArn": stack.account.role_arn,
                    "PrimaryContainer": {
                        "Image": stack.account.image_uri,
                        "Environment": {"COLOR": {"Fn::Sub": "${Color}-${AWS::Region}"}},
                    },
                },
            }
        },
        "Outputs": {"Name": {"Value": {"Fn::GetAtt": "Model.ModelName"}}},
    }
    values = parameters({"Color": f"/{stack.name}/color"})
    stack.create(TemplateBody=json.dumps(template), Parameters=values)

    assert stack.model()["PrimaryContainer"]["Environment"] == {"COLOR": "blue-us-east-1"}
    (shown,) = stack.describe()["Parameters"]
    assert shown["ResolvedValue"] == "blue"
    assert stack.client.get_template(StackName=stack.name)["TemplateBody"] == template


def test_a_summary_lists_the_parameters(stack: Stack) -> None:
    summary = stack.client.get_template_summary(TemplateBody=stack.template)
    by_key = {parameter["ParameterKey"]: parameter for parameter in summary["Parameters"]}
    assert by_key["Url"]["Description"] == "the archive"
    assert by_key["Secret"]["NoEcho"] is True
    assert summary["ResourceTypes"] == ["AWS::SageMaker::Model"]
    (color,) = [p for p in summary["Parameters"] if p["ParameterKey"] == "Color"]
    assert color["ParameterConstraints"] == {"AllowedValues": ["red", "green"]}


def test_change_sets_create_and_update_a_stack_as_the_cli_does(stack: Stack) -> None:
    client = stack.client
    client.create_change_set(**stack.request(ChangeSetName="first", ChangeSetType="CREATE"))
    assert stack.describe()["StackStatus"] == "REVIEW_IN_PROGRESS"
    client.get_waiter("change_set_create_complete").wait(
        StackName=stack.name, ChangeSetName="first"
    )
    described = client.describe_change_set(StackName=stack.name, ChangeSetName="first")
    assert [c["ResourceChange"]["Action"] for c in described["Changes"]] == ["Add"]
    client.execute_change_set(StackName=stack.name, ChangeSetName="first")
    assert stack.settled() == "CREATE_COMPLETE"

    stack.parameters["Color"] = "green"
    created = client.create_change_set(**stack.request(ChangeSetName="second"))
    (change,) = client.describe_change_set(ChangeSetName=created["Id"])["Changes"]
    assert change["ResourceChange"]["Replacement"] == "True"
    assert change["ResourceChange"]["PhysicalResourceId"] == stack.model()["ModelArn"]
    client.execute_change_set(ChangeSetName=created["Id"])
    assert stack.settled() == "UPDATE_COMPLETE"
    assert stack.model()["PrimaryContainer"]["Environment"] == {"COLOR": "green"}


def test_a_change_set_without_changes_has_failed(stack: Stack) -> None:
    stack.create()
    client = stack.client
    client.create_change_set(**stack.request(ChangeSetName="nothing"))
    described = client.describe_change_set(StackName=stack.name, ChangeSetName="nothing")

    assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in described["StatusReason"]
    with pytest.raises(ClientError, match="cannot be executed"):
        client.execute_change_set(StackName=stack.name, ChangeSetName="nothing")
    client.delete_change_set(StackName=stack.name, ChangeSetName="nothing")
    assert client.list_change_sets(StackName=stack.name)["Summaries"] == []
    with pytest.raises(ClientError, match="does not exist") as caught:
        client.describe_change_set(StackName=stack.name, ChangeSetName="nothing")
    assert caught.value.response["Error"]["Code"] == "ChangeSetNotFound"


def test_a_stack_in_progress_takes_no_update(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    stack = Stack(serving_account, until)
    slow = stack.template.replace("Outputs:", _ENDPOINT + "Outputs:")
    stack.parameters["Url"] = serving_account.put_archive("slow", mode="sick")
    stack.client.create_stack(**stack.request(TemplateBody=slow))
    until(lambda: _has_event(stack, "Endpoint"))

    with pytest.raises(ClientError, match="is in CREATE_IN_PROGRESS state and can not be updated"):
        stack.update(TemplateBody=slow)
    with pytest.raises(ClientError, match="cannot be deleted while in status CREATE_IN_PROGRESS"):
        stack.client.delete_stack(StackName=stack.name)

    # Deleted behind CloudFormation's back, the endpoint ends the wait.
    name = serving_account.sagemaker.list_endpoints(NameContains=stack.name)["Endpoints"]
    serving_account.sagemaker.delete_endpoint(EndpointName=name[0]["EndpointName"])
    assert stack.settled() == "ROLLBACK_COMPLETE"


def test_another_account_program_sees_the_same_stacks(stack: Stack) -> None:
    stack.create()
    client = stranger(stack.account.gateway, "cloudformation")
    listed = client.describe_stacks()["Stacks"]
    assert stack.name in {described["StackName"] for described in listed}


_ENDPOINT = """
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      ProductionVariants:
        - VariantName: a
          ModelName: !GetAtt Model.ModelName
          ServerlessConfig: {MemorySizeInMB: 2048, MaxConcurrency: 1}
  Endpoint:
    Type: AWS::SageMaker::Endpoint
    Properties: {EndpointConfigName: !GetAtt Config.EndpointConfigName}
"""


def _has_event(stack: Stack, logical_id: str) -> bool:
    events = stack.client.describe_stack_events(StackName=stack.name)["StackEvents"]
    reason = "Resource creation Initiated"
    return any(
        e["LogicalResourceId"] == logical_id and e.get("ResourceStatusReason") == reason
        for e in events
    )
