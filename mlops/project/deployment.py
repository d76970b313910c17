"""`mlops project deploy`: infra/project/project.yml as the project's stack, put up or brought up to date."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_aws.errors import UsageError
from mlops.project.clients import Clients
from mlops.project.project_stack import stack_name_of
from mlops.project.schedule import require_expression
from mlops.project.stack_change import (
    StackChange,
    StackOutcome,
    change_stack,
    ensure_bucket,
)
from mlops.project.stack_events import StackEvent
from mlops.project.unit_files import write_seeds

TEMPLATE_PATH = Path("infra") / "project.yml"


@dataclass(frozen=True, kw_only=True)
class DeploymentOptions:
    """What `mlops project deploy` was told; None and empty leave a parameter as it is."""

    schedule: str | None = None
    timezone: str | None = None
    email: str | None = None
    seed: bool = False
    connection: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


def deploy_project(
    clients: Clients,
    project_dir: Path,
    options: DeploymentOptions,
    on_begin: Callable[[int], None] = lambda _: None,
    on_event: Callable[[StackEvent], None] = lambda _: None,
) -> StackOutcome:
    """Create or update the project's stack, and wait.

    Raises UsageError outside a checkout, DeploymentFailed with the events' reasons.
    """
    template_path = project_dir / TEMPLATE_PATH
    if not template_path.is_file():
        raise UsageError(
            f"{project_dir} holds no {TEMPLATE_PATH}. Run this in the project's root folder."
        )
    if options.schedule:
        require_expression(options.schedule, options.timezone or "UTC")
    bucket = _sources_bucket(clients)
    environment = clients.environment
    name, identifier = environment["SAGEMAKER_PROJECT_NAME"], environment["SAGEMAKER_PROJECT_ID"]
    parameters = {
        "SageMakerProjectName": name,
        "SageMakerProjectId": identifier,
        **_given(Schedule=options.schedule, ScheduleTimezone=options.timezone),
        **_given(NotificationEmail=options.email),
        **(_connection(clients, options.connection) if options.connection else {}),
        **(_seeds(clients, bucket, project_dir) if options.seed else {}),
        **options.parameters,
    }
    change = StackChange(
        stack_name=stack_name_of(environment),
        template=template_path.read_text(),
        parameters=parameters,
        tags={"sagemaker:project-name": name, "sagemaker:project-id": identifier},
    )
    return change_stack(clients, change, bucket, on_begin, on_event)


def parse_parameters(texts: list[str]) -> dict[str, str]:
    """`NAME=VALUE` texts by name; raises UsageError naming the one that has another form."""
    wrong = [text for text in texts if not text.partition("=")[0] or "=" not in text]
    if wrong:
        raise UsageError(f"--parameter {wrong[0]!r} is not of the form NAME=VALUE.")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _sources_bucket(clients: Clients) -> str:
    """The bucket for templates and seeds, which are there before the project's own."""
    account = clients("sts").get_caller_identity()["Account"]
    bucket = f"project-sources-{account}-{clients.environment['AWS_REGION']}"
    ensure_bucket(clients, bucket)
    return bucket


def _seeds(clients: Clients, bucket: str, project_dir: Path) -> dict[str, str]:
    """Cut and upload the zips; a prefix named by their contents, so that equal ones change
    nothing."""
    s3 = clients("s3")
    with tempfile.TemporaryDirectory(prefix="local-aws-seeds-") as scratch:
        zips = write_seeds(Path(scratch), project_dir)
        for path in zips:
            s3.upload_file(str(path), bucket, path.name)
    return {"SeedBucket": bucket}


def _connection(clients: Clients, repositories: tuple[str, ...]) -> dict[str, str]:
    """The parameters for one repository for both units, or one for each."""
    if len(repositories) > 2:
        raise UsageError(
            f"--connection names {len(repositories)} repositories: {', '.join(repositories)}. "
            "Name one for both units, or first modelbuild's and then modeldeploy's."
        )
    wrong = [name for name in repositories if name.count("/") != 1]
    if wrong:
        raise UsageError(f"--connection {wrong[0]!r} is not of the form OWNER/NAME.")
    return {
        "ConnectionArn": _connection_arn(clients("codeconnections")),
        "ModelBuildRepository": repositories[0],
        "ModelDeployRepository": repositories[-1],
    }


def _connection_arn(codeconnections: Any) -> str:
    for connection in codeconnections.list_connections().get("Connections", ()):
        if connection["ConnectionName"] == "local":
            return str(connection["ConnectionArn"])
    made = codeconnections.create_connection(ProviderType="GitHub", ConnectionName="local")
    return str(made["ConnectionArn"])
