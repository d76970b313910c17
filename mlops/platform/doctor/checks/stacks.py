"""The stacks: how they ended, and whose they say they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlops.platform.doctor.finding import Finding, failed, ok, skipped, warning
from mlops.platform.doctor.patient import Patient, Project
from mlops.platform.stacks import PLATFORM, PROJECT_TAG, DeployedStack


def check(patient: Patient) -> Iterator[Finding]:
    """Each stack reached its end; a project's stacks carry its tag, `sagemaker:project-name`.

    By this tag SageMaker, the roles' conditions and the bill know whose a thing is.
    """
    projects = patient.projects()
    stacks = patient.account.stacks()
    if patient.choices.project and not projects:
        yield failed(
            f"no stack of project {patient.choices.project}",
            "deploy it: docs/aws.md, section 3; or name another with --project",
        )
        return
    shared = () if patient.choices.project else tuple(kind.name for kind in PLATFORM)
    looked_at = [stacks[name] for name in shared if name in stacks]
    looked_at += [project.stack for project in projects]
    if not looked_at:
        yield skipped("none of the stacks of infra/ is here")
        return
    found = [
        *(finding for stack in looked_at for finding in judge_status(stack)),
        *(finding for project in projects for finding in judge_tags(project)),
        *(
            finding
            for project in projects
            for stack in endpoint_stacks(project, stacks.values())
            for finding in (*judge_status(stack), *judge_endpoint_tags(stack, project))
        ),
    ]
    yield from found or [ok(f"{', '.join(stack.name for stack in looked_at)}: deployed, tagged")]


def judge_status(stack: DeployedStack) -> list[Finding]:
    """What the stack's status asks for."""
    events = (
        f"`aws cloudformation describe-stack-events --stack-name {stack.name} "
        "--query \"StackEvents[?contains(ResourceStatus, 'FAILED')].ResourceStatusReason\"`"
    )
    said = f"the stack {stack.name} is {stack.status}"
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        retry = f"`aws cloudformation continue-update-rollback --stack-name {stack.name}`"
        return [failed(said, f"remove the cause ({events}), then {retry}")]
    if stack.status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        # What protects database and load balancer is taken off by teardown only.
        keys = [kind.key for kind in PLATFORM if kind.name == stack.name]
        delete = (
            f"`mlops platform teardown --stack {keys[0]}`"
            if keys
            else f"`aws cloudformation delete-stack --stack-name {stack.name}`"
        )
        return [failed(said, f"{events}; {delete}; deploy it again")]
    if stack.status in ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED"):
        return [warning(f"{said}: its last update was undone", events)]
    if stack.status.endswith("_IN_PROGRESS"):
        return [warning(f"{said}: somebody changes it right now", "wait, then run doctor again")]
    return []


def judge_tags(project: Project) -> list[Finding]:
    """Whether a project's stack carries the project's own name and id."""
    stack = project.stack
    wanted = {PROJECT_TAG: project.name, "sagemaker:project-id": project.id}
    remedy = f"mlops project deploy {project.name}"
    return [
        failed(_tag_problem(stack, key, value), remedy)
        for key, value in wanted.items()
        if stack.tags.get(key) != value
    ]


def judge_endpoint_tags(stack: DeployedStack, project: Project) -> list[Finding]:
    """Whether an endpoint's stack, made by the project's pipeline, carries the project's name."""
    if stack.tags.get(PROJECT_TAG) == project.name:
        return []
    return [
        failed(
            f"{_tag_problem(stack, PROJECT_TAG, project.name)}; its test may not read it",
            "aws codepipeline start-pipeline-execution --name "
            + project.stack.outputs.get("ModelDeployPipelineName", "NAME"),
        )
    ]


def endpoint_stacks(project: Project, stacks: Iterable[DeployedStack]) -> list[DeployedStack]:
    """The stacks of a project's stages."""
    prefix = f"sagemaker-{project.name}-{project.id}-deploy-"
    return [stack for stack in stacks if stack.name.startswith(prefix)]


def _tag_problem(stack: DeployedStack, key: str, value: str) -> str:
    if key in stack.tags:
        return f"the stack {stack.name} has the tag {key}={stack.tags[key]}, not {value}"
    return f"the stack {stack.name} lacks the tag {key}={value}"
