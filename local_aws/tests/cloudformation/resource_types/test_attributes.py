"""One stack with a resource of each type: every attribute has a value, every tag arrives."""

from __future__ import annotations

from typing import Any

from local_aws.cloudformation.resources import RESOURCE_TYPES

# Models and endpoints need images that serve; test_endpoint_template.py has them.
_SERVING = {"Model", "EndpointConfig", "Endpoint"}


def document(**statement: Any) -> dict[str, Any]:
    whole = {"Effect": "Allow", "Action": "*", **statement}
    return {"Version": "2012-10-17", "Statement": [whole]}


def minimal(role_arn: str) -> dict[str, Any]:
    """The fewest properties of each type, by its name without AWS::."""
    manual = {"Category": "Approval", "Owner": "AWS", "Provider": "Manual", "Version": "1"}
    source = {"Category": "Source", "Owner": "AWS", "Provider": "CodeCommit", "Version": "1"}
    code = {"RepositoryName": {"Fn::GetAtt": "CodeCommitRepository.Name"}, "BranchName": "main"}
    stages = [
        {
            "Name": "Source",
            "Actions": [
                {
                    "Name": "Code",
                    "ActionTypeId": source,
                    "Configuration": code,
                    "OutputArtifacts": [{"Name": "Code"}],
                }
            ],
        },
        {"Name": "Gate", "Actions": [{"Name": "Approve", "ActionTypeId": manual}]},
    ]
    definition = {"Version": "2020-12-01", "Parameters": [], "Steps": []}
    definition["Steps"] = [{"Name": "S", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]
    name = {"Ref": "AWS::StackName"}
    topic = {"Ref": "SNSTopic"}
    return {
        "S3::Bucket": {},
        "S3::BucketPolicy": {
            "Bucket": {"Ref": "S3Bucket"},
            "PolicyDocument": document(Principal="*", Resource={"Fn::GetAtt": "S3Bucket.Arn"}),
        },
        "ECR::Repository": {},
        "KMS::Key": {},
        "IAM::Role": {
            "AssumeRolePolicyDocument": document(
                Action="sts:AssumeRole", Principal={"Service": "events.amazonaws.com"}
            )
        },
        "IAM::ManagedPolicy": {"PolicyDocument": document(Resource="*")},
        "SSM::Parameter": {"Type": "String", "Value": "x"},
        "Logs::LogGroup": {},
        "SNS::Topic": {},
        "SNS::TopicPolicy": {
            "Topics": [topic],
            "PolicyDocument": document(Action="sns:Publish", Principal="*", Resource=topic),
        },
        "SQS::Queue": {},
        "CloudWatch::Alarm": {
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            "MetricName": "Invocation5XXErrors",
        },
        "ApplicationAutoScaling::ScalableTarget": {
            "ServiceNamespace": "sagemaker",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            "ResourceId": {"Fn::Sub": "endpoint/${AWS::StackName}/variant/AllTraffic"},
            "MinCapacity": 1,
            "MaxCapacity": 2,
        },
        "ApplicationAutoScaling::ScalingPolicy": {
            "PolicyName": name,
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": {"Ref": "ApplicationAutoScalingScalableTarget"},
        },
        "CodeCommit::Repository": {"RepositoryName": name},
        "CodeBuild::Project": {
            "ServiceRole": role_arn,
            "Artifacts": {"Type": "NO_ARTIFACTS"},
            "Source": {"Type": "NO_SOURCE", "BuildSpec": "version: 0.2\nphases: {}\n"},
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
            },
        },
        "CodePipeline::Pipeline": {
            "RoleArn": role_arn,
            "ArtifactStore": {"Type": "S3", "Location": {"Ref": "S3Bucket"}},
            "Stages": stages,
        },
        "Events::Rule": {"EventPattern": {"source": ["test.x"]}, "State": "DISABLED"},
        "Scheduler::Schedule": {
            "ScheduleExpression": "cron(0 3 * * ? *)",
            "State": "DISABLED",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": {"Fn::GetAtt": "SQSQueue.Arn"}, "RoleArn": role_arn},
        },
    }


def test_every_attribute_of_every_type_has_a_value(account: Any) -> None:
    services = ("codebuild", "codepipeline", "events", "sagemaker", "scheduler")
    role_arn = account.create_role(*(f"{service}.amazonaws.com" for service in services))
    given = minimal(role_arn)
    tested = {f"AWS::{kind}" for kind in given}
    assert tested == {t for t in RESOURCE_TYPES if t.rpartition("::")[2] not in _SERVING}
    stack = account.stack(
        {
            kind.replace("::", ""): {"Type": f"AWS::{kind}", "Properties": properties}
            for kind, properties in given.items()
        },
        Outputs={
            f"{kind}{attribute}".replace("::", ""): {
                "Value": {"Fn::GetAtt": [kind.replace("::", ""), attribute]}
            }
            for kind in given
            for attribute in RESOURCE_TYPES[f"AWS::{kind}"].attributes
        },
    )

    assert stack.create(Tags=[{"Key": "team", "Value": "ml"}]) == "CREATE_COMPLETE", stack.reasons()
    outputs = stack.outputs()
    assert [name for name, value in outputs.items() if value in ("", "None")] == []
    assert all(stack.ids().values())
    assert outputs["CodeCommitRepositoryCloneUrlHttp"].startswith(account.own.url)
    arns = [value for name, value in outputs.items() if name.endswith("Arn")]
    assert all(arn.startswith("arn:aws:") for arn in arns)

    # Retagging reaches each service that has tags, in its own manner.
    assert stack.update(Tags=[{"Key": "cost", "Value": "7"}]) == "UPDATE_COMPLETE", stack.reasons()
    retagged = {
        event["LogicalResourceId"]
        for event in stack.events()
        if event["ResourceStatus"] == "UPDATE_COMPLETE" and event["LogicalResourceId"] != stack.name
    }
    assert retagged == {
        kind.replace("::", "")
        for kind in given
        if RESOURCE_TYPES[f"AWS::{kind}"].tag_form is not None
    }
    assert stack.delete() == "DELETE_COMPLETE", stack.reasons()
