"""infra/project/project.yml, deployed as `mlops project deploy` does, and its schedule."""

from __future__ import annotations

import json
import time

import pytest

from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.platform.deployment import DeployOptions
from mlops.project.deployment import ProjectOptions, deploy_project, parse_parameters, stack_of
from mlops.project.project_stack import find_projects, program_environment, require_project
from mlops.project.schedule import read_schedule, run_now, schedule_lines, set_schedule
from tests.mlops.conftest import HOW


@pytest.fixture(scope="module")
def project(platform):
    options = ProjectOptions(email="ml@example.com")
    project, changed = deploy_project(platform, "local", options, HOW, Display())
    assert changed
    return project


def test_a_deployed_project_names_its_repositories_pipelines_and_roles(project, platform):
    assert project.pipeline_name("build") == "sagemaker-local-p-local-modelbuild"
    url = platform.endpoint
    assert project.clone_url("deploy") == f"{url}/v1/repos/sagemaker-local-p-local-modeldeploy"
    assert project.branch == "main"
    assert not project.connected
    assert set(project.environment) == {
        "ARTIFACT_BUCKET",
        "MLFLOW_CREDENTIALS_SECRET",
        "MLFLOW_TRACKING_URI",
        "SAGEMAKER_PROJECT_ID",
        "SAGEMAKER_PROJECT_NAME",
        "SAGEMAKER_PIPELINE_ROLE_ARN",
        "SAGEMAKER_JOB_ROLE_ARN",
        "MODEL_EXECUTION_ROLE_ARN",
        "SUBNET_IDS",
        "SECURITY_GROUP_IDS",
        "ARTIFACT_BUCKET_KMS_ID",
    }
    assert project.environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"
    image = program_environment(platform, project)["CONTAINER_IMAGE_URI"]
    assert image == "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:latest"


def test_deploying_again_keeps_what_was_set_and_changes_nothing(project, platform):
    again, changed = deploy_project(platform, None, ProjectOptions(), HOW, Display())
    assert not changed
    assert again.parameters["NotificationEmail"] == "ml@example.com"


def test_a_dry_run_of_another_leaves_nothing(project, platform, capsys):
    how = DeployOptions(dry_run=True, delay_seconds=0.1)
    none, changed = deploy_project(platform, "second", ProjectOptions(seed=True), how, Display())
    assert (none, changed) == (None, False)
    assert "sagemaker-project-second: a new stack" in capsys.readouterr().out
    assert [each.name for each in find_projects(platform)] == ["local"]


def test_the_schedule_is_the_stack_s_parameter(project, platform):
    found = read_schedule(platform, project)
    assert schedule_lines(found) == [
        "no schedule. Set one: `mlops schedule 'cron(0 3 ? * MON *)' --timezone Europe/Paris`"
    ]

    assert set_schedule(platform, project, "cron(0 3 ? * MON *)", "Europe/Berlin", Display())

    project = stack_of(platform, project)
    heading, target = schedule_lines(read_schedule(platform, project))
    assert heading == "sagemaker-local-p-local  cron(0 3 ? * MON *)  Europe/Berlin  ENABLED"
    assert target.endswith(":pipeline/local-build")
    assert project.parameters["Schedule"] == "cron(0 3 ? * MON *)"
    assert project.parameters["NotificationEmail"] == "ml@example.com"
    with pytest.raises(InputError, match="no SageMaker pipeline local-build yet: `mlops push"):
        run_now(platform, project)

    _make_training_that_misses_the_gate(platform, project)
    execution = run_now(platform, project).rpartition("/")[2]
    assert _wait_for_failed_execution(platform, project).endswith(
        f"Failed      {execution}  Train: QualityGateNotMet: too far off"
    )

    assert set_schedule(platform, project, "", None, Display())
    project = stack_of(platform, project)
    assert "no schedule" in schedule_lines(read_schedule(platform, project))[0]


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


def _wait_for_failed_execution(account, project):
    deadline = time.monotonic() + 20
    while "Failed" not in (line := schedule_lines(read_schedule(account, project))[-1]):
        assert time.monotonic() < deadline, line
        time.sleep(0.05)
    return line


@pytest.mark.parametrize(
    ("expression", "timezone", "message"),
    [
        ("every day", None, "'every day' is no schedule. Right are 'cron"),
        ("rate(1 day)", "Mars/Base", "no timezone 'Mars/Base'. Take a name such as Europe/Paris"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_is_right(
    project, platform, expression, timezone, message
):
    with pytest.raises(InputError, match=message):
        set_schedule(platform, project, expression, timezone, Display())


def test_what_only_scheduler_refuses_is_rolled_back_with_its_words(project, platform):
    with pytest.raises(DeploymentFailed, match=r"UPDATE_ROLLBACK_COMPLETE(.|\n)*rate\(1 minutes\)"):
        set_schedule(platform, project, "rate(1 minutes)", None, Display())
    assert stack_of(platform, project).parameters["Schedule"] == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connection": ("a/b", "c/d", "e/f")}, "--connection names 3 repositories"),
        ({"connection": ("nonsense",)}, "'nonsense' is not of the form OWNER/NAME"),
        ({"timezone": "Mars/Base"}, "no timezone 'Mars/Base'"),
        ({"parameters": {"Brunch": "x"}}, r"project.Brunch: project.yml has no such parameter"),
        ({"schedule": "daily"}, r"project.Schedule: 'daily' does not match"),
    ],
)
def test_wrong_options_are_refused_before_anything_changes(project, platform, options, message):
    with pytest.raises(InputError, match=message):
        deploy_project(platform, "local", ProjectOptions(**options), HOW, Display())


def test_parameters_are_texts_with_an_equals_sign():
    assert parse_parameters(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}
    with pytest.raises(InputError, match="'=x' is not of the form NAME=VALUE"):
        parse_parameters(["A=1", "=x"])


def test_another_name_is_told_which_there_are(project, platform):
    told = r"no project other here \(but local\). `mlops project deploy NAME` puts one up"
    with pytest.raises(InputError, match=told):
        require_project(platform, "other")
    assert require_project(platform).name == "local"
