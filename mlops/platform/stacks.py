"""The platform's stacks: their names, templates and order, and how they stand in an account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from mlops.account import error_message
from mlops.platform.templates import Template, parse_template, read_template

PROJECT_PREFIX = "sagemaker-project-"
# What SageMaker and `deploy` tag a project's stacks with, and CloudFormation their endpoints.
PROJECT_TAG = "sagemaker:project-name"


@dataclass(frozen=True, kw_only=True)
class StackKind:
    """One of the stacks; `key` is its name on the command line and in settings files."""

    key: str
    name: str
    template_name: str
    folder: str = "platform"
    protected: bool = False

    def template(self) -> Template:
        """The template of this tree."""
        return read_template(f"{self.folder}/{self.template_name}")


NETWORK = StackKind(key="network", name="sagemaker-mlflow-network", template_name="network.yml")
IMAGES = StackKind(key="images", name="sagemaker-mlflow-images", template_name="images.yml")
MLFLOW = StackKind(
    key="mlflow",
    name="sagemaker-mlflow-server",
    template_name="mlflow.yml",
    protected=True,
)
MANAGED = StackKind(
    key="mlflow-managed",
    name="sagemaker-mlflow-managed",
    template_name="mlflow-managed.yml",
    protected=True,
)
# In place of the others where local-aws stands for AWS: there are no networks and no containers.
LAPTOP = StackKind(key="laptop", name="sagemaker-mlflow-laptop", template_name="laptop.yml")
# A project's stack ends in the project's name.
PROJECT = StackKind(
    key="project", name=PROJECT_PREFIX, template_name="project.yml", folder="project"
)
# Each needs what those before it publish.
PLATFORM = (NETWORK, IMAGES, MLFLOW, MANAGED, LAPTOP)
KINDS: Mapping[str, StackKind] = {kind.key: kind for kind in (*PLATFORM, PROJECT)}


def expected_kinds(*, local: bool) -> list[StackKind]:
    """What an account may have: where local-aws stands for AWS, LAPTOP in place of the others."""
    return [kind for kind in PLATFORM if (kind == LAPTOP) == local]


@dataclass(frozen=True, kw_only=True)
class DeployedStack:
    """A stack as CloudFormation describes it."""

    name: str
    id: str
    status: str
    status_reason: str
    changed_at: datetime
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    tags: Mapping[str, str]
    termination_protection: bool
    # What parameters of the Parameter Store held when the stack last changed.
    resolved: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_project(self) -> bool:
        """It is of project.yml, whether a person, Studio or Service Catalog made it."""
        return {"SageMakerProjectName", "SageMakerProjectId", "Branch"} <= self.parameters.keys()

    @property
    def never_created(self) -> bool:
        """Nothing of it stands, and CloudFormation only lets it be deleted or begun anew."""
        return self.status in ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")


def find_stack(cloudformation: Any, name: str) -> DeployedStack | None:
    """The stack, None where there is none of that name (or ARN)."""
    try:
        answer = cloudformation.describe_stacks(StackName=name)
    except ClientError as err:
        if "does not exist" in error_message(err):
            return None
        raise
    return _deployed(answer["Stacks"][0])


def list_stacks(cloudformation: Any) -> Iterator[DeployedStack]:
    """Every stack that exists in the region."""
    for page in cloudformation.get_paginator("describe_stacks").paginate():
        yield from map(_deployed, page["Stacks"])


def deployed_template(cloudformation: Any, stack: DeployedStack) -> Template:
    """The template that the stack was last given."""
    return parse_template(cloudformation.get_template(StackName=stack.id)["TemplateBody"])


def resolved_values(parameters: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Of parameters as CloudFormation describes them: what it found in the Parameter Store."""
    return {
        each["ParameterKey"]: each["ResolvedValue"]
        for each in parameters
        if each.get("ResolvedValue") is not None
    }


def _deployed(answer: Mapping[str, Any]) -> DeployedStack:
    return DeployedStack(
        name=answer["StackName"],
        id=answer["StackId"],
        status=answer["StackStatus"],
        status_reason=answer.get("StackStatusReason") or "",
        changed_at=answer.get("LastUpdatedTime") or answer["CreationTime"],
        parameters={
            each["ParameterKey"]: each.get("ParameterValue", "")
            for each in answer.get("Parameters", [])
        },
        outputs={
            each["OutputKey"]: each.get("OutputValue", "") for each in answer.get("Outputs", [])
        },
        tags={each["Key"]: each["Value"] for each in answer.get("Tags", [])},
        termination_protection=bool(answer.get("EnableTerminationProtection")),
        resolved=resolved_values(answer.get("Parameters", [])),
    )
