"""`local-aws demo`: from git push to prod, and whether `demo.json` is true."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR, clean_environment

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("demo")]

MODEL_BUILD = {"Source": ["ModelBuildWorkflowCode"], "Build": ["BuildAndExecuteSageMakerPipeline"]}
MODEL_DEPLOY = {
    "Source": ["ModelDeployInfraCode"],
    "Build": ["BuildDeploymentTemplates"],
    "DeployStaging": ["DeployResourcesStaging", "TestStaging", "ApproveDeployment"],
    "DeployProd": ["DeployResourcesProd", "TestProd"],
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    state_dir = tmp_path_factory.mktemp("demo") / "state"
    process = subprocess.run(
        [BIN_DIR / "local-aws", "demo", "--yes", "--exit", "--state-dir", state_dir],
        cwd=PROJECT_DIR,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert process.returncode == 0, process.stderr
    return process, state_dir


def _report(demo):
    return json.loads((demo[1] / "demo.json").read_text())


def test_demo_ends_with_the_trained_version_in_production(demo):
    (version,) = _report(demo)["versions"]

    assert (version["version"], version["stage"]) == ("1", "Production")
    assert version["aliases"] == ["champion"]
    assert 20 < version["median_absolute_error"] < 80
    assert ":pipeline/local-build/execution/" in version["pipeline_execution_arn"]


def test_both_endpoints_serve_it_from_one_archive(demo):
    endpoints = _report(demo)["endpoints"]

    assert [(e["name"], e["status"], e["model_version"]) for e in endpoints] == [
        ("local-prod", "InService", "1"),
        ("local-staging", "InService", "1"),
    ]
    assert len({endpoint["model_data_url"] for endpoint in endpoints}) == 1


def test_prod_predicts_what_the_registered_model_predicts_offline(demo):
    prediction = _report(demo)["prediction"]

    assert len(prediction["inputs"]) == len(prediction["endpoint"]) > 0
    assert prediction["endpoint"] == pytest.approx(prediction["offline"], rel=1e-9)


def test_each_action_of_both_pipelines_succeeded_by_a_push(demo):
    pipelines = _report(demo)["pipelines"]

    assert [pipeline["name"] for pipeline in pipelines] == [
        "sagemaker-local-p-local-modelbuild",
        "sagemaker-local-p-local-modeldeploy",
    ]
    for pipeline, expected in zip(pipelines, (MODEL_BUILD, MODEL_DEPLOY), strict=True):
        assert pipeline["status"] == "Succeeded"
        assert pipeline["trigger"].startswith("event")
        assert len(pipeline["commit"]) == 40
        stages: dict[str, list[str]] = {}
        for action in pipeline["actions"]:
            stages.setdefault(action["stage"], []).append(action["name"])
            assert action["status"] == "Succeeded"
            assert action["seconds"] > 0
        assert stages == expected


def test_demo_says_where_the_time_went_and_narrates_each_action(demo):
    process, _ = demo
    seconds = _report(demo)["seconds"]

    assert set(seconds) == {"up", "deploy", "train", "release", "total"}
    parts = sum(value for name, value in seconds.items() if name != "total")
    assert parts > 0.8 * seconds["total"]
    assert parts <= seconds["total"] + 1
    for stage, actions in (*MODEL_BUILD.items(), *MODEL_DEPLOY.items()):
        for action in actions:
            assert f"{stage}/{action} Succeeded (" in process.stderr
    for text in ("version 1 to production?", "Production", "champion", "MLflow: http"):
        assert text in process.stderr


def test_demo_leaves_no_process_and_no_announcement(demo):
    assert not (demo[1] / "running.json").exists()
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(demo[1]) not in listing
