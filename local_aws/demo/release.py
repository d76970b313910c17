"""One registered version on its way to production, as CodePipeline will take it.

    build ─▶ deploy staging ─▶ test ─▶ a person approves ─▶ deploy prod ─▶ test

Each part is the command or the template that AWS runs; a failure or a "no" stops it where it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_aws.demo.commands import Commands
from local_aws.demo.narration import Narrator
from local_aws.demo.registry_report import read_versions
from local_aws.demo.stack_deployment import deploy_stack, read_settings, restore_stack
from local_aws.errors import CommandFailed, LocalAwsError, NotApproved
from local_aws.remote import client_of

# test-endpoint: the endpoint passed, the registry could not be told.
_UNSETTLED = 4


@dataclass(frozen=True)
class ReleaseSeconds:
    """How long the parts took."""

    build: float
    staging: float
    prod: float


def release(
    commands: Commands,
    narrator: Narrator,
    approve: Callable[[str], bool],
    model_name: str,
    model_version: str,
) -> ReleaseSeconds:
    """Take the version (a number, an alias or `latest`) to prod.

    `approve` gets the question that a person answers in the CodePipeline console. Raises
    CommandFailed, DeploymentFailed or NotApproved; then prod and its stage are as they were.
    """
    asked = f"version {model_version} of {model_name}"
    with narrator.step(f"build: package {asked}, write the stage configs") as build:
        commands.run(
            build,
            "build-deployment",
            *("--model-name", model_name),
            *("--model-version", model_version),
            *("--initial-instance-count", "1"),
            *("--instance-type", "ml.m5.large"),
            *("--import-staging-config", "model_deploy/staging-config.json"),
            *("--import-prod-config", "model_deploy/prod-config.json"),
            *("--export-staging-config", _config_path(commands, "staging")),
            *("--export-prod-config", _config_path(commands, "prod")),
            *("--export-test-plan", str(commands.output_dir / "endpoint-test.json")),
        )
        tags = json.loads(Path(_config_path(commands, "staging")).read_text())["Tags"]
        built = tags["mlflow:model-version"]
        if model_version.isdecimal() and int(model_version) != int(built):
            raise LocalAwsError(f"{asked} was asked for, version {built} was built")
        what = f"version {built} of {model_name}"
        build.result = f"{what}, archive {tags['model-archive-sha256'][:12]}"
    staging = _deploy_and_test(commands, narrator, "staging", model_name)
    question = f"Deploy {what} to prod?"
    if not approve(question):
        raise NotApproved(f"{question} No. Prod and the stage Production are as they were.")
    narrator.say(f"    approved: {what} goes to prod")
    prod = _deploy_and_test(commands, narrator, "prod", model_name)
    return ReleaseSeconds(build=build.seconds, staging=staging, prod=prod)


def _deploy_and_test(commands: Commands, narrator: Narrator, stage: str, model_name: str) -> float:
    """Raises what the test raised, after the stack is again as it was before the deployment."""
    environment = commands.environment
    cloudformation = client_of(environment, "cloudformation")
    project = f"{environment['SAGEMAKER_PROJECT_NAME']}-{environment['SAGEMAKER_PROJECT_ID']}"
    stack_name = f"sagemaker-{project}-deploy-{stage}"
    before = read_settings(cloudformation, stack_name)

    def tell(line: str) -> None:
        deploy.progress(line)
        if "local_aws leaves out" in line:
            narrator.say(f"    {line}")

    with narrator.step(f"deploy {stage}: CloudFormation stack {stack_name}") as deploy:
        outputs = deploy_stack(
            cloudformation,
            stack_name,
            commands.project_dir / "model_deploy" / "endpoint-config-template.yml",
            commands.output_dir / f"{stage}-config-export.json",
            tell,
        )
        deploy.result = f"endpoint {outputs['EndpointName']} in service"
    with narrator.step(f"test {stage}: the endpoint answers as the model does") as test:
        try:
            commands.run(
                test,
                "test-endpoint",
                *("--import-build-config", _config_path(commands, stage)),
                *("--export-test-results", str(commands.output_dir / f"{stage}-test-results.json")),
            )
        except CommandFailed as err:
            if err.exit_code == _UNSETTLED:
                narrator.say(f"    not rolled back: {stage} passed, MLflow does not say so yet")
                raise
            if before is not None:
                restore_stack(cloudformation, stack_name, before, test.progress)
                narrator.say(f"    rolled back: {stage} serves what it served before")
            raise
        versions = read_versions(environment["MLFLOW_TRACKING_URI"], model_name)
        stages = ", ".join(f"version {row['version']} {row['stage']}" for row in versions)
        test.result = f"passed; {stages}"
    return deploy.seconds + test.seconds


def _config_path(commands: Commands, stage: str) -> str:
    return str(commands.output_dir / f"{stage}-config-export.json")
