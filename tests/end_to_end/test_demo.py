"""`mlops demo`: from git push to prod, whether `demo.json` is true, and what can happen next.

The later tests build on each other in the order in which they stand: version 1 is in prod.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from tests.end_to_end.project import MODEL, PIPELINE, Project, until
from tests.end_to_end.role_policies import RolePolicies, calls_under_roles

pytestmark = pytest.mark.e2e

MODEL_BUILD = {"Source": ["ModelBuildWorkflowCode"], "Build": ["BuildAndExecuteSageMakerPipeline"]}
MODEL_DEPLOY = {
    "Source": ["ModelDeployInfraCode"],
    "Build": ["BuildDeploymentTemplates"],
    "DeployStaging": ["DeployResourcesStaging", "TestStaging", "ApproveDeployment"],
    "DeployProd": ["CheckArchive", "DeployResourcesProd", "TestProd"],
    "SettleRegistry": ["ReconcileProd"],
}

# A version whose predictions are not those that its training run kept; in a process of its own.
REGISTER_LIAR = """
import sys
import mlflow
import pandas as pd

class Zero(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [0.0] * len(model_input)

mlflow.set_tracking_uri(sys.argv[1])
example = pd.DataFrame({"x": [1.5, 2.0]})
raw_rows = {
    "version": 1,
    "columns": ["x"],
    "rows": [[1.0], [2.0]],
    "csv": ["1.0", "2.0"],
    "predictions": [1.0, 2.0],
}
with mlflow.start_run():
    mlflow.log_dict(raw_rows, "raw_rows.json")
    mlflow.pyfunc.log_model(
        name="model", python_model=Zero(), registered_model_name="liar", input_example=example,
        pip_requirements=["mlflow==3.17.2", "pandas==2.2.3"],
        signature=mlflow.models.infer_signature(example, [0.0, 0.0]),
    )
"""


@pytest.fixture(scope="module")
def report(demo):
    return json.loads((demo.state_dir / "demo.json").read_text())


def test_demo_ends_with_the_trained_version_in_production(report):
    (version,) = report["versions"]

    assert (version["version"], version["stage"]) == ("1", "Production")
    assert version["aliases"] == ["champion"]
    assert version["metric"]["name"] == "rmse"
    assert 40 < version["metric"]["value"] < 80
    assert "RMSE" in version["gate"]
    assert ":pipeline/local-build/execution/" in version["pipeline_execution_arn"]


def test_both_endpoints_serve_it_from_one_archive(report):
    endpoints = report["endpoints"]

    assert [(e["name"], e["status"], e["model_version"]) for e in endpoints] == [
        ("local-prod", "InService", "1"),
        ("local-staging", "InService", "1"),
    ]
    assert len({endpoint["model_data_url"] for endpoint in endpoints}) == 1


def test_prod_predicts_what_the_registered_model_predicts_offline(report):
    prediction = report["prediction"]

    assert len(prediction["inputs"]) == len(prediction["endpoint"]) > 0
    assert prediction["endpoint"] == pytest.approx(prediction["offline"], rel=1e-9)


def test_each_action_of_both_pipelines_succeeded_by_a_push(demo, report):
    pipelines = report["pipelines"]

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
    uri = demo.environment["MLFLOW_TRACKING_URI"]
    version = MlflowClient(uri, uri).get_model_version(MODEL, "1")
    assert version.tags["source.commit"] == pipelines[0]["commit"]


def test_demo_says_where_the_time_went_and_narrates_each_action(demo, report):
    seconds = report["seconds"]
    told = (demo.state_dir.parent / "demo.log").read_text()

    assert set(seconds) == {"up", "deploy", "train", "release", "total"}
    parts = sum(value for name, value in seconds.items() if name != "total")
    assert 0.8 * seconds["total"] < parts <= seconds["total"] + 1
    for stage, actions in (*MODEL_BUILD.items(), *MODEL_DEPLOY.items()):
        for action in actions:
            assert f"{stage}/{action} Succeeded (" in told
    for text in ("version 1 to production?", "Production", "champion", "MLflow: http"):
        assert text in told


def test_demo_leaves_nothing_in_the_temporary_folder(demo):
    assert not list((demo.state_dir.parent / "tmp").iterdir())


@pytest.fixture(scope="module")
def project(demo, tmp_path_factory):
    project = Project(demo, tmp_path_factory.mktemp("clone") / "modeldeploy")
    # The schedule retrains while the first test runs.
    project.type("schedule", "rate(1 minute)")
    return project


def test_a_failing_staging_test_stops_the_pipeline_before_the_approval(project):
    registered = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", REGISTER_LIAR),
            project.terminal.environment["MLFLOW_TRACKING_URI"],
        ],
        env=dict(project.terminal.environment),
        capture_output=True,
        text=True,
    )
    assert registered.returncode == 0, registered.stderr

    execution = project.push("Deploy the liar", model_name="liar", model_version="latest")
    actions = project.wait_for(execution, "Failed")

    assert actions["TestStaging"]["status"] == "Failed"
    assert "ApproveDeployment" not in actions
    assert project.version_served("local-prod") == "1"
    assert project.stages()["1"] == ("Production", ["champion"])
    shown = project.type("logs", "sagemaker-local-p-local-testing")
    assert "failed: answers raw rows as JSON as offline" in shown
    assert "failed: answers raw rows as CSV as offline" in shown


def test_the_schedule_retrains_by_itself_and_registers_a_version(project):
    for _ in until(120):
        if "2" in project.stages():
            break
    assert project.stages()["2"] == ("None", [])

    shown = project.type("schedule")
    assert "rate(1 minute)" in shown
    project.type("schedule", "--off")
    schedules = project.client("scheduler").list_schedules()["Schedules"]
    assert not [schedule for schedule in schedules if schedule["State"] == "ENABLED"]


def test_a_rejection_leaves_prod_alone_and_says_who_and_why(project):
    waiting = project.push("Deploy version 2", model_name=MODEL, model_version="2")
    project.wait_for_approval(waiting)
    older = project.push("Say something")
    for _ in until(60):
        if project.actions(older).get("BuildDeploymentTemplates", {}).get("status") == "Succeeded":
            break
    newer = project.push("Say something else")
    project.wait_for(older, "Superseded")
    assert project.status(waiting) == "InProgress", "what waits for approval is never superseded"

    told = project.type("reject", "--comment", "its error is too high", "--yes")
    assert f"{MODEL} version 2" in told
    approval = project.wait_for(waiting, "Failed")["ApproveDeployment"]

    assert approval["status"] == "Failed"
    assert approval["updatedBy"].startswith("arn:aws:iam::")
    assert "its error is too high" in json.dumps(approval["output"])
    assert project.version_served("local-prod") == "1"
    assert project.stages()["1"] == ("Production", ["champion"])
    assert project.stages()["2"] == ("Staging", ["challenger"])
    project.wait_for_approval(newer)  # it enters the stage that was locked


def test_an_approval_brings_version_2_to_prod_and_archives_version_1(project):
    told = project.type("approve", "--comment", "better", "--yes")
    assert "RMSE" in told, "the approval shows the metrics"
    assert "champion v1" in told
    (execution,) = [
        row["pipelineExecutionId"]
        for row in project.codepipeline.list_pipeline_executions(pipelineName=PIPELINE)[
            "pipelineExecutionSummaries"
        ]
        if row["status"] == "InProgress"
    ]

    project.wait_for(execution, "Succeeded")

    assert project.version_served("local-prod") == "2"
    assert project.stages()["1"] == ("Archived", [])
    assert project.stages()["2"] == ("Production", ["champion"])


def test_the_roles_policies_allow_every_call_that_was_made_under_them(project):
    """local_aws enforces none; its record of calls is held against the stack's real policies."""
    policies = RolePolicies(project.client("iam"), path="/sagemaker-projects/")
    calls = calls_under_roles(project.terminal.state_dir / "api-calls.jsonl")

    denied = {call for call in calls if call.role in policies and not policies.allow(call)}

    assert len({call.role for call in calls if call.role in policies}) >= 9
    assert not denied, "\n".join(map(str, sorted(denied)))
