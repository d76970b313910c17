"""infra/project/project.yml, deployed as `mlops project deploy` does, and its schedule."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from local_aws.account import furnish, publish_parameters
from mlops.errors import InputError
from mlops.account import Account
from mlops.project.deployment import DeploymentOptions, deploy_project, parse_parameters
from mlops.project.project_stack import require_project_stack
from mlops.project.schedule import run_now, set_schedule, show_schedule

PROJECT_DIR = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def account(gateway):
    environment = {
        **gateway.own.credentials_environment(None),
        **furnish(gateway.own),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
    }
    publish_parameters(gateway.own, environment)
    return Account(environment)


@pytest.fixture(scope="module")
def project(account):
    events = []
    options = DeploymentOptions(email="ml@example.com")
    outcome = deploy_project(account, PROJECT_DIR, options, on_event=events.append)
    assert outcome.changed
    assert "ModelDeployPipeline" in {event.logical_id for event in events}
    return require_project_stack(account)


def test_a_deployed_project_names_its_repositories_pipelines_and_roles(project, account):
    assert project.pipeline_name("build") == "sagemaker-local-p-local-modelbuild"
    url = account.environment["AWS_ENDPOINT_URL"]
    assert project.clone_url("deploy", "") == f"{url}/v1/repos/sagemaker-local-p-local-modeldeploy"
    assert project.branch == "main"
    assert not project.connected
    assert set(project.environment) == {
        "ARTIFACT_BUCKET",
        "SAGEMAKER_PIPELINE_ROLE_ARN",
        "SAGEMAKER_JOB_ROLE_ARN",
        "MODEL_EXECUTION_ROLE_ARN",
    }


def test_deploying_again_keeps_what_was_set_and_changes_nothing(project, account):
    assert not deploy_project(account, PROJECT_DIR, DeploymentOptions()).changed
    assert require_project_stack(account).parameters["NotificationEmail"] == "ml@example.com"


def test_the_schedule_is_the_stack_s_parameter(project, account):
    assert show_schedule(account) == [
        "no schedule. Set one: mlops schedule 'cron(0 3 ? * MON *)' --timezone TZ"
    ]

    assert set_schedule(account, "cron(0 3 ? * MON *)", "Europe/Berlin")

    heading, target, *times = show_schedule(account)
    assert heading == "sagemaker-local-p-local  cron(0 3 ? * MON *)  Europe/Berlin  ENABLED"
    assert target.endswith(":pipeline/local-build")
    assert len(times) == 3
    assert all("Mon" in time and "03:00 CE" in time for time in times)
    assert require_project_stack(account).parameters["Schedule"] == "cron(0 3 ? * MON *)"
    with pytest.raises(InputError, match="no SageMaker pipeline local-build yet: `mlops push"):
        run_now(account)

    _make_training_that_misses_the_gate(account, project)
    execution = run_now(account).rpartition("/")[2]
    assert _wait_for_failed_execution(account).endswith(
        f"Failed      {execution}  Train: QualityGateNotMet: too far off"
    )

    assert set_schedule(account, "", None)
    assert "no schedule" in show_schedule(account)[0]


def _make_training_that_misses_the_gate(account, project):
    fail = {"ErrorMessage": "QualityGateNotMet: too far off"}
    definition = {
        "Version": "2020-12-01",
        "Steps": [{"Name": "Train", "Type": "Fail", "Arguments": fail}],
    }
    account.client("sagemaker").create_pipeline(
        PipelineName=project.outputs["SageMakerPipelineName"],
        PipelineDefinition=json.dumps(definition),
        RoleArn=project.outputs["PipelineRoleArn"],
    )


def _wait_for_failed_execution(account):
    deadline = time.monotonic() + 20
    while "Failed" not in (line := show_schedule(account)[-1]):
        assert time.monotonic() < deadline, line
        time.sleep(0.05)
    return line


@pytest.mark.parametrize(
    ("expression", "timezone", "message"),
    [
        ("rate(1 minutes)", None, "the unit after 1 is minute"),
        ("every day", None, "'every day' is no schedule: .* Right are 'cron"),
        ("rate(1 day)", "Mars/Base", "no timezone 'Mars/Base'. Take a name such as Europe/Paris"),
    ],
)
def test_what_scheduler_would_refuse_is_refused_with_what_is_right(
    project, account, expression, timezone, message
):
    with pytest.raises(InputError, match=message):
        set_schedule(account, expression, timezone)
    options = DeploymentOptions(schedule=expression, timezone=timezone)
    with pytest.raises(InputError, match=message):
        deploy_project(account, PROJECT_DIR, options)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a/b", "c/d", "e/f"), "--connection names 3 repositories"),
        (("nonsense",), "'nonsense' is not of the form OWNER/NAME"),
    ],
)
def test_a_connection_needs_one_or_two_repositories(account, names, message):
    with pytest.raises(InputError, match=message):
        deploy_project(account, PROJECT_DIR, DeploymentOptions(connection=names))


def test_outside_the_project_it_says_where_to_run_it(account, tmp_path):
    with pytest.raises(InputError, match=r"holds no infra/project/project.yml. Run this in the project's"):
        deploy_project(account, tmp_path, DeploymentOptions())


def test_parameters_are_texts_with_an_equals_sign():
    assert parse_parameters(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}
    with pytest.raises(InputError, match="'=x' is not of the form NAME=VALUE"):
        parse_parameters(["A=1", "=x"])


def test_before_a_deployment_every_command_says_so(gateway):
    environment = {**gateway.own.credentials_environment(None), "SAGEMAKER_PROJECT_NAME": "other"}

    with pytest.raises(
        InputError, match=r"sagemaker-project-other isn't deployed. Run `local-aws d"
    ):
        require_project_stack(Account(environment))
