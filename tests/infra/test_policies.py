"""What the roles may do: no more than is written down, and nothing that IAM does not know."""

from __future__ import annotations

import fnmatch
import json
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

import model_build
import model_deploy
from model_deploy.build import build_parser
from tests.infra.conftest import template_path

_ROOT = Path(__file__).parents[2]
_ACCOUNT = "123456789012"

# Actions of which IAM takes no resource, so that "*" is all that can be said.
_WITHOUT_RESOURCES = {
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:DescribeScheduledActions",
    "cloudformation:GetTemplateSummary",
    "cloudformation:ValidateTemplate",
    "cloudwatch:PutMetricData",
    "codecommit:ListRepositories",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ecr:GetAuthorizationToken",
    "logs:DescribeLogGroups",
    "sns:Unsubscribe",
}
# AWS documents no aws:SourceAccount for roles that CloudFormation or Service Catalog assumes.
_WITHOUT_SOURCE_ACCOUNT = {
    "CloudFormationRole",
    "LaunchRole",
    "ModelBuildPipelineRole",
    "ModelDeployPipelineRole",
}
# Findings of parliament that are wrong or wanted: policy, issue, part of the detail.
_ACCEPTED = {
    # With IfExists: it binds the actions that have a dimension, and lets pass those on tags.
    ("CloudFormationRole.endpoint", "UNKNOWN_CONDITION_FOR_ACTION", "scalable-dimension"),
    ("CloudFormationRole.endpoint", "UNKNOWN_CONDITION_FOR_ACTION", "kms:DescribeKey"),
    # A connection's ARN begins with the old or the new name of its service, and so does the action.
    ("ModelBuildPipelineRole.modelbuild", "RESOURCE_MISMATCH", "codestar-connections:Use"),
    ("ModelDeployPipelineRole.modeldeploy", "RESOURCE_MISMATCH", "codestar-connections:Use"),
    # Who creates a bucket writes its policy and its lifecycle.
    ("DataPolicy", "RESOURCE_POLICY_PRIVILEGE_ESCALATION", "s3:PutBucketPolicy"),
    ("DataPolicy", "RESOURCE_POLICY_PRIVILEGE_ESCALATION", "s3:PutLifecycleConfiguration"),
    # Newer than parliament's list of actions; _NEWER says where it is documented.
    ("ReaderPolicy", "UNKNOWN_ACTION", "CallMlflowAppApi"),
    ("WriterPolicy", "UNKNOWN_ACTION", "CallMlflowAppApi"),
}
# "Data Plane IAM actions supported for MLflow Apps" (SageMaker AI developer guide).
_NEWER = {"sagemaker:CallMlflowAppApi"}
# What gives roles something to do that they have not by default.
_MOST_RIGHTS = {
    "images.yml": {"KeyArn": f"arn:aws:kms:eu-west-1:{_ACCOUNT}:key/0a"},
    "mlflow.yml": {"BasicAuth": "true"},
}
_INLINE_LIMIT, _MANAGED_LIMIT = 10_240, 6_144


@pytest.fixture(
    scope="module",
    params=[
        "codecommit",
        "connection",
        "images.yml",
        "launch-role.yml",
        "mlflow-managed.yml",
        "mlflow.yml",
        "network.yml",
    ],
)
def stack(request: pytest.FixtureRequest, render: Callable[..., Any]) -> Any:
    """Each shape of the templates whose policies differ."""
    if request.param.endswith(".yml"):
        return render(request.param, **_MOST_RIGHTS.get(request.param, {}))
    return request.getfixturevalue("project" if request.param == "codecommit" else "connected")


def _identity_policies(stack: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, properties in stack.of_type("AWS::IAM::ManagedPolicy").items():
        yield name, properties["PolicyDocument"]
    for name, properties in stack.of_type("AWS::IAM::Role").items():
        for policy in properties.get("Policies", []):
            yield f"{name}.{policy['PolicyName']}", policy["PolicyDocument"]


def _statements(stack: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, document in _identity_policies(stack):
        for statement in document["Statement"]:
            yield f"{name}: {statement['Sid']}", statement


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allowed(stack: Any, role: str) -> list[tuple[str, str]]:
    """Pairs of action and resource that the role may use, its managed policies included."""
    managed = {
        f"arn:aws:iam::{_ACCOUNT}:policy/sagemaker-projects/{name}": properties["PolicyDocument"]
        for name, properties in stack.of_type("AWS::IAM::ManagedPolicy").items()
    }
    properties = stack.resources[role]
    documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
    documents += [managed[arn] for arn in properties.get("ManagedPolicyArns", []) if arn in managed]
    return [
        (action, resource)
        for document in documents
        for statement in document["Statement"]
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    ]


def _may(stack: Any, role: str, action: str, resource: str) -> bool:
    return any(
        allowed == action and fnmatch.fnmatchcase(resource, pattern)
        for allowed, pattern in _allowed(stack, role)
    )


def test_parliament_finds_nothing_but_what_is_accepted(
    stack: Any, parliament: types.ModuleType
) -> None:
    unexplained = []
    for name, document in _identity_policies(stack):
        for found in parliament.analyze_policy_string(json.dumps(document)).findings:
            if not any(
                (name, found.issue) == accepted[:2] and accepted[2] in str(found.detail)
                for accepted in _ACCEPTED
            ):
                unexplained.append(f"{name}: {found.issue} {found.detail}")
    assert unexplained == []


def test_each_accepted_finding_is_still_found(
    connected: Any, render: Callable[..., Any], parliament: types.ModuleType
) -> None:
    seen = {
        accepted
        for stack in (connected, render("launch-role.yml"), render("mlflow-managed.yml"))
        for name, document in _identity_policies(stack)
        for found in parliament.analyze_policy_string(json.dumps(document)).findings
        for accepted in _ACCEPTED
        if (name, found.issue) == accepted[:2] and accepted[2] in str(found.detail)
    }
    assert seen == _ACCEPTED


def test_parliament_would_find_an_action_that_does_not_exist(
    project: Any, parliament: types.ModuleType
) -> None:
    document = json.dumps(dict(_identity_policies(project))["PipelineRole.pipeline"])
    misspelled = document.replace("sagemaker:CreateTrainingJob", "sagemaker:CreateTraining")
    issues = {found.issue for found in parliament.analyze_policy_string(misspelled).findings}
    assert issues == {"UNKNOWN_ACTION"}


def test_each_action_is_one_that_iam_knows(stack: Any, parliament: types.ModuleType) -> None:
    known = {
        f"{service['prefix']}:{privilege['privilege']}"
        for service in parliament.iam_definition
        for privilege in service["privileges"]
    }
    used = {action for _, said in _statements(stack) for action in _listed(said["Action"])}
    assert used - known - _NEWER == set()


def test_no_statement_allows_actions_by_wildcard(stack: Any) -> None:
    for name, statement in _statements(stack):
        assert statement["Effect"] == "Allow", name
        assert "NotAction" not in statement, name
        assert not any("*" in action for action in _listed(statement["Action"])), name


def test_all_resources_are_meant_only_where_an_action_has_none(stack: Any) -> None:
    for name, statement in _statements(stack):
        if "*" in _listed(statement["Resource"]):
            assert set(_listed(statement["Action"])) <= _WITHOUT_RESOURCES, name
        else:
            assert not set(_listed(statement["Action"])) & _WITHOUT_RESOURCES, name


@pytest.mark.parametrize(
    "template",
    [
        *("project.yml", "launch-role.yml", "images.yml"),
        *("mlflow-managed.yml", "mlflow.yml", "network.yml"),
    ],
)
def test_a_comment_gives_the_reason_for_each_wildcard_resource(template: str) -> None:
    lines = template_path(template).read_text().splitlines()
    heads = [
        number
        for number, line in enumerate(lines)
        if line.lstrip().startswith(("- Sid: ", "- {Sid: "))
    ]
    everything = [
        max(head for head in heads if head <= number)
        for number, line in enumerate(lines)
        if 'Resource: "*"' in line
    ]
    assert everything
    for head in everything:
        assert lines[head - 1].lstrip().startswith("#"), lines[head]


def test_roles_are_passed_to_one_named_service_only(stack: Any) -> None:
    for name, statement in _statements(stack):
        if "iam:PassRole" in _listed(statement["Action"]):
            assert statement["Action"] == "iam:PassRole", name
            (resource,) = _listed(statement["Resource"])
            assert ":role/sagemaker-projects/" in resource, name
            (operator,) = statement["Condition"]
            assert operator == "StringEquals", name
            assert list(statement["Condition"][operator]) == ["iam:PassedToService"], name


def test_each_role_trusts_services_on_behalf_of_this_account_only(stack: Any) -> None:
    for name, properties in stack.of_type("AWS::IAM::Role").items():
        (statement,) = properties["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Effect"] == "Allow"
        assert statement["Action"] == "sts:AssumeRole"
        assert list(statement["Principal"]) == ["Service"], name
        if name in _WITHOUT_SOURCE_ACCOUNT:
            assert "Condition" not in statement
        else:
            assert isinstance(statement["Principal"]["Service"], str), name
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": _ACCOUNT}}


def test_policies_fit_iams_limits(stack: Any) -> None:
    def size(document: Any) -> int:
        return len(json.dumps(document, separators=(",", ":")))

    for name, properties in stack.of_type("AWS::IAM::ManagedPolicy").items():
        assert size(properties["PolicyDocument"]) <= _MANAGED_LIMIT, name
    for name, properties in stack.of_type("AWS::IAM::Role").items():
        inline = sum(size(policy["PolicyDocument"]) for policy in properties.get("Policies", []))
        assert inline <= _INLINE_LIMIT, name


def test_nobody_reads_or_writes_the_whole_bucket(project: Any) -> None:
    bucket = f"arn:aws:s3:::{project.resources['Bucket']['BucketName']}"
    for name, statement in _statements(project):
        assert f"{bucket}/*" not in _listed(statement["Resource"]), name


def test_every_role_is_bounded_when_a_boundary_is_given(
    project: Any, render: Callable[..., Any]
) -> None:
    boundary = f"arn:aws:iam::{_ACCOUNT}:policy/boundary"
    bounded = render("project.yml", Schedule="rate(1 day)", PermissionsBoundaryArn=boundary)
    roles = bounded.of_type("AWS::IAM::Role").values()
    assert {role["PermissionsBoundary"] for role in roles} == {boundary}
    assert {role["Path"] for role in roles} == {"/sagemaker-projects/"}
    for role in project.of_type("AWS::IAM::Role").values():
        assert "PermissionsBoundary" not in role


def test_the_launch_role_creates_roles_within_the_boundary_only(
    render: Callable[..., Any],
) -> None:
    statements = dict(_statements(render("launch-role.yml")))
    creating = [
        name
        for name, said in statements.items()
        if set(_listed(said["Action"])) & {"iam:CreateRole", "iam:PutRolePolicy"}
    ]
    assert creating == ["IdentityPolicy: BoundedRoles"]
    assert statements[creating[0]]["Condition"] == {
        "ArnEquals": {"iam:PermissionsBoundary": f"arn:aws:iam::{_ACCOUNT}:policy/boundary"}
    }


def test_the_launch_role_has_actions_for_each_kind_of_resource(
    project: Any, render: Callable[..., Any]
) -> None:
    prefixes = {
        action.partition(":")[0]
        for _, said in _statements(render("launch-role.yml"))
        for action in _listed(said["Action"])
    }
    kinds = {declared.type for declared in project.template.resources.values()}
    assert {kind.split("::")[1].lower() for kind in kinds} <= prefixes


# What CloudFormation asks for properties that project.yml doesn't have.
_OF_UNUSED_PROPERTIES = {
    "AWS::IAM::ManagedPolicy": {"iam:DetachGroupPolicy", "iam:DetachUserPolicy"},
    "AWS::Logs::LogGroup": {
        *("logs:DeleteDataProtectionPolicy", "logs:DescribeIndexPolicies"),
        *("logs:DescribeResourcePolicies", "logs:GetDataProtectionPolicy"),
    },
    "AWS::S3::Bucket": {
        *("s3:GetAccelerateConfiguration", "s3:GetAnalyticsConfiguration", "s3:GetBucketAbac"),
        *("s3:GetBucketCORS", "s3:GetBucketLogging", "s3:GetBucketMetadataTableConfiguration"),
        *("s3:GetBucketNotification", "s3:GetBucketObjectLockConfiguration"),
        *("s3:GetBucketWebsite", "s3:GetIntelligentTieringConfiguration"),
        *("s3:GetInventoryConfiguration", "s3:GetMetricsConfiguration"),
        *("s3:GetReplicationConfiguration", "s3:ListTagsForResource"),
    },
    "AWS::SNS::Topic": {"sns:GetDataProtectionPolicy"},
}


def test_the_launch_role_may_read_and_delete_as_cloudformation_does(
    project: Any, render: Callable[..., Any]
) -> None:
    """The permissions of the handlers are in the schemas of the resource types."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    allowed = [
        action.lower()
        for _, said in _statements(render("launch-role.yml"))
        for action in _listed(said["Action"])
    ]
    missing = {}
    for kind in sorted({declared.type for declared in project.template.resources.values()}):
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        handlers = schema.get("handlers", {})
        asked = {
            action
            for handler in ("read", "delete")
            for action in handlers.get(handler, {}).get("permissions", [])
        }
        refused = {
            action
            for action in asked
            if not any(fnmatch.fnmatchcase(action.lower(), pattern) for pattern in allowed)
        }
        if refused:
            missing[kind] = refused
    assert missing == _OF_UNUSED_PROPERTIES


def test_resources_have_the_names_that_the_launch_role_may_use(project: Any) -> None:
    for kind, name in (
        ("AWS::CodeBuild::Project", "Name"),
        ("AWS::CodeCommit::Repository", "RepositoryName"),
        ("AWS::CodePipeline::Pipeline", "Name"),
        ("AWS::Events::Rule", "Name"),
        ("AWS::SNS::Topic", "TopicName"),
        ("AWS::SQS::Queue", "QueueName"),
        ("AWS::Scheduler::Schedule", "Name"),
    ):
        for properties in project.of_type(kind).values():
            assert properties[name].startswith("sagemaker-"), kind
    assert project.resources["Bucket"]["BucketName"].startswith("sagemaker-project-")


def test_the_bucket_answers_tls_only_and_the_topic_its_rules_and_alarms_only(project: Any) -> None:
    bucket = f"arn:aws:s3:::{project.resources['Bucket']['BucketName']}"
    (deny,) = project.resources["BucketPolicy"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    assert deny["Resource"] == [bucket, f"{bucket}/*"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    events, alarms = project.resources["NotificationsPolicy"]["PolicyDocument"]["Statement"]
    for allow in (events, alarms):
        assert (allow["Effect"], allow["Action"]) == ("Allow", "sns:Publish")
        assert allow["Resource"] == project.resources["NotificationsPolicy"]["Topics"][0]
    assert events["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in events, "EventBridge's documentation allows none in a topic's policy"
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": _ACCOUNT}}


def test_job_role_reads_and_writes_what_the_compiled_pipeline_names(project: Any) -> None:
    bucket = f"arn:aws:s3:::{project.resources['Bucket']['BucketName']}"
    golden = (_ROOT / "tests/model_build/pipeline_definition.json").read_text()
    keys = set(re.findall(r"s3://artifacts/([^\"]+)", golden))
    results = {"housing/data", "housing/train"}
    assert results < keys
    for key in keys:
        resource = f"{bucket}/{key}/object"
        assert _may(project, "JobRole", "s3:GetObject", resource), key
        assert _may(project, "JobRole", "s3:PutObject", resource) == (key in results), key
        # The build uploads the code, and sees no results.
        assert _may(project, "ModelBuildRole", "s3:PutObject", resource) == (key not in results)
        assert not _may(project, "ModelBuildRole", "s3:GetObject", resource), key


def test_archives_are_written_by_the_build_and_read_by_test_and_model(project: Any) -> None:
    bucket = f"arn:aws:s3:::{project.resources['Bucket']['BucketName']}"
    archive = f"{bucket}/{build_parser().get_default('archive_prefix')}/prices/0a/model.tar.gz"
    may = {
        role: {
            action
            for action in ("s3:GetObject", "s3:PutObject")
            if _may(project, role, action, archive)
        }
        for role in project.of_type("AWS::IAM::Role")
    }
    assert {role: actions for role, actions in may.items() if actions} == {
        "ModelDeployRole": {"s3:GetObject", "s3:PutObject"},
        "ModelRole": {"s3:GetObject"},
        "TestingRole": {"s3:GetObject"},
    }


# Operations whose permission has another name.
_PERMISSION = {"HeadObject": "GetObject"}


@pytest.mark.parametrize(
    ("role", "folder", "services"),
    [
        ("ModelBuildRole", Path(model_build.__file__).parent, ["sagemaker"]),
        ("ModelBuildRole", Path(model_build.__file__).parent, ["logs"]),
        ("ModelBuildRole", Path(model_build.__file__).parent, ["sns"]),
        ("ModelDeployRole", Path(model_deploy.__file__).parent, ["sns"]),
        ("TestingRole", Path(model_deploy.__file__).parent, ["sns"]),
        ("ModelDeployRole", Path(model_deploy.__file__).parent, ["s3"]),
        ("TestingRole", Path(model_deploy.__file__).parent / "test", ["sagemaker"]),
        ("TestingRole", Path(model_deploy.__file__).parent / "test", ["sagemaker-runtime"]),
    ],
)
def test_role_may_call_what_its_code_calls(
    project: Any, role: str, folder: Path, services: list[str]
) -> None:
    called = {
        name
        for path in folder.glob("*.py")
        # What stands in capitals is a pattern of ours, which has a `search` too.
        for name in re.findall(r"(?<![A-Z])\.([a-z_]+)\(", path.read_text())
    }
    actions = set()
    for service in services:
        model = botocore.session.get_session().get_service_model(service)
        prefix = model.signing_name
        actions |= {
            f"{prefix}:{_PERMISSION.get(operation, operation)}"
            for operation in model.operation_names
            if xform_name(operation) in called
        }
    assert actions, "the code calls nothing of the service; is the pattern still right?"
    assert actions <= {action for action, _ in _allowed(project, role)}
