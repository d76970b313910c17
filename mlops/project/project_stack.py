"""The projects of an account: their stacks, and what programs find a project by."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlops.account import Account, open_account, say_which
from mlops.errors import InputError
from mlops.platform.stacks import DeployedStack, list_stacks

UNITS = {"build": "modelbuild", "deploy": "modeldeploy"}  # what people type -> repository, pipeline
_SIDES = {"build": "ModelBuild", "deploy": "ModelDeploy"}  # as the template names them
_EXPORTED = {
    "ARTIFACT_BUCKET": "ArtifactBucketName",
    "SAGEMAKER_PIPELINE_ROLE_ARN": "PipelineRoleArn",
    "SAGEMAKER_JOB_ROLE_ARN": "JobRoleArn",
    "MODEL_EXECUTION_ROLE_ARN": "ModelRoleArn",
}
# Where the jobs run, and their key: what the stack last read from the Parameter Store.
_RESOLVED = {
    "SUBNET_IDS": "SubnetIds",
    "SECURITY_GROUP_IDS": "SecurityGroupId",
    "ARTIFACT_BUCKET_KMS_ID": "KeyArn",
}
_USABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


@dataclass(frozen=True, kw_only=True)
class ProjectStack:
    """A deployed project."""

    stack: DeployedStack

    @property
    def name(self) -> str:
        """The project's name."""
        return self.stack.parameters["SageMakerProjectName"]

    @property
    def id(self) -> str:
        """The project's id, a part of most names."""
        return self.stack.parameters["SageMakerProjectId"]

    @property
    def parameters(self) -> Mapping[str, str]:
        """The stack's parameters as they were given."""
        return self.stack.parameters

    @property
    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs."""
        return self.stack.outputs

    def pipeline_name(self, unit: str) -> str:
        """The CodePipeline pipeline of `build` or `deploy`."""
        return self.outputs[f"{_SIDES[unit]}PipelineName"]

    def clone_url(self, unit: str) -> str:
        """Where that unit's CodeCommit repository is; empty behind a Git connection."""
        return self.outputs.get(f"{_SIDES[unit]}CloneUrl", "")

    def repository(self, unit: str) -> str:
        """owner/name of that unit's repository behind a Git connection; empty in CodeCommit."""
        return self.parameters.get(f"{_SIDES[unit]}Repository", "")

    @property
    def branch(self) -> str:
        """The branch that starts the pipelines."""
        return self.parameters.get("Branch", "main")

    @property
    def connected(self) -> bool:
        """The repositories are behind a Git connection, not in CodeCommit."""
        return self.parameters.get("ConnectionArn", "") != ""

    @property
    def shared_repository(self) -> bool:
        """Both units live in one repository, behind a Git connection."""
        return self.repository("build") != "" and (
            self.repository("build") == self.repository("deploy")
        )

    @property
    def tracking_uri(self) -> str:
        """MLflow's address, as the stack last read it from the Parameter Store."""
        return self.stack.resolved.get("TrackingUri", "")

    @property
    def credentials_secret(self) -> str:
        """ARN of the secret with MLflow's login, or `none`."""
        return self.stack.resolved.get("CredentialsSecret", "none")

    @property
    def environment(self) -> dict[str, str]:
        """What its stack says of it, in the variables that CodeBuild has, too."""
        return {
            "SAGEMAKER_PROJECT_NAME": self.name,
            "SAGEMAKER_PROJECT_ID": self.id,
            **({"MLFLOW_TRACKING_URI": self.tracking_uri} if self.tracking_uri else {}),
            "MLFLOW_CREDENTIALS_SECRET": self.credentials_secret,
            **{
                variable: self.outputs[output]
                for variable, output in _EXPORTED.items()
                if output in self.outputs
            },
            **{
                variable: self.stack.resolved[parameter]
                for variable, parameter in _RESOLVED.items()
                if parameter in self.stack.resolved
            },
        }


def program_environment(account: Account, project: ProjectStack) -> dict[str, str]:
    """By what the project's programs find it: its variables, and the image that is used now."""
    ssm = account.client("ssm")
    image = project.parameters.get("InferenceImage", "")
    found = ssm.get_parameters(Names=[image])["Parameters"] if image else []
    return project.environment | ({"CONTAINER_IMAGE_URI": found[0]["Value"]} if found else {})


def find_projects(account: Account) -> list[ProjectStack]:
    """The projects that have a stack, whether a person, Studio or Service Catalog made it."""
    return [
        ProjectStack(stack=stack)
        for stack in list_stacks(account.client("cloudformation"))
        if stack.is_project
    ]


def require_project(account: Account, name: str | None = None) -> ProjectStack:
    """The project of that name, of SAGEMAKER_PROJECT_NAME, or the account's only one.

    Raises InputError if there is none, if several could be meant, or if its stack never came up.
    """
    wanted = name or os.environ.get("SAGEMAKER_PROJECT_NAME")
    projects = find_projects(account)
    found = [each for each in projects if wanted in (None, "", each.name)]
    if not found:
        others = ", ".join(each.name for each in projects)
        raise InputError(
            (f"there is no project {wanted} here" if wanted else "there is no project here yet")
            + (f" (but {others})" if others else "")
            + ". `mlops project deploy NAME` puts one up."
        )
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise InputError(f"which project? Name one by --project: {names}")
    (project,) = found
    status = project.stack.status
    if status not in _USABLE:
        raise InputError(
            f"stack {project.stack.name} is {status}. `mlops project deploy {project.name}` "
            "brings it up."
        )
    return project


def project_of(args: argparse.Namespace) -> tuple[Account, ProjectStack]:
    """The account and the project that a command's arguments name; says which AWS it is."""
    account = open_account(args.region, args.profile)
    say_which(account)
    return account, require_project(account, args.project)
