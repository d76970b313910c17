"""mlflow-managed.yml: parameters as of mlflow.yml, data that outlives the stack, two policies."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

import pytest

from local_aws.cloudformation.rules import check_rules
from local_aws.errors import AwsError

_APP_ARN = "arn:aws:sagemaker:eu-west-1:123456789012:App"
_KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/Key"
_OBJECTS = "arn:aws:s3:::Artifacts/*"
_EXISTING = {
    "ExistingAppArn": "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-0A",
    "ExistingBucket": "earlier-artifacts",
    "ExistingKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0a",
}
_VIA_S3 = {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}


@pytest.fixture(scope="module")
def managed(render: Callable[..., Any]) -> Any:
    return render("mlflow-managed.yml")


@pytest.fixture(scope="module")
def private(render: Callable[..., Any]) -> Any:
    return render("mlflow-managed.yml", PrivateEndpoint="true")


def _rights(document: Any) -> set[tuple[str, str]]:
    """Pairs of action and resource."""
    return {
        (action, statement["Resource"])
        for statement in document["Statement"]
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }


def test_projects_find_it_by_the_parameters_of_mlflow_yml(managed: Any) -> None:
    published = {
        properties["Name"]: properties["Value"]
        for properties in managed.of_type("AWS::SSM::Parameter").values()
    }
    policies = "arn:aws:iam::123456789012:policy/sagemaker-projects"
    assert published == {
        "/sagemaker-mlflow/tracking-uri": _APP_ARN,
        "/sagemaker-mlflow/reader-policy-arn": f"{policies}/ReaderPolicy",
        "/sagemaker-mlflow/writer-policy-arn": f"{policies}/WriterPolicy",
        "/sagemaker-mlflow/key-arn": _KEY_ARN,
        "/sagemaker-mlflow/artifact-bucket": "Artifacts",
        "/sagemaker-mlflow/client-security-group-id": "ClientSecurityGroup",
        "/sagemaker-mlflow/credentials-secret": "none",
    }
    types = {p["Type"] for p in managed.of_type("AWS::SSM::Parameter").values()}
    assert types == {"String"}


def test_each_parameter_of_a_project_is_published(managed: Any, render: Callable[..., Any]) -> None:
    wanted = {
        declared["Default"]
        for declared in render("project.yml").template.parameters.values()
        if str(declared["Type"]).startswith("AWS::SSM::")
    }
    made = {
        properties["Name"]
        for stack in (managed, render("network.yml"))
        for properties in stack.of_type("AWS::SSM::Parameter").values()
    }
    assert {name for name in wanted if "/images/" not in name} <= made


def test_projects_notice_no_difference_to_mlflow_yml(
    managed: Any, render: Callable[..., Any]
) -> None:
    made = [
        {properties["Name"] for properties in stack.of_type("AWS::SSM::Parameter").values()}
        for stack in (managed, render("mlflow.yml"))
    ]
    assert made[0] == made[1]


def test_an_app_that_is_there_is_published_with_new_policies(render: Callable[..., Any]) -> None:
    stack = render("mlflow-managed.yml", **_EXISTING)
    assert not {"App", "AppRole", "Artifacts", "ArtifactsPolicy", "Key", "KeyAlias"} & set(
        stack.resources
    )
    published = {
        properties["Name"].rpartition("/")[2]: properties["Value"]
        for properties in stack.of_type("AWS::SSM::Parameter").values()
    }
    assert published["tracking-uri"] == _EXISTING["ExistingAppArn"]
    assert published["artifact-bucket"] == _EXISTING["ExistingBucket"]
    assert published["key-arn"] == _EXISTING["ExistingKeyArn"]
    assert _rights(stack.resources["ReaderPolicy"]["PolicyDocument"]) == {
        ("sagemaker:CallMlflowAppApi", _EXISTING["ExistingAppArn"]),
        ("s3:ListBucket", "arn:aws:s3:::earlier-artifacts"),
        ("s3:GetObject", "arn:aws:s3:::earlier-artifacts/*"),
        ("kms:Decrypt", _EXISTING["ExistingKeyArn"]),
    }
    assert "MlflowVersion" not in stack.outputs


def test_a_new_app_can_take_the_key_that_projects_have(render: Callable[..., Any]) -> None:
    stack = render("mlflow-managed.yml", ExistingKeyArn=_EXISTING["ExistingKeyArn"])
    assert "App" in stack.resources
    assert not {"Key", "KeyAlias"} & set(stack.resources)
    (rule,) = stack.resources["Artifacts"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == _EXISTING["ExistingKeyArn"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ExistingAppArn": _EXISTING["ExistingAppArn"]}, "ExistingAppArn needs ExistingBucket"),
        ({"ExistingBucket": "earlier-artifacts"}, "ExistingBucket needs ExistingAppArn"),
        ({**_EXISTING, "AppName": "other"}, "AppName and MaintenanceWindow are of a new app"),
        ({**_EXISTING, "MaintenanceWindow": "Sun:03:30"}, "AppName and MaintenanceWindow are of"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    managed: Any, given: dict[str, str], problem: str
) -> None:
    defaults = {
        name: str(declared["Default"]) for name, declared in managed.template.parameters.items()
    }
    check_rules(managed.template, defaults, {})
    check_rules(managed.template, {**defaults, **_EXISTING}, {})
    with pytest.raises(AwsError, match=problem):
        check_rules(managed.template, {**defaults, **given}, {})


def test_nothing_has_to_be_chosen(managed: Any) -> None:
    assert all("Default" in declared for declared in managed.template.parameters.values())


def test_registry_artifacts_and_what_reads_them_outlive_the_stack(managed: Any) -> None:
    kept = {
        name
        for name, declared in managed.template.resources.items()
        if declared.retained_on_delete and declared.retained_on_replace
    }
    assert kept == {"App", "AppRole", "Artifacts", "ArtifactsPolicy", "Key"}


def test_app_keeps_artifacts_in_the_bucket_and_registers_nowhere_else(managed: Any) -> None:
    assert managed.resources["App"] == {
        "Name": "sagemaker-mlflow",
        "ArtifactStoreUri": "s3://Artifacts/artifacts",
        "RoleArn": "arn:aws:iam::123456789012:role/sagemaker-projects/AppRole",
        "ModelRegistrationMode": "AutoModelRegistrationDisabled",
    }


def test_updates_can_be_given_a_time(render: Callable[..., Any]) -> None:
    app = render("mlflow-managed.yml", MaintenanceWindow="Sun:03:30").resources["App"]
    assert app["WeeklyMaintenanceWindowStart"] == "Sun:03:30"


def test_app_reaches_its_bucket_through_its_key_and_nothing_else(managed: Any) -> None:
    role = managed.resources["AppRole"]
    (policy,) = role["Policies"]
    assert _rights(policy["PolicyDocument"]) == {
        ("s3:GetBucketLocation", "arn:aws:s3:::Artifacts"),
        ("s3:ListBucket", "arn:aws:s3:::Artifacts"),
        ("s3:AbortMultipartUpload", _OBJECTS),
        ("s3:GetObject", _OBJECTS),
        ("s3:PutObject", _OBJECTS),
        ("kms:Decrypt", _KEY_ARN),
        ("kms:GenerateDataKey", _KEY_ARN),
    }
    assert "ManagedPolicyArns" not in role
    # What the app writes lies where the policies speak of.
    root = managed.resources["App"]["ArtifactStoreUri"].removeprefix("s3://")
    assert fnmatch.fnmatchcase(f"arn:aws:s3:::{root}/1/run/artifacts/model", _OBJECTS)


def test_role_of_the_app_can_be_bounded(managed: Any, render: Callable[..., Any]) -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    bounded = render("mlflow-managed.yml", PermissionsBoundaryArn=boundary).resources["AppRole"]
    assert bounded["PermissionsBoundary"] == boundary
    assert "PermissionsBoundary" not in managed.resources["AppRole"]


def test_readers_and_writers_call_the_api_and_only_writers_write_artifacts(managed: Any) -> None:
    reader = _rights(managed.resources["ReaderPolicy"]["PolicyDocument"])
    writer = _rights(managed.resources["WriterPolicy"]["PolicyDocument"])
    assert reader == {
        # The only action that IAM knows for an app's API; it includes moving stages.
        ("sagemaker:CallMlflowAppApi", _APP_ARN),
        ("s3:ListBucket", "arn:aws:s3:::Artifacts"),
        ("s3:GetObject", _OBJECTS),
        ("kms:Decrypt", _KEY_ARN),
    }
    assert writer - reader == {
        ("s3:AbortMultipartUpload", _OBJECTS),
        ("s3:PutObject", _OBJECTS),
        ("kms:GenerateDataKey", _KEY_ARN),
    }
    assert reader <= writer


def test_the_key_serves_clients_through_s3_only(managed: Any) -> None:
    documents = [
        managed.resources["ReaderPolicy"]["PolicyDocument"],
        managed.resources["WriterPolicy"]["PolicyDocument"],
        managed.resources["AppRole"]["Policies"][0]["PolicyDocument"],
    ]
    for document in documents:
        conditions = [
            said["Condition"] for said in document["Statement"] if "kms:Decrypt" in said["Action"]
        ]
        assert conditions == [_VIA_S3]


def test_roles_and_policies_have_the_path_of_the_account_s_stacks(managed: Any) -> None:
    for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
        assert {p["Path"] for p in managed.of_type(kind).values()} == {"/sagemaker-mlflow/"}


def test_key_lets_iam_decide_and_serves_logs_and_failure_notices(managed: Any) -> None:
    key = managed.resources["Key"]
    assert key["EnableKeyRotation"] is True
    said = {statement["Sid"]: statement for statement in key["KeyPolicy"]["Statement"]}
    assert said["Account"]["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert said["Logs"]["Principal"] == {"Service": "logs.eu-west-1.amazonaws.com"}
    assert said["Logs"]["Condition"] == {
        "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": (
                "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/*"
            )
        }
    }
    alarms = said["AlarmsToEncryptedTopics"]
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    events = said["EventsToEncryptedTopics"]
    assert events["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in events
    for name in ("Logs", "AlarmsToEncryptedTopics", "EventsToEncryptedTopics"):
        assert not any("*" in action for action in said[name]["Action"]), name


def test_key_covers_each_encrypted_log_group_of_a_project(
    managed: Any, render: Callable[..., Any]
) -> None:
    (pattern,) = [
        statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
        for statement in managed.resources["Key"]["KeyPolicy"]["Statement"]
        if statement["Sid"] == "Logs"
    ]
    for group in render("project.yml").of_type("AWS::Logs::LogGroup").values():
        arn = f"arn:aws:logs:eu-west-1:123456789012:log-group:{group['LogGroupName']}"
        assert fnmatch.fnmatchcase(arn, pattern)


def test_bucket_is_private_encrypted_versioned_and_answers_tls_only(managed: Any) -> None:
    bucket = managed.resources["Artifacts"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": _KEY_ARN,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (lifecycle,) = bucket["LifecycleConfiguration"]["Rules"]
    assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(lifecycle)
    (deny,) = managed.resources["ArtifactsPolicy"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Resource"] == ["arn:aws:s3:::Artifacts", "arn:aws:s3:::Artifacts/*"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_nobody_connects_to_clients(managed: Any) -> None:
    group = managed.resources["ClientSecurityGroup"]
    assert group["VpcId"] == "vpc-0a"
    assert "SecurityGroupIngress" not in group
    (egress,) = group["SecurityGroupEgress"]
    assert (egress["IpProtocol"], egress["CidrIp"]) == ("-1", "0.0.0.0/0")


def test_private_endpoint_lets_clients_in_and_leads_to_this_app_only(private: Any) -> None:
    endpoint = private.resources["Endpoint"]
    assert endpoint["VpcEndpointType"] == "Interface"
    assert endpoint["ServiceName"] == "aws.sagemaker.eu-west-1.mlflow"
    assert endpoint["PrivateDnsEnabled"] is True
    assert (endpoint["VpcId"], endpoint["SubnetIds"]) == ("vpc-0a", ["subnet-0a", "subnet-0b"])
    (statement,) = endpoint["PolicyDocument"]["Statement"]
    assert statement["Action"] == "sagemaker:CallMlflowAppApi"
    assert statement["Resource"] == _APP_ARN
    assert endpoint["SecurityGroupIds"] == ["EndpointSecurityGroup"]
    group = private.resources["EndpointSecurityGroup"]
    (ingress,) = group["SecurityGroupIngress"]
    assert ingress["SourceSecurityGroupId"] == "ClientSecurityGroup"
    assert (ingress["IpProtocol"], ingress["FromPort"], ingress["ToPort"]) == ("tcp", 443, 443)
    (egress,) = group["SecurityGroupEgress"]
    assert egress["CidrIp"] == "127.0.0.1/32"


def test_without_a_private_endpoint_there_is_nothing_of_it(managed: Any) -> None:
    assert not {"Endpoint", "EndpointSecurityGroup"} & set(managed.resources)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"AppName": "a" * 64}, "letters, digits and hyphens"),
        ({"AppName": "ml_flow"}, "letters, digits and hyphens"),
        ({"AppName": ""}, "letters, digits and hyphens"),
        ({"MaintenanceWindow": "SUN:03:30"}, "day and time"),
        ({"MaintenanceWindow": "Sun:24:00"}, "day and time"),
        ({"PrivateEndpoint": "yes"}, "PrivateEndpoint"),
        # Its API has other actions.
        (
            {"ExistingAppArn": "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/x"},
            "ExistingAppArn",
        ),
    ],
)
def test_values_that_would_fail_later_are_refused_at_once(
    render: Callable[..., Any], given: dict[str, str], problem: str
) -> None:
    with pytest.raises(AwsError, match=problem):
        render("mlflow-managed.yml", **given)
