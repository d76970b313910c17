"""infra/project/project.yml with SeedBucket: each repository begins with its unit's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.project.units import list_files
from mlops.project.deployment import DeploymentOptions, deploy_project
from mlops.project.project_stack import require_project_stack
from local_aws.codecommit.git import run_git

PROJECT_DIR = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def stack(account):
    deploy_project(account, PROJECT_DIR, DeploymentOptions(seed=True))
    yield require_project_stack(account)
    for pipeline in account.client("codepipeline").list_pipelines()["pipelines"]:
        name = pipeline["name"]
        executions = account.client("codepipeline").list_pipeline_executions(pipelineName=name)
        for execution in executions["pipelineExecutionSummaries"]:
            if execution["status"] == "InProgress":
                account.client("codepipeline").stop_pipeline_execution(
                    pipelineName=name,
                    pipelineExecutionId=execution["pipelineExecutionId"],
                    abandon=True,
                )


@pytest.mark.parametrize(("unit", "name"), [("build", "modelbuild"), ("deploy", "modeldeploy")])
def test_a_repository_begins_with_its_units_files(stack, account, tmp_path, unit, name):
    url = stack.clone_url(unit, account.environment["AWS_ENDPOINT_URL"])
    run_git("clone", "--quiet", url, str(tmp_path / "clone"))

    found = run_git("ls-files", directory=tmp_path / "clone").decode().split()
    assert sorted(found) == sorted(str(path) for path in list_files(name))
    assert run_git("rev-list", "--count", "HEAD", directory=tmp_path / "clone").strip() == b"1"


def test_both_pipelines_take_the_first_commit(stack, account):
    for unit in ("build", "deploy"):
        state = account.client("codepipeline").get_pipeline_state(name=stack.pipeline_name(unit))
        source = state["stageStates"][0]["actionStates"][0]["latestExecution"]
        assert source["status"] in ("InProgress", "Succeeded"), source
