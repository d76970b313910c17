"""`mlops demo`: from git push to prod, whether `demo.json` is true, and what can happen next.

The later tests build on each other in the order in which they stand: version 1 is in prod.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
from mlflow import MlflowClient

from mlops.cli import build_parser
from tests.end_to_end.project import MODEL, PIPELINE, Project, until
from tests.end_to_end.role_policies import RolePolicies, calls_under_roles
from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR
from tests.mlops.test_cli import commands_of

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
    return json.loads((demo.state_dir.parents[1] / "own" / "demo.json").read_text())


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
    told = (demo.state_dir.parents[1] / "demo.log").read_text()

    assert set(seconds) == {"up", "deploy", "train", "release", "total"}
    parts = sum(value for name, value in seconds.items() if name != "total")
    assert 0.8 * seconds["total"] < parts <= seconds["total"] + 1
    for stage, actions in (*MODEL_BUILD.items(), *MODEL_DEPLOY.items()):
        for action in actions:
            assert f"{stage}/{action} Succeeded (" in told
    for text in ("version 1 to production?", "Production", "champion", "MLflow: http"):
        assert text in told


def test_what_demo_says_to_type_next_works(demo):
    told = (demo.state_dir.parents[1] / "demo.log").read_text()
    commands = told.partition("Everything stays up")[2].splitlines()[1:]

    assert len(commands) == 3, commands
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=PROJECT_DIR,
            env=dict(demo.environment),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip(), command


def test_demo_leaves_nothing_in_the_temporary_folder(demo):
    assert not list((demo.state_dir.parents[1] / "tmp").iterdir())


SCHEMA = json.loads((PROJECT_DIR / "docs/mlops.schema.json").read_text())


def printed(terminal, *words, name=None, exit_code=0):
    """What `mlops WORDS --json` prints, which is as the document says."""
    answer = terminal.run("mlops", *words, "--json")
    assert answer.returncode == exit_code, answer.stderr
    assert answer.stderr.startswith(f"AWS: local {urlsplit(endpoint(terminal)).netloc}\n")
    found = json.loads(answer.stdout)
    name = name or "-".join(words)
    schema = {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}
    jsonschema.validate(found, schema)
    return found


def endpoint(terminal):
    return terminal.environment["AWS_ENDPOINT_URL"]


def test_the_document_has_a_schema_for_each_command():
    described = set(SCHEMA["$defs"]) - {
        "execution",
        "endpoint",
        "version",
        "answer",
        "logs-line",
        "approval",
    }
    commands = {
        "-".join(name.split()[1:]) for name, _ in commands_of(build_parser()) if name.split()[1:]
    }
    assert described == commands - {"invoke"}  # what the model says


def test_what_the_demo_writes_is_as_the_document_says(report):
    jsonschema.validate(report, {"$ref": "#/$defs/demo", "$defs": SCHEMA["$defs"]})


def test_status_says_what_serves_what_the_registry_says_and_what_comes_next(demo):
    found = printed(demo, "status")

    assert [(row["name"], row["model_version"]) for row in found["endpoints"]] == [
        ("local-prod", "1"),
        ("local-staging", "1"),
    ]
    assert [(row["version"], row["stage"]) for row in found["versions"]] == [("1", "Production")]
    assert found["next"] == "mlops invoke local-prod --file rows.csv"
    shown = demo.run("mlops", "status").stdout
    assert re.search(
        r"local-prod +InService +sklearn-random-forest +1 +Production +champion", shown
    )


def test_mlops_alone_has_the_next_step(demo):
    shown = demo.run("mlops")
    assert "platform deploy|doctor|status|teardown" in shown.stdout
    assert shown.stdout.endswith("next: mlops invoke local-prod --file rows.csv\n")


def test_the_platform_commands_work_there(demo):
    found = printed(demo, "platform", "status")
    assert found["stacks"][0]["name"] == "sagemaker-mlflow-laptop"
    assert found["parameters"]["/sagemaker-mlflow/tracking-uri"].startswith("http://127.0.0.1:")
    examined = printed(demo, "platform", "doctor")
    assert not examined["failed"]
    assert {row["name"] for row in examined["checks"]} >= {"mlflow", "roles", "parameters"}
    again = printed(demo, "platform", "deploy", "--yes", name="platform-deploy")
    assert [row["changed"] for row in again["stacks"]] == [False]
    words = ("platform", "teardown", "--dry-run")
    looked = printed(demo, *words, name="platform-teardown")
    assert looked["stacks"] == ["sagemaker-mlflow-laptop"]
    assert "endpoint local-prod (InService)" in looked["in_the_way"]
    refused = demo.run("mlops", "platform", "teardown", "--yes")
    assert refused.returncode == 1
    assert "the platform is in use" in refused.stderr


def test_the_project_s_commands_work_there(demo):
    again = printed(demo, "project", "deploy", "--yes", name="project-deploy")
    assert (again["changed"], again["project"]["name"]) == (False, "local")
    assert printed(demo, "project", "env")["ARTIFACT_BUCKET"] == demo.environment["ARTIFACT_BUCKET"]
    pushed = printed(demo, "push", "deploy", name="push")
    assert (pushed["new"], pushed["execution_id"]) == (False, None)
    build, deploy = printed(demo, "pipeline")
    assert (build["status"], deploy["status"]) == ("Succeeded", "Succeeded")
    assert printed(demo, "schedule")["schedule"] is None
    names = {row["name"] for row in printed(demo, "logs")}
    assert {"local-prod", "local-staging"} <= names
    lines = demo.run("mlops", "logs", "local-prod", "--json").stdout.splitlines()
    for line in lines:
        schema = {"$ref": "#/$defs/logs-line", "$defs": SCHEMA["$defs"]}
        jsonschema.validate(json.loads(line), schema)
    nothing = demo.run("mlops", "approve", "--yes")
    assert nothing.returncode == 2
    assert "nothing waits for approval" in nothing.stderr


def test_a_request_that_the_model_refuses_is_told_in_its_words(demo):
    answer = demo.run(
        "mlops", "invoke", "local-prod", "--data", '{"dataframe_records": [{"a": 1}]}'
    )
    assert answer.returncode == 1
    assert "error: local-prod answers 400: " in answer.stderr
    assert "bmi" in answer.stderr


def test_output_that_cannot_be_written_is_one_error(demo):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BIN_DIR / "mlops", "status"],
            cwd=PROJECT_DIR,
            env=dict(demo.environment),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.endswith("error: can not write the output: No space left on device\n")
    assert "Traceback" not in done.stderr


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

    status = printed(project.terminal, "status")
    assert status["next"] == "`mlops approve`, or `mlops reject --comment WHY`"
    assert f"{MODEL} version 2" in status["waiting"][0]["message"]
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
