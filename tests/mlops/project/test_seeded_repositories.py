"""infra/project/project.yml with SeedBucket: each repository begins with its unit's files."""

from __future__ import annotations

import pytest

from mlops.display import Display
from mlops.project.deployment import ProjectOptions, deploy_project
from mlops.project.git import Git, login_settings
from mlops.units import list_files
from tests.mlops.conftest import HOW


@pytest.fixture(scope="module")
def stack(platform):
    account = platform
    project, _ = deploy_project(account, "local", ProjectOptions(seed=True), HOW, Display())
    yield project
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
def test_a_repository_begins_with_its_units_files(stack, platform, tmp_path, unit, name):
    url = stack.clone_url(unit)
    Git(tmp_path, login_settings(platform, url)).run("clone", "--quiet", url, "clone")

    clone = Git(tmp_path / "clone")
    assert sorted(clone.run("ls-files").split()) == sorted(list_files(name))
    assert clone.run("rev-list", "--count", "HEAD") == "1"


def test_both_pipelines_take_the_first_commit(stack, platform):
    for unit in ("build", "deploy"):
        state = platform.client("codepipeline").get_pipeline_state(name=stack.pipeline_name(unit))
        source = state["stageStates"][0]["actionStates"][0]["latestExecution"]
        assert source["status"] in ("InProgress", "Succeeded"), source
