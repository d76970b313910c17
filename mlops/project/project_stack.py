"""The project's stack: its names, its outputs, and what `local-aws env` exports of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from local_aws.errors import UsageError
from mlops.project.clients import Clients
from mlops.project.stack_events import COMPLETE, find_stack

UNITS = {"build": "modelbuild", "deploy": "modeldeploy"}  # what people type -> repository, pipeline
_SIDES = {"build": "ModelBuild", "deploy": "ModelDeploy"}  # as the template names them
_EXPORTED = {
    "ARTIFACT_BUCKET": "ArtifactBucketName",
    "SAGEMAKER_PIPELINE_ROLE_ARN": "PipelineRoleArn",
    "SAGEMAKER_JOB_ROLE_ARN": "JobRoleArn",
    "MODEL_EXECUTION_ROLE_ARN": "ModelRoleArn",
}


@dataclass(frozen=True, kw_only=True)
class ProjectStack:
    """The deployed project."""

    name: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    def pipeline_name(self, unit: str) -> str:
        """The CodePipeline pipeline of `build` or `deploy`."""
        return self.outputs[f"{_SIDES[unit]}PipelineName"]

    def clone_url(self, unit: str, gateway_url: str) -> str:
        """Where that unit's repository is cloned from and pushed to."""
        side = _SIDES[unit]
        url = self.outputs.get(f"{side}CloneUrl")
        if url:
            return url
        repository = self.parameters.get(f"{side}Repository", "")
        return f"{gateway_url}/git/{repository}.git"

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
        build = self.parameters.get("ModelBuildRepository", "")
        return build != "" and build == self.parameters.get("ModelDeployRepository", "")

    @property
    def environment(self) -> dict[str, str]:
        """What programs find the project's bucket and roles by."""
        return {
            variable: self.outputs[output]
            for variable, output in _EXPORTED.items()
            if output in self.outputs
        }


def stack_name_of(environment: Mapping[str, str]) -> str:
    """The stack's name, as the announced environment names the project."""
    return f"sagemaker-project-{environment['SAGEMAKER_PROJECT_NAME']}"


def require_project_stack(clients: Clients) -> ProjectStack:
    """The deployed project; raises UsageError if its stack isn't there or never came up."""
    name = stack_name_of(clients.environment)
    stack = find_stack(clients("cloudformation"), name)
    if stack is None or stack["StackStatus"] not in (*COMPLETE, "UPDATE_ROLLBACK_COMPLETE"):
        state = "isn't deployed" if stack is None else f"is {stack['StackStatus']}"
        raise UsageError(f"stack {name} {state}. Run `mlops project deploy` first.")
    return ProjectStack(
        name=name,
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", ())},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())},
    )
