"""`mlops project deploy`: infra/project/project.yml as the project's stack, put up or brought up
to date."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlops.account import Account
from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.platform.deployment import (
    DeployOptions,
    deploy_stack,
    missing_parameters,
    plan_stacks,
    sources_bucket,
)
from mlops.platform.settings import Settings
from mlops.platform.stacks import PROJECT, PROJECT_PREFIX, PROJECT_TAG, find_stack
from mlops.project.project_stack import ProjectStack, find_projects, require_project
from mlops.project.schedule import require_timezone
from mlops.seed_repositories import zip_files
from mlops.units import UNITS, list_files

_CONNECTION_NAME = "mlops"


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """What `mlops project deploy` was told; None and empty leave a parameter as it is."""

    schedule: str | None = None
    timezone: str | None = None
    email: str | None = None
    seed: bool = False
    connection: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


def deploy_project(
    account: Account,
    name: str | None,
    options: ProjectOptions,
    how: DeployOptions,
    display: Display,
) -> tuple[ProjectStack | None, bool]:
    """Create or update the project's stack, and wait; the project, and whether anything changed.

    After a dry run of a new one there is none. Raises InputError for what is wrong in the
    options, DeploymentFailed with the events' reasons.
    """
    project = _find(account, name)
    name = _name(project, name)
    identifier = project.id if project else os.environ.get("SAGEMAKER_PROJECT_ID", f"p-{name}"[:15])
    if options.timezone:
        require_timezone(options.timezone)
    bucket = how.template_bucket or sources_bucket(account)
    parameters = {
        "SageMakerProjectName": name,
        "SageMakerProjectId": identifier.rstrip("-"),
        **_given(Schedule=options.schedule, ScheduleTimezone=options.timezone),
        **_given(NotificationEmail=options.email),
        **_connection(account, options.connection),
        **(_seeds(account, bucket) if options.seed and not how.dry_run else {}),
        **options.parameters,
    }
    changed = bring_to(account, project, name, parameters, how, display)
    found = [each for each in find_projects(account) if each.name == name]
    return (found[0] if found else None), changed


def bring_to(
    account: Account,
    project: ProjectStack | None,
    name: str,
    parameters: Mapping[str, str],
    how: DeployOptions,
    display: Display,
) -> bool:
    """Bring the project's stack to these parameters, the others kept; whether anything changed."""
    stack_name = project.stack.name if project else PROJECT_PREFIX + name
    settings = Settings(
        source="the command line",
        stacks={PROJECT.key: parameters},
        complete=False,
        names={PROJECT.key: stack_name},
        tags={PROJECT_TAG: name, "sagemaker:project-id": parameters["SageMakerProjectId"]},
    )
    (plan,) = plan_stacks(account, settings, [PROJECT.key])
    missing = missing_parameters(account, plan)
    if missing and not how.dry_run:
        size = "laptop" if account.is_local else "single-user"
        raise DeploymentFailed(
            f"the project needs a platform, which is not there: no parameter {missing[0]}"
            + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ".",
            [],
            [f"`mlops platform deploy --size {size}` puts it up."],
        )
    return deploy_stack(account, plan, how, display)


def parse_parameters(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` texts by name; raises InputError naming the one that has another form."""
    wrong = [text for text in texts if not text.partition("=")[0] or "=" not in text]
    if wrong:
        raise InputError(f"--parameter {wrong[0]!r} is not of the form NAME=VALUE.")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _find(account: Account, name: str | None) -> ProjectStack | None:
    """The project as it stands, however badly; None if it is to be new."""
    wanted = name or os.environ.get("SAGEMAKER_PROJECT_NAME")
    projects = find_projects(account)
    if wanted:
        return next((each for each in projects if each.name == wanted), None)
    if len(projects) > 1:
        require_project(account)  # says which there are
    return projects[0] if projects else None


def _name(project: ProjectStack | None, name: str | None) -> str:
    found = project.name if project else name or os.environ.get("SAGEMAKER_PROJECT_NAME")
    if not found:
        raise InputError("a new project needs a name: `mlops project deploy NAME`, such as housing")
    return found


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _seeds(account: Account, bucket: str | None) -> dict[str, str]:
    """Cut and upload what the repositories begin with."""
    if bucket is None:
        raise InputError("--seed needs a bucket to put the first commits into: --template-bucket")
    for unit in UNITS:
        account.client("s3").put_object(
            Bucket=bucket, Key=f"{unit}.zip", Body=zip_files(list_files(unit))
        )
    return {"SeedBucket": bucket}


def _connection(account: Account, repositories: Sequence[str]) -> dict[str, str]:
    """The parameters for one repository for both units, or one for each; none for CodeCommit."""
    if not repositories:
        return {}
    if len(repositories) > 2:
        raise InputError(
            f"--connection names {len(repositories)} repositories: {', '.join(repositories)}. "
            "Name one for both units, or first modelbuild's and then modeldeploy's."
        )
    wrong = [name for name in repositories if name.count("/") != 1]
    if wrong:
        raise InputError(f"--connection {wrong[0]!r} is not of the form OWNER/NAME.")
    return {
        "ConnectionArn": _connection_arn(account),
        "ModelBuildRepository": repositories[0],
        "ModelDeployRepository": repositories[-1],
    }


def _connection_arn(account: Account) -> str:
    """The account's connection that a person has completed; made first if there is none at all."""
    codeconnections = account.client("codeconnections")
    connections = codeconnections.list_connections().get("Connections", [])
    if not connections:
        made = codeconnections.create_connection(
            ProviderType="GitHub", ConnectionName=_CONNECTION_NAME
        )
        found = codeconnections.get_connection(ConnectionArn=made["ConnectionArn"])
        connections = [found["Connection"]]
    ready = [each for each in connections if each["ConnectionStatus"] == "AVAILABLE"]
    if len(ready) == 1:
        return str(ready[0]["ConnectionArn"])
    if ready:
        arns = ", ".join(each["ConnectionArn"] for each in ready)
        raise InputError(f"which connection? Pass --parameter ConnectionArn=, one of {arns}")
    raise InputError(
        f"the connection {connections[0]['ConnectionName']} waits for you: complete it in the "
        "console (Developer Tools, Settings, Connections), then deploy again."
    )


def stack_of(account: Account, project: ProjectStack) -> ProjectStack:
    """The same project as it stands now."""
    stack = find_stack(account.client("cloudformation"), project.stack.id)
    assert stack is not None, "it was there a moment ago"
    return ProjectStack(stack=stack)
