"""The templates of infra/ as an account would see them: parsed, and with their values filled in."""

from __future__ import annotations

import functools
import importlib
import importlib.resources
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_aws.cloudformation.intrinsics import Evaluation, Reference
from local_aws.cloudformation.parameters import resolve_parameters, typed_parameters
from local_aws.cloudformation.template import Template, parse_template

_ROOT = Path(__file__).parents[2]
_ENDPOINT_TEMPLATE = "endpoint-config-template.yml"
_ACCOUNT, _REGION = "123456789012", "eu-west-1"
_PSEUDO = {
    "AWS::AccountId": _ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": _REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{_REGION}:{_ACCOUNT}:stack/project/0a",
    "AWS::StackName": "project",
    "AWS::URLSuffix": "amazonaws.com",
}
# What the account's parameters hold, by the end of their names.
_PARAMETER_STORE = {
    "tracking-uri": "https://mlflow.example.com",
    "reader-policy-arn": f"arn:aws:iam::{_ACCOUNT}:policy/sagemaker-mlflow/reader",
    "writer-policy-arn": f"arn:aws:iam::{_ACCOUNT}:policy/sagemaker-mlflow/writer",
    "key-arn": f"arn:aws:kms:{_REGION}:{_ACCOUNT}:key/11111111-2222-3333-4444-555555555555",
    "vpc-id": "vpc-0a",
    "private-subnet-ids": "subnet-0a,subnet-0b",
    "client-security-group-id": "sg-0a",
    "public-subnet-ids": "subnet-0c,subnet-0d",
    "credentials-secret": "none",
    "server": f"{_ACCOUNT}.dkr.ecr.{_REGION}.amazonaws.com/server@sha256:{'0' * 64}",
}
# Of a resource's type: its name's property and the ARN that a name gives.
_ARNS: Mapping[str, tuple[str, str]] = {
    "AWS::CodeBuild::Project": ("Name", "codebuild:{place}:project/{name}"),
    "AWS::CodeCommit::Repository": ("RepositoryName", "codecommit:{place}:{name}"),
    "AWS::CodePipeline::Pipeline": ("Name", "codepipeline:{place}:{name}"),
    "AWS::ECR::Repository": ("RepositoryName", "ecr:{place}:repository/{name}"),
    "AWS::Events::Rule": ("Name", "events:{place}:rule/{name}"),
    "AWS::IAM::ManagedPolicy": ("", f"iam::{_ACCOUNT}:policy/sagemaker-projects/{{name}}"),
    "AWS::IAM::Role": ("", f"iam::{_ACCOUNT}:role/sagemaker-projects/{{name}}"),
    "AWS::KMS::Key": ("", "kms:{place}:key/{name}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs:{place}:log-group:{name}:*"),
    "AWS::S3::Bucket": ("BucketName", "s3:::{name}"),
    "AWS::SNS::Topic": ("TopicName", "sns:{place}:{name}"),
    "AWS::SQS::Queue": ("QueueName", "sqs:{place}:{name}"),
    "AWS::SecretsManager::Secret": ("Name", "secretsmanager:{place}:secret:{name}-AbCdEf"),
    "AWS::Scheduler::Schedule": ("Name", "scheduler:{place}:schedule/default/{name}"),
}
_REF_IS_ARN = {
    "AWS::ECS::TaskDefinition",
    "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup",
    "AWS::IAM::ManagedPolicy",
    "AWS::SNS::Topic",
    "AWS::SecretsManager::Secret",
}
_REQUIRED = {
    "project.yml": {"SageMakerProjectName": "housing", "SageMakerProjectId": "p-housing"},
    "launch-role.yml": {
        "PermissionsBoundaryArn": f"arn:aws:iam::{_ACCOUNT}:policy/boundary",
        "TemplateBucket": "templates",
    },
    _ENDPOINT_TEMPLATE: {
        "SageMakerProjectName": "housing",
        "StageName": "prod",
        "ModelExecutionRoleArn": f"arn:aws:iam::{_ACCOUNT}:role/model",
        "ModelDataLocation": "s3://bucket/model-archives/housing/0a/model.tar.gz",
        "ContainerImageURI": f"{_ACCOUNT}.dkr.ecr.{_REGION}.amazonaws.com/inference:1",
    },
}


@dataclass(frozen=True)
class Rendered:
    """A template's resources and outputs for one set of parameters, every function evaluated."""

    template: Template
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]

    def of_type(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Properties of the resources of that type, by logical id."""
        return {
            name: properties
            for name, properties in self.resources.items()
            if self.template.resources[name].type == kind
        }


@pytest.fixture(scope="session")
def render() -> Callable[..., Rendered]:
    """render("project.yml", Schedule="rate(1 day)"): the template with these parameters."""
    return _render


@pytest.fixture(scope="session")
def project() -> Rendered:
    """project.yml with everything optional that goes together with CodeCommit repositories."""
    return _render(
        "project.yml",
        SeedBucket="seeds",
        Schedule="rate(1 day)",
        NotificationEmail="team@example.com",
        DataPolicyArn=f"arn:aws:iam::{_ACCOUNT}:policy/data",
    )


@pytest.fixture(scope="session")
def connected() -> Rendered:
    """project.yml with one repository behind a Git connection."""
    return _render(
        "project.yml",
        ConnectionArn=f"arn:aws:codeconnections:{_REGION}:{_ACCOUNT}:connection/0a",
        ModelBuildRepository="team/housing",
        ModelDeployRepository="team/housing",
    )


@pytest.fixture(scope="session")
def parliament() -> types.ModuleType:
    """The policy linter.

    1.6.4 asks setuptools' pkg_resources for the path of its data, and setuptools has it no more.
    """
    stand_in = types.ModuleType("pkg_resources")
    stand_in.resource_filename = lambda package, name: str(  # type: ignore[attr-defined]
        importlib.resources.files(package) / name
    )
    absent = "pkg_resources" not in sys.modules
    sys.modules.setdefault("pkg_resources", stand_in)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it leaves its data files open
            return importlib.import_module("parliament")
    finally:
        if absent:
            del sys.modules["pkg_resources"]


def template_path(name: str) -> Path:
    """Where the template of that name lies: model_deploy, infra/platform or infra/project."""
    folders = (_ROOT / "model_deploy", _ROOT / "infra/platform", _ROOT / "infra/project")
    (found,) = (folder / name for folder in folders if (folder / name).is_file())
    return found


@functools.cache
def _parse(name: str) -> Template:
    return parse_template(template_path(name).read_text())


def _render(name: str, **given: str) -> Rendered:
    template = _parse(name)
    texts = resolve_parameters(template.parameters, {**_REQUIRED.get(name, {}), **given})
    parameters = typed_parameters(
        template.parameters, texts, lambda path: _PARAMETER_STORE[path.rpartition("/")[2]]
    )
    evaluation = Evaluation(
        template,
        parameters=parameters,
        pseudo=_PSEUDO,
        resource=lambda reference: _resource(template, evaluation, reference),
    )
    return Rendered(
        template=template,
        resources={
            logical_id: evaluation.value(declared.properties or {})
            for logical_id, declared in template.resources.items()
            if declared.condition is None or evaluation.condition(declared.condition)
        },
        outputs={
            key: evaluation.value(output["Value"])
            for key, output in template.outputs.items()
            if "Condition" not in output or evaluation.condition(output["Condition"])
        },
    )


def _resource(template: Template, evaluation: Evaluation, reference: Reference) -> str:
    """What Ref and GetAtt of a resource give: its name or ARN, as AWS makes them."""
    declared = template.resources[reference.name]
    assert declared.condition is None or evaluation.condition(declared.condition), (
        f"{reference.name} is referred to, but not made under these parameters"
    )
    if declared.type == "AWS::SSM::Parameter" and reference.attribute == "Value":
        return str(evaluation.value(declared.properties["Value"]))
    if declared.type not in _ARNS:
        return _invented(declared.type, reference)
    property_name, arn = _ARNS[declared.type]
    name = reference.name
    if property_name in (declared.properties or {}):
        name = str(evaluation.value(declared.properties[property_name]))
    if reference.attribute == "CloneUrlHttp":
        return f"https://git-codecommit.{_REGION}.amazonaws.com/v1/repos/{name}"
    if reference.attribute == "RepositoryUri":
        return f"{_ACCOUNT}.dkr.ecr.{_REGION}.amazonaws.com/{name}"
    if reference.attribute == "Arn" or (
        reference.attribute is None and declared.type in _REF_IS_ARN
    ):
        return "arn:aws:" + arn.format(place=f"{_REGION}:{_ACCOUNT}", name=name)
    assert reference.attribute in (None, "Name"), f"no value for {reference}"
    return name


def _invented(kind: str, reference: Reference) -> str:
    """A value for what only AWS names: it tells what was referred to."""
    service = kind.split("::")[1].lower()
    arn = f"arn:aws:{service}:{_REGION}:{_ACCOUNT}:{reference.name}"
    if reference.attribute is None:
        return arn if kind in _REF_IS_ARN else reference.name
    if reference.attribute.endswith("Arn"):
        return arn
    return f"{reference.name}.{reference.attribute}"
