"""What stands in an account: stacks, parameters, images, MLflow's service and database."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from mlops.account import Account, explained
from mlops.display import Display
from mlops.platform.projects import is_of_project
from mlops.platform.stacks import (
    MANAGED,
    MLFLOW,
    DeployedStack,
    expected_kinds,
    find_stack,
    list_stacks,
)

PARAMETER_PATH = "/sagemaker-mlflow"
# What the stacks and builds publish, in the order in which they do.
PARAMETER_NAMES = (
    f"{PARAMETER_PATH}/network/vpc-id",
    f"{PARAMETER_PATH}/network/private-subnet-ids",
    f"{PARAMETER_PATH}/network/public-subnet-ids",
    f"{PARAMETER_PATH}/images/server",
    f"{PARAMETER_PATH}/images/inference",
    f"{PARAMETER_PATH}/tracking-uri",
    f"{PARAMETER_PATH}/reader-policy-arn",
    f"{PARAMETER_PATH}/writer-policy-arn",
    f"{PARAMETER_PATH}/key-arn",
    f"{PARAMETER_PATH}/artifact-bucket",
    f"{PARAMETER_PATH}/client-security-group-id",
    f"{PARAMETER_PATH}/credentials-secret",
)
_IMAGE = re.compile(r"[^/]+/(?P<repository>[^@]+)@(?P<digest>sha256:[0-9a-f]{64})")
_ABSENT = "absent"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """A stack; `changed_at` is empty where there is none."""

    name: str
    status: str
    changed_at: str
    protected: bool


@dataclass(frozen=True, kw_only=True)
class ImageStatus:
    """The image that a parameter names; tags and time are empty if ECR doesn't have it."""

    parameter: str
    tags: tuple[str, ...]
    pushed_at: str
    age_days: int | None


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """A running part of MLflow."""

    part: str
    name: str
    status: str


@dataclass(frozen=True, kw_only=True)
class PlatformStatus:
    """All of it. `problems` are questions that AWS did not answer."""

    account: str
    region: str
    stacks: tuple[StackStatus, ...]
    parameters: dict[str, str | None]
    images: tuple[ImageStatus, ...]
    mlflow: tuple[PartStatus, ...]
    problems: tuple[str, ...]


def read_status(account: Account) -> PlatformStatus:
    """Ask AWS for everything; what it refuses becomes a problem, the rest is still told."""
    problems: list[str] = []

    def asked(question: Callable[[], T], otherwise: T) -> T:
        try:
            return question()
        except (ClientError, BotoCoreError) as err:
            problems.append(str(explained(err)))
            return otherwise

    no_parts: list[PartStatus] = []
    parameters = asked(lambda: _parameters(account), dict.fromkeys(PARAMETER_NAMES))
    return PlatformStatus(
        account=account.id,
        region=account.region,
        stacks=tuple(asked(lambda: list(_stacks(account)), [])),
        parameters=parameters,
        images=tuple(asked(lambda: list(_images(account, parameters)), [])),
        mlflow=(
            *asked(lambda: list(_server_parts(account)), no_parts),
            *asked(lambda: list(_managed_parts(account)), no_parts),
        ),
        problems=tuple(problems),
    )


def show_status(status: PlatformStatus, display: Display, *, as_json: bool) -> None:
    """Tables, or one JSON object, on stdout."""
    if as_json:
        sys.stdout.write(json.dumps(asdict(status), indent=2) + "\n")
        return
    display.table(
        "Stacks",
        ["stack", "status", "last change", "protected"],
        [
            [each.name, each.status, each.changed_at, "yes" if each.protected else ""]
            for each in status.stacks
        ],
    )
    display.table(
        "Parameters",
        ["parameter", "value"],
        [[name, value or _ABSENT] for name, value in status.parameters.items()],
    )
    display.table(
        "Images",
        ["parameter", "tag", "pushed", "age"],
        [
            [
                image.parameter,
                ", ".join(image.tags) or "not in ECR",
                image.pushed_at,
                "" if image.age_days is None else f"{image.age_days} days",
            ]
            for image in status.images
        ],
    )
    display.table(
        "MLflow", ["part", "name", "status"], [[p.part, p.name, p.status] for p in status.mlflow]
    )
    for problem in status.problems:
        display.warn(f"not known: {problem}")


def _stacks(account: Account) -> Iterator[StackStatus]:
    stacks = {stack.name: stack for stack in list_stacks(account.client("cloudformation"))}
    for kind in expected_kinds(local=account.is_local):
        yield _stack_status(kind.name, stacks.get(kind.name))
    for name, stack in sorted(stacks.items()):
        if is_of_project(stack):
            yield _stack_status(name, stack)


def _stack_status(name: str, stack: DeployedStack | None) -> StackStatus:
    return StackStatus(
        name=name,
        status=stack.status if stack else _ABSENT,
        changed_at=_time(stack.changed_at) if stack else "",
        protected=bool(stack and stack.termination_protection),
    )


def _parameters(account: Account) -> dict[str, str | None]:
    pages = account.client("ssm").get_paginator("get_parameters_by_path")
    found = {
        parameter["Name"]: str(parameter["Value"])
        for page in pages.paginate(Path=PARAMETER_PATH, Recursive=True)
        for parameter in page["Parameters"]
    }
    return {**{name: found.get(name) for name in PARAMETER_NAMES}, **found}


def _images(account: Account, parameters: dict[str, str | None]) -> Iterator[ImageStatus]:
    ecr = account.client("ecr")
    for name, value in parameters.items():
        named = _IMAGE.fullmatch(value or "")
        if named is None or "/images/" not in name:
            continue
        try:
            (image,) = ecr.describe_images(
                repositoryName=named["repository"], imageIds=[{"imageDigest": named["digest"]}]
            )["imageDetails"]
        except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
            yield ImageStatus(parameter=name, tags=(), pushed_at="", age_days=None)
            continue
        pushed: datetime = image["imagePushedAt"]
        yield ImageStatus(
            parameter=name,
            tags=tuple(image.get("imageTags", [])),
            pushed_at=_time(pushed),
            age_days=(datetime.now(UTC) - pushed).days,
        )


def _server_parts(account: Account) -> Iterator[PartStatus]:
    for kind, physical_id in _resources(account, MLFLOW.name):
        if kind == "AWS::ECS::Service":
            # arn:...:service/<cluster>/<service>
            cluster = physical_id.split("/")[-2]
            (service,) = account.client("ecs").describe_services(
                cluster=cluster, services=[physical_id]
            )["services"]
            yield PartStatus(
                part="service",
                name=service["serviceName"],
                status=f"{service['runningCount']} of {service['desiredCount']} tasks run, "
                f"{service['pendingCount']} start",
            )
        elif kind == "AWS::RDS::DBInstance":
            (instance,) = account.client("rds").describe_db_instances(
                DBInstanceIdentifier=physical_id
            )["DBInstances"]
            yield PartStatus(
                part="database",
                name=physical_id,
                status=f"{instance['DBInstanceStatus']}, {instance['Engine']} "
                f"{instance['EngineVersion']}, {instance['DBInstanceClass']}",
            )


def _managed_parts(account: Account) -> Iterator[PartStatus]:
    for kind, physical_id in _resources(account, MANAGED.name):
        if kind == "AWS::SageMaker::MlflowApp":
            app = account.client("sagemaker").describe_mlflow_app(Arn=physical_id)
            yield PartStatus(
                part="managed MLflow",
                name=app["Name"],
                status=f"{app['Status']}, MLflow {app.get('MlflowVersion', 'of unknown version')}",
            )


def _resources(account: Account, stack_name: str) -> Iterator[tuple[str, str]]:
    """Type and physical id of what the stack has; nothing if there is no such stack."""
    cloudformation = account.client("cloudformation")
    if find_stack(cloudformation, stack_name) is None:
        return
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name):
        for resource in page["StackResourceSummaries"]:
            if resource.get("PhysicalResourceId"):
                yield resource["ResourceType"], resource["PhysicalResourceId"]


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
