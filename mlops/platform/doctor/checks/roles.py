"""The project's roles: there, trusted by the right service, allowed what their work needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from mlops.account import error_code
from mlops.platform.doctor.checks.images import parse_image
from mlops.platform.doctor.finding import Finding, failed, ok, skipped
from mlops.platform.doctor.patient import Patient, Project
from mlops.platform.doctor.refusal import explain

# Role of infra/project/project.yml -> who takes it on.
SERVICES: Mapping[str, str] = {
    "PipelineRole": "sagemaker.amazonaws.com",
    "JobRole": "sagemaker.amazonaws.com",
    "ModelRole": "sagemaker.amazonaws.com",
    "ModelBuildRole": "codebuild.amazonaws.com",
    "ModelDeployRole": "codebuild.amazonaws.com",
    "TestingRole": "codebuild.amazonaws.com",
    "ModelBuildPipelineRole": "codepipeline.amazonaws.com",
    "ModelDeployPipelineRole": "codepipeline.amazonaws.com",
    "CloudFormationRole": "cloudformation.amazonaws.com",
    "EventsRole": "events.amazonaws.com",
    "SchedulerRole": "scheduler.amazonaws.com",
}
_LOG_INTO_MLFLOW = ("ModelBuildRole", "JobRole", "ModelDeployRole", "TestingRole")


@dataclass(frozen=True, kw_only=True)
class EssentialAction:
    """What a role has to be able to do, the one act without which its work fails at once."""

    role: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the resources of a project are named after."""

    partition: str
    region: str
    account: str
    project: str
    bucket: str
    roles: Mapping[str, str]  # logical id -> ARN
    repository: str = ""
    secret: str = ""


def check(patient: Patient) -> Iterator[Finding]:
    """Each role of each project exists, trusts its service, and may do its essential action.

    What IAM's policy simulator says, which knows the role's own policies and boundaries, and no
    policy of a bucket or a key.
    """
    projects = patient.projects()
    if not projects:
        yield skipped(patient.no_projects())
    for project in projects:
        yield from _look(patient, project)


def find_essential_actions(place: Place) -> list[EssentialAction]:
    """The essential actions of the roles that the project has."""
    sagemaker = f"arn:{place.partition}:sagemaker:{place.region}:{place.account}"
    bucket = f"arn:{place.partition}:s3:::{place.bucket}"
    to_sagemaker = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    actions = [
        EssentialAction(
            role="ModelBuildRole",
            action="sagemaker:StartPipelineExecution",
            resource=f"{sagemaker}:pipeline/{place.project}-build",
        ),
        EssentialAction(
            role="PipelineRole",
            action="iam:PassRole",
            resource=place.roles.get("JobRole", ""),
            context=to_sagemaker,
        ),
        EssentialAction(
            role="JobRole", action="s3:PutObject", resource=f"{bucket}/{place.project}/doctor"
        ),
        EssentialAction(
            role="ModelDeployRole",
            action="s3:PutObject",
            resource=f"{bucket}/model-archives/doctor",
        ),
        EssentialAction(
            role="CloudFormationRole",
            action="iam:PassRole",
            resource=place.roles.get("ModelRole", ""),
            context=to_sagemaker,
        ),
        EssentialAction(
            role="ModelRole", action="s3:GetObject", resource=f"{bucket}/model-archives/doctor"
        ),
        EssentialAction(
            role="TestingRole",
            action="sagemaker:InvokeEndpoint",
            resource=f"{sagemaker}:endpoint/{place.project}-staging",
        ),
    ]
    if place.repository:
        ecr = f"arn:{place.partition}:ecr:{place.region}:{place.account}"
        actions.append(
            EssentialAction(
                role="ModelRole",
                action="ecr:BatchGetImage",
                resource=f"{ecr}:repository/{place.repository}",
            )
        )
    if place.secret:
        actions += [
            EssentialAction(
                role=role, action="secretsmanager:GetSecretValue", resource=place.secret
            )
            for role in _LOG_INTO_MLFLOW
        ]
    return [action for action in actions if action.role in place.roles and action.resource]


def judge_trust(role: str, document: Mapping[str, Any], redeploy: str) -> list[Finding]:
    """Whether the role's trust policy lets in its service."""
    service = SERVICES[role]
    statements = document.get("Statement", ())
    for statement in [statements] if isinstance(statements, Mapping) else statements:
        principal = statement.get("Principal", {})
        named = principal.get("Service", ()) if isinstance(principal, Mapping) else ()
        if service in ([named] if isinstance(named, str) else named):
            return []
    return [failed(f"{role} does not trust {service}, which cannot take it on", redeploy)]


def judge_simulation(
    action: EssentialAction, result: Mapping[str, Any], redeploy: str
) -> list[Finding]:
    """What IAM's simulator says of an action."""
    decision = result["EvalDecision"]
    if decision == "allowed":
        return []
    text = f"{action.role} may not {action.action} on {action.resource} ({decision})"
    if not result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True):
        return [
            failed(text, "ask who keeps the organization's service control policies to allow it")
        ]
    boundary = result.get("PermissionsBoundaryDecisionDetail", {})
    if not boundary.get("AllowedByPermissionsBoundary", True):
        return [failed(text, "let the policy of PermissionsBoundaryArn allow it")]
    return [failed(text, redeploy)]


def _look(patient: Patient, project: Project) -> Iterator[Finding]:
    stack = project.stack
    iam = patient.account.client("iam")
    redeploy = (
        "`aws cloudformation deploy --template-file infra/project/project.yml --capabilities "
        f"CAPABILITY_IAM --stack-name {stack.name}` (drift? `aws cloudformation "
        f"detect-stack-drift --stack-name {stack.name}`)"
    )
    arns: dict[str, str] = {}
    findings: list[Finding] = []
    for resource in patient.account.resources(stack.name):
        if resource.kind != "AWS::IAM::Role" or resource.logical_id not in SERVICES:
            continue
        try:
            role = iam.get_role(RoleName=resource.physical_id)["Role"]
        except ClientError as err:
            if error_code(err) != "NoSuchEntity":
                raise
            text = f"{resource.logical_id} of {stack.name} ({resource.physical_id}) is gone"
            findings.append(failed(text, redeploy))
            continue
        arns[resource.logical_id] = role["Arn"]
        findings += judge_trust(resource.logical_id, _document(role), redeploy)
    actions = find_essential_actions(_place(patient, project, arns))
    simulated = list(_simulate(patient, actions, arns, redeploy))
    yield from findings
    if not findings:
        yield ok(f"{project.name}: {len(arns)} roles are there, each trusted by its service")
    yield from simulated
    if not simulated:
        yield ok(f"{project.name}: IAM's simulator allows {len(actions)} essential actions")


def _simulate(
    patient: Patient, actions: Sequence[EssentialAction], arns: Mapping[str, str], redeploy: str
) -> Iterator[Finding]:
    iam = patient.account.client("iam")
    for number, action in enumerate(actions, start=1):
        patient.say(f"{number} of {len(actions)} essential actions")
        try:
            results = iam.simulate_principal_policy(
                PolicySourceArn=arns[action.role],
                ActionNames=[action.action],
                ResourceArns=[action.resource],
                ContextEntries=[
                    {
                        "ContextKeyName": key,
                        "ContextKeyValues": [value],
                        "ContextKeyType": "string",
                    }
                    for key, value in action.context.items()
                ],
            )["EvaluationResults"]
        except ClientError as err:
            yield explain(err)  # the same for every action
            return
        yield from judge_simulation(action, results[0], redeploy)


def _place(patient: Patient, project: Project, arns: Mapping[str, str]) -> Place:
    parameters = patient.account.parameters()
    image = parse_image(parameters.get("images/inference", ""))
    secret = parameters.get("credentials-secret", "none")
    identity = patient.account.identity()
    return Place(
        partition=identity["Arn"].split(":")[1],
        region=patient.account.region,
        account=identity["Account"],
        project=project.name,
        bucket=project.stack.outputs.get("ArtifactBucketName", ""),
        roles=arns,
        repository=image.repository if image else "",
        secret=secret if secret.startswith("arn:") else "",
    )


def _document(role: Mapping[str, Any]) -> Mapping[str, Any]:
    document = role["AssumeRolePolicyDocument"]
    read: Mapping[str, Any] = (
        json.loads(unquote(document)) if isinstance(document, str) else document
    )
    return read
