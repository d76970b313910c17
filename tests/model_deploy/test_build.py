from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import mlflow
import mlflow.artifacts
import pytest
from moto import mock_aws

from model_deploy.build import BuildRequest, build_parser, main
from model_deploy.command_line import set_up_process
from model_deploy.endpoint_test_plan import PLAN_TAG, EndpointTestPlan, Thresholds
from model_deploy.errors import ConfigError, MLflowError
from model_deploy.registry.connection import Connection

_ROOT = Path(__file__).parents[2]
_GOLDEN = Path(__file__).with_name("golden")
_ROLE = "arn:aws:iam::123456789012:role/model-execution"
_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.17.2"


class _Build:
    """Runs the CLI in this process, against moto's S3 and the registry on SQLite."""

    def __init__(self, registry: Any, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.name = registry.unique_name()
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket="artifacts")
        self.staging = folder / "staging-config-export.json"
        self.prod = folder / "prod-config-export.json"
        self.plan = folder / "endpoint-test.json"
        # Its own environment takes longer than the rest; recorded_answers' tests make some.
        self.deploy_config = folder / "reviewed.json"
        self.review(accept={"no_offline_comparison": "recorded elsewhere"})

    def review(self, **reviewed: Any) -> None:
        """What deploy.json says of the model beside its name."""
        document = {"model_name": self.name, "model_version": "latest", **reviewed}
        self.deploy_config.write_text(json.dumps(document))

    def run(self, *flags: str, **replaced: str) -> int:
        given = {
            "tracking-uri": self.registry.uri,
            "model-name": self.name,
            "deploy-config": str(self.deploy_config),
            "sagemaker-project-name": "shop",
            "sagemaker-project-id": "p-1",
            "model-execution-role": _ROLE,
            "container-image-uri": _IMAGE,
            "artifact-bucket": "artifacts",
            "export-staging-config": str(self.staging),
            "export-prod-config": str(self.prod),
            "export-test-plan": str(self.plan),
            **{name.replace("_", "-"): value for name, value in replaced.items()},
        }
        argv = [part for name, value in given.items() if value for part in (f"--{name}", value)]
        return main([*argv, *flags])

    def keys(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket="artifacts").get("Contents", [])
        return [found["Key"] for found in listed]


@pytest.fixture
def build(registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Build]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with mock_aws():
        yield _Build(registry, tmp_path)


def test_build_uploads_the_archive_and_writes_both_configurations(
    build: _Build, capsys: pytest.CaptureFixture[str]
) -> None:
    build.registry.register(build.name)
    version = build.registry.register(build.name)
    assert build.run() == 0
    result = json.loads(capsys.readouterr().out)
    (key,) = build.keys()
    assert key == f"model-archives/{build.name}/{result['model_archive_sha256']}/model.tar.gz"
    assert result["model_version"] == version == "2"
    for file, stage in ((build.staging, "staging"), (build.prod, "prod")):
        config = json.loads(file.read_text())
        assert config["Parameters"]["ModelDataLocation"] == f"s3://artifacts/{key}"
        assert config["Parameters"]["StageName"] == stage
        assert config["Tags"]["mlflow:model-version"] == "2"
    build.s3.download_file("artifacts", key, str(build.folder / "m.tar.gz"))
    with tarfile.open(build.folder / "m.tar.gz") as archive:
        assert "MLmodel" in archive.getnames()


def test_what_each_flag_is_when_nobody_gives_it() -> None:
    here = _ROOT / "model_deploy"
    given = vars(build_parser().parse_args([]))
    empty = [
        *("tracking_uri", "credentials_secret", "model_name", "model_version"),
        *("sagemaker_project_name", "sagemaker_project_id", "model_execution_role"),
        *("container_image_uri", "artifact_bucket", "s3_kms_key_id"),
    ]
    assert given == {
        **dict.fromkeys(empty, ""),
        "log_level": "INFO",
        "deploy_config": here / "deploy.json",
        "cases": here / "cases",
        "initial_instance_count": "1",
        "instance_type": "ml.m5.large",
        "archive_prefix": "model-archives",
        "import_staging_config": here / "staging-config.json",
        "import_prod_config": here / "prod-config.json",
        "export_staging_config": Path("staging-config-export.json"),
        "export_prod_config": Path("prod-config-export.json"),
        "export_test_plan": None,
        "export_variables": None,
    }


def test_the_endpoints_are_those_of_the_role_s_account_and_the_machine_s_region() -> None:
    flags = ["--model-name", "m", "--sagemaker-project-name", "shop", "--artifact-bucket", "a"]
    flags += ["--sagemaker-project-id", "p", "--container-image-uri", _IMAGE]
    flags += ["--model-execution-role", "arn:aws-cn:iam::210987654321:role/r"]
    flags += ["--tracking-uri", "http://mlflow"]
    for environment, region in (
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
    ):
        request = BuildRequest.from_args(build_parser().parse_args(flags), environment)
        place = f"arn:aws-cn:sagemaker:{region}:210987654321:endpoint"
        assert request.endpoint_arns == {
            "Staging": f"{place}/shop-staging",
            "Production": f"{place}/shop-prod",
        }


def test_an_interrupted_build_writes_no_configuration(
    build: _Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("model_deploy.mlflow_handler.MLflowHandler.resolve", interrupt)
    assert build.run() == 130
    assert "interrupted; no configuration was written" in caplog.text
    assert not build.staging.exists()


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    told: dict[str, Any] = {"model_name": "m", "model_version": "1", "archive_sha256": "a"}
    path.write_text(EndpointTestPlan(**told).to_json())
    assert EndpointTestPlan.from_json(path) == EndpointTestPlan(
        **told, inputs=[], cases=[], code_on_load=[]
    )
    document = {
        **told,
        "version": 1,
        "cases": [{"name": "c", "body": "{}"}],
        "stages": {"prod": {}},
    }
    path.write_text(json.dumps(document))
    plan = EndpointTestPlan.from_json(path)
    (case,) = plan.cases
    assert (case.content_type, case.status, case.answer) == ("application/json", 200, None)
    assert plan.stages == {"prod": Thresholds(max_p95_ms=1000.0, requests=90, concurrent=4)}
    assert "\n  " in plan.to_json()
    assert plan.to_json().index('"cases"') < plan.to_json().index('"version": 1')
    wrong: Any
    for wrong in (
        {**document, "version": 2},
        {**document, "other": 1},
        {**document, "stages": {"prod": 5}},
        {**document, "stages": 5},
        {**document, "cases": [{"name": "c", "text": "{}"}]},
        told,
        [],
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ConfigError, match=r"it is not what model_deploy\.build writes"):
            EndpointTestPlan.from_json(path)
    with pytest.raises(ConfigError, match="it can not be read: No such file"):
        EndpointTestPlan.from_json(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="the stage configuration was written with 000"):
        EndpointTestPlan.from_json(path, "0" * 64)
    for text in ("{", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"it is not what model_deploy\.build writes"):
            EndpointTestPlan.from_json(path)


def test_of_mlflow_s_log_one_line_is_dropped() -> None:
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    mlflow_log = logging.getLogger("mlflow.tracking.request_header.registry")
    mlflow_log.addHandler(handler)
    try:
        set_up_process("INFO")
        mlflow_log.warning("Encountered unexpected error: list index out of range")
        mlflow_log.warning("Encountered unexpected error: no region")
    finally:
        mlflow_log.removeHandler(handler)
    assert told == ["Encountered unexpected error: no region"]


@pytest.mark.parametrize("key_id", ["", "alias/models"])
def test_the_archive_has_the_key_that_was_asked_for(build: _Build, key_id: str) -> None:
    build.registry.register(build.name)
    assert build.run(s3_kms_key_id=key_id) == 0
    (key,) = build.keys()
    assert build.s3.head_object(Bucket="artifacts", Key=key).get("SSEKMSKeyId", "") == key_id


def test_configurations_match_the_golden_files(build: _Build) -> None:
    """`UPDATE_GOLDEN=1 pytest tests/model_deploy/test_build.py` writes them anew."""
    run_id = build.registry.run_with("", "notes.txt")
    build.registry.register(build.name, run_id=run_id)
    assert build.run() == 0
    for file in (build.staging, build.prod):
        text = file.read_text()
        sha256 = json.loads(text)["Tags"]["model-archive-sha256"]
        for real, shown in (
            (sha256, "<sha256>"),
            (run_id, "<run-id>"),
            (build.registry.uri, "<tracking-uri>"),
            (build.name, "housing"),
            (_tags(build)[PLAN_TAG], "<plan-sha256>"),
        ):
            text = text.replace(real, shown)
        golden = _GOLDEN / file.name
        if os.environ.get("UPDATE_GOLDEN"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(text)
        assert text == golden.read_text()


def test_building_twice_gives_the_same_files_and_one_archive(build: _Build) -> None:
    build.registry.register(build.name)
    assert build.run() == 0
    first = build.staging.read_text(), build.prod.read_text()
    assert build.run() == 0
    assert (build.staging.read_text(), build.prod.read_text()) == first
    assert len(build.keys()) == 1


def test_no_stage_moves(build: _Build) -> None:
    version = build.registry.register(build.name)
    assert build.run() == 0
    assert build.registry.stages(build.name) == {version: "None"}
    assert build.registry.aliases(build.name) == {}
    assert not [tag for tag in build.registry.tags(build.name, version) if "_at" in tag]


def test_the_registry_knows_each_archive_of_the_version(build: _Build) -> None:
    version = build.registry.register(build.name)
    assert build.run() == 0
    sha256 = _tags(build)["model-archive-sha256"]
    assert sha256 in json.dumps(build.registry.tags(build.name, version))


def test_plan_and_configurations_belong_together(build: _Build) -> None:
    build.registry.register(build.name)
    assert build.run() == 0
    for file in (build.staging, build.prod):
        tags = json.loads(file.read_text())["Tags"]
        plan = EndpointTestPlan.from_json(build.plan, tags[PLAN_TAG])
        assert plan.archive_sha256 == tags["model-archive-sha256"]
    assert (plan.model_name, plan.model_version) == (build.name, "1")
    assert plan.waived == {"no_offline_comparison": "recorded elsewhere"}
    assert [case.answer for case in plan.cases] == [None]
    assert plan.inputs
    assert plan.stages == {"staging": Thresholds(), "prod": Thresholds()}


def test_each_stage_is_judged_by_its_own_file(build: _Build) -> None:
    build.registry.register(build.name)
    mine = build.folder / "mine.json"
    mine.write_text(
        '{"Parameters": {"LatencyThresholdInMs": 250}, "Test": {"ConcurrentRequests": 2}}'
    )
    assert build.run(import_prod_config=str(mine)) == 0
    stages = EndpointTestPlan.from_json(build.plan).stages
    assert stages["prod"] == Thresholds(max_p95_ms=250.0, concurrent=2)
    assert stages["staging"] == Thresholds()
    assert "Test" not in json.loads(build.prod.read_text())


def test_raw_rows_of_training_are_the_plan_s(build: _Build) -> None:
    build.review()
    rows = {"version": 1, "columns": ["a"], "rows": [[1]], "csv": ["1"], "predictions": [2.5]}
    build.registry.register(build.name, run_id=build.registry.run_with(rows))
    assert build.run() == 0
    plan = EndpointTestPlan.from_json(build.plan)
    assert plan.raw_rows == rows
    assert plan.waived == {}


@pytest.mark.parametrize(("content", "told"), [("{no", "is not JSON"), ({}, "its version is None")])
def test_raw_rows_that_nobody_could_send_end_the_build(
    build: _Build, content: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    build.registry.register(build.name, run_id=build.registry.run_with(content))
    assert build.run() == 2
    assert told in caplog.text
    assert build.keys() == []


def test_another_object_at_the_archive_s_address_writes_nothing(
    build: _Build, caplog: pytest.LogCaptureFixture
) -> None:
    build.registry.register(build.name)
    assert build.run() == 0
    (key,) = build.keys()
    size = build.s3.head_object(Bucket="artifacts", Key=key)["ContentLength"]
    for file in (build.staging, build.prod, build.plan):
        file.unlink()
    # Without a checksum of its own and as large: only reading it tells.
    build.s3.put_object(Bucket="artifacts", Key=key, Body=b"x" * size)
    assert build.run() == 3
    assert "another object" in caplog.text or "holds something else" in caplog.text
    assert not any(file.exists() for file in (build.staging, build.prod, build.plan))


def test_a_name_that_another_project_serves_under_ends_before_any_upload(
    build: _Build, caplog: pytest.LogCaptureFixture
) -> None:
    version = build.registry.register(build.name)
    theirs = "arn:aws:sagemaker:us-east-1:999999999999:endpoint/other-prod"
    client = build.registry.client
    client.set_model_version_tag(build.name, version, "deploy.production_endpoint", theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(build.name, version, "Production")
    build.registry.register(build.name)
    assert build.run() == 2
    ours = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop-prod"
    assert theirs in caplog.text
    assert ours in caplog.text
    assert build.keys() == []
    assert build.registry.stages(build.name) == {version: "Production", "2": "None"}


def test_a_stages_file_wins_over_flags(build: _Build) -> None:
    build.registry.register(build.name)
    mine = build.folder / "mine.json"
    mine.write_text(
        '{"Parameters": {"EndpointInstanceType": "ml.c6i.xlarge"}, "Tags": {"team": "houses"}}'
    )
    assert build.run("--instance-type", "ml.t2.medium", import_prod_config=str(mine)) == 0
    staging, prod = (json.loads(file.read_text()) for file in (build.staging, build.prod))
    assert staging["Parameters"]["EndpointInstanceType"] == "ml.t2.medium"
    assert prod["Parameters"]["EndpointInstanceType"] == "ml.c6i.xlarge"
    assert prod["Tags"]["team"] == "houses"
    assert "team" not in staging["Tags"]


def test_alias_is_resolved_once_and_exported_as_a_number(build: _Build) -> None:
    build.registry.register(build.name)
    build.registry.register(build.name)
    build.registry.client.set_registered_model_alias(build.name, "challenger", "1")
    assert build.run("--model-version", "@challenger") == 0
    assert json.loads(build.prod.read_text())["Tags"]["mlflow:model-version"] == "1"


def test_the_version_is_the_one_that_the_file_names(build: _Build) -> None:
    build.registry.register(build.name)
    build.registry.register(build.name)
    file = build.folder / "deploy.json"
    build.review(accept={"no_offline_comparison": "recorded elsewhere"}, model_version="1")
    file.write_text(build.deploy_config.read_text())
    assert build.run(model_name="", deploy_config=str(file)) == 0
    assert json.loads(build.prod.read_text())["Tags"]["mlflow:model-version"] == "1"
    assert build.run("--model-version", "2", model_name="", deploy_config=str(file)) == 0
    assert json.loads(build.prod.read_text())["Tags"]["mlflow:model-version"] == "2"


def test_a_file_that_can_not_be_used_stops_before_any_download(
    build: _Build, caplog: pytest.LogCaptureFixture
) -> None:
    file = build.folder / "deploy.json"
    assert build.run(model_name="", deploy_config=str(file)) == 2
    (message,) = caplog.messages
    assert message.startswith(f"{file} can not be used:\n  - it can not be read: No such file")


def _tags(build: _Build) -> dict[str, str]:
    tags: dict[str, str] = json.loads(build.staging.read_text())["Tags"]
    return tags


def _variables(build: _Build, run_id: str) -> str:
    """What a build exports of version 2, which came from that run."""
    build.registry.register(build.name)
    build.registry.register(build.name, run_id=run_id)
    file = build.folder / "build-variables.sh"
    assert build.run("--export-variables", str(file)) == 0
    return file.read_text()


def test_variables_tell_the_resolved_version_and_what_its_gate_said(build: _Build) -> None:
    summary = "RMSE 53.1 (95 %: 48.9 to 57.6), R2 0.47; the mean alone 73.2; first version"
    report = {"version": 1, "verdict": "passed", "summary": summary}
    run_id = build.registry.run_with(report, "gate_report.json")
    build.registry.client.log_metric(run_id, "rmse", 53.14)
    assert _variables(build, run_id) == (
        f"export MODEL_NAME={build.name}\n"
        "export MODEL_VERSION=2\n"
        f"export MODEL_METRICS='{summary}'\n"
        f"export MODEL_URL='models:/{build.name}/2 in {build.registry.uri}'\n"
        f"export MODEL_ARCHIVE={_tags(build)['model-archive-sha256']}\n"
        "export CODE_ON_LOAD=none\n"
    )


def test_variables_of_a_run_without_a_gate_report_say_so(build: _Build) -> None:
    run_id = build.registry.run_with("", "notes.txt")
    build.registry.client.log_metric(run_id, "f1", 0.9123)
    assert "export MODEL_METRICS='no gate report; f1 0.912'\n" in _variables(build, run_id)


def test_a_malformed_gate_report_is_told_and_stops_nothing(build: _Build) -> None:
    run_id = build.registry.run_with("{no", "gate_report.json")
    told = "export MODEL_METRICS='gate report not readable (it is not JSON); no metrics'\n"
    assert told in _variables(build, run_id)


def test_a_folder_of_the_gate_report_s_name_is_no_report(build: _Build) -> None:
    run_id = build.registry.run_with("", "notes.txt")
    build.registry.client.log_text(run_id, "x", "gate_report.json/x")
    assert "'no gate report; no metrics'" in _variables(build, run_id)


def test_a_version_without_a_run_has_no_gate_report(build: _Build) -> None:
    build.registry.register(build.name)
    file = build.folder / "build-variables.sh"
    assert build.run("--export-variables", str(file)) == 0
    assert "export MODEL_METRICS='no gate report; no metrics'\n" in file.read_text()


def test_an_unwritable_variables_file_leaves_no_configuration(build: _Build) -> None:
    build.registry.register(build.name)
    (build.folder / "variables").mkdir()
    assert build.run("--export-variables", str(build.folder / "variables")) == 2
    assert not build.staging.exists()
    assert not build.prod.exists()


def test_environment_fills_what_flags_leave_out(
    build: _Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.registry.register(build.name)
    for variable, value in {
        "MLFLOW_TRACKING_URI": build.registry.uri,
        "MODEL_EXECUTION_ROLE_ARN": _ROLE,
        "ARTIFACT_BUCKET": "artifacts",
        "SAGEMAKER_PROJECT_NAME": "from-environment",
        "SAGEMAKER_PROJECT_ID": "p-2",
        "CONTAINER_IMAGE_URI": _IMAGE,
    }.items():
        monkeypatch.setenv(variable, value)
    code = build.run(
        tracking_uri="",
        sagemaker_project_id="",
        model_execution_role="",
        container_image_uri="",
        artifact_bucket="",
        sagemaker_project_name="from-flag",
    )
    assert code == 0
    config = json.loads(build.staging.read_text())
    assert config["Parameters"]["SageMakerProjectName"] == "from-flag"
    assert config["Tags"]["sagemaker:project-id"] == "p-2"


def test_everything_missing_is_told_at_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    assert main(["--export-prod-config", "x.json", "--export-staging-config", "x.json"]) == 2
    assert caplog.messages == [
        "the command line can not be used:\n"
        "  - --model-execution-role is missing: pass it, or set MODEL_EXECUTION_ROLE_ARN\n"
        "  - --sagemaker-project-id is missing: pass it, or set SAGEMAKER_PROJECT_ID\n"
        "  - --sagemaker-project-name is missing: pass it, or set SAGEMAKER_PROJECT_NAME\n"
        "  - --tracking-uri is missing: pass it, or set MLFLOW_TRACKING_URI\n"
        "  - --container-image-uri is missing: pass it, or set CONTAINER_IMAGE_URI\n"
        "  - --artifact-bucket is missing: pass it, or set ARTIFACT_BUCKET\n"
        "  - --export-staging-config, --export-prod-config, --export-test-plan and "
        "--export-variables name the same file twice"
    ]


@pytest.mark.parametrize("flag", ["--unknown", "--model-vers=3"])
def test_unknown_and_abbreviated_flags_are_errors(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([flag])
    assert caught.value.code == 2
    assert f"unrecognized arguments: {flag}" in capsys.readouterr().err


def test_settings_that_cloudformation_would_refuse_stop_before_any_download(
    build: _Build, caplog: pytest.LogCaptureFixture
) -> None:
    code = build.run("--initial-instance-count", "0", model_execution_role="me", model_name="none")
    assert code == 2
    (message,) = caplog.messages
    assert message.startswith("the stage configuration can not be used:\n")
    assert message.count("EndpointInstanceCount is '0'; the least is 1") == 2
    assert message.count("ModelExecutionRoleArn is 'me', which does not match") == 2
    assert build.keys() == []


def test_model_that_can_not_be_deployed_is_not_uploaded(
    build: _Build, caplog: pytest.LogCaptureFixture
) -> None:
    folder = build.registry.copy_of_model()
    (folder / "serving_input_example.json").unlink()
    build.registry.register(build.name, folder)
    assert build.run() == 2
    assert f"version 1 of '{build.name}' can not be deployed:" in caplog.text
    assert build.keys() == []
    assert not build.staging.exists()


def test_refused_upload_leaves_no_configuration(
    build: _Build, caplog: pytest.LogCaptureFixture
) -> None:
    build.registry.register(build.name)
    assert build.run(artifact_bucket="no-such-bucket") == 3
    assert "could not upload the archive to s3://no-such-bucket/" in caplog.text
    assert not build.staging.exists()
    assert not build.prod.exists()


def test_wrong_version_exits_2(build: _Build, caplog: pytest.LogCaptureFixture) -> None:
    build.registry.register(build.name)
    assert build.run("--model-version", "7") == 2
    assert "versions there: 1. Pass --model-version." in caplog.text


def test_unreachable_mlflow_exits_3(build: _Build, caplog: pytest.LogCaptureFixture) -> None:
    assert build.run(tracking_uri="http://127.0.0.1:9") == 3
    assert "MLflow at http://127.0.0.1:9 can not be reached: Connection refused." in caplog.text


def test_a_login_is_read_from_the_secret_and_shown_nowhere(
    build: _Build,
    stub_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")  # so that what is set is undone
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    secret = boto3.client("secretsmanager").create_secret(
        Name="mlflow-client", SecretString='{"username": "client", "password": "open-sesame"}'
    )
    stub_server.status, stub_server.body = 401, b"You are not authenticated."
    assert build.run(tracking_uri=stub_server.url, credentials_secret=secret["ARN"]) == 3
    sent = [headers.get("Authorization", "") for _, headers, _ in stub_server.received]
    assert sent[-1] == f"Basic {base64.b64encode(b'client:open-sesame').decode()}"
    assert "refuses the login of 'client'" in caplog.text
    assert "open-sesame" not in caplog.text + "".join(capsys.readouterr())


def test_a_secret_that_is_not_there_exits_3_and_a_wrong_name_2(
    build: _Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gone-a1b2c3"
    monkeypatch.setenv("MLFLOW_CREDENTIALS_SECRET", arn)
    assert build.run(tracking_uri="http://127.0.0.1:9") == 3
    assert f"{arn} can't be read: ResourceNotFoundException" in caplog.text
    assert build.run(tracking_uri="http://127.0.0.1:9", credentials_secret="mlflow/client") == 2
    assert "MLFLOW_CREDENTIALS_SECRET is 'mlflow/client'; it should look like" in caplog.text
    assert not build.staging.exists()


@pytest.mark.parametrize("module", ["model_deploy.build", "model_deploy.test.test"])
def test_help_imports_nothing_that_costs(module: str) -> None:
    code = (
        f"import sys; from {module} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "costly = {'mlflow', 'boto3', 'yaml', 'skops', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(costly) if costly else 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "--help" in ended.stdout


def test_a_model_that_is_not_scikit_learn_is_built(build: _Build) -> None:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    rows = pd.DataFrame({"a": [1.0, 2.0]})
    folder = build.folder / "doubler"
    code = build.folder / "doubler_loader.py"
    code.write_text(
        "class Doubler:\n"
        "    def predict(self, rows):\n"
        "        return rows['a'] * 2\n"
        "def _load_pyfunc(path):\n"
        "    return Doubler()\n"
    )
    mlflow.pyfunc.save_model(
        folder,
        loader_module="doubler_loader",
        code_paths=[str(code)],
        signature=infer_signature(rows, rows["a"]),
        input_example=rows,
        pip_requirements=["pandas"],
    )
    build.registry.register(build.name, folder)
    assert build.run() == 0
    assert json.loads(build.staging.read_text())["Tags"]["mlflow:run-id"] == "none"


def test_model_comes_from_a_server_without_global_settings(
    build: _Build, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTP, with artifacts that the server hands out; then the stage moves there too."""
    import mlflow
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from model_deploy.mlflow_handler import MLflowHandler

    assert mlflow.get_tracking_uri() != mlflow_server
    client = MlflowClient(tracking_uri=mlflow_server, registry_uri=mlflow_server)
    run = client.create_run(client.create_experiment(build.name))
    store = get_artifact_repository(run.info.artifact_uri, tracking_uri=mlflow_server)
    store.log_artifacts(str(build.registry.model_folder), "model")
    client.create_registered_model(build.name)
    source = f"{run.info.artifact_uri}/model"
    client.create_model_version(build.name, source, run_id=run.info.run_id)
    assert build.run(tracking_uri=mlflow_server) == 0
    assert json.loads(build.prod.read_text())["Tags"]["mlflow:tracking-uri"] == mlflow_server
    state = MLflowHandler(mlflow_server, build.name, "latest").move_stage("Production")
    assert (state.version, state.stage, state.aliases) == ("1", "Production", ("champion",))


class _Killed(BaseException):
    """As far as a process that is killed can be told in one that goes on."""


class _FaultAt:
    """Breaks the registry's nth call, before it is made or when it was answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.nth, self.fault, self.after = 0, 0, Exception(), False
        ask, download = Connection.ask, mlflow.artifacts.download_artifacts

        def broken(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls != self.nth:
                return call(*args, **options)
            if self.after:
                call(*args, **options)
            raise self.fault

        monkeypatch.setattr(Connection, "ask", lambda *a, **o: broken(ask, *a, **o))
        monkeypatch.setattr(
            mlflow.artifacts, "download_artifacts", lambda *a, **o: broken(download, *a, **o)
        )

    def arm(self, nth: int, fault: BaseException, *, after: bool) -> None:
        self.calls, self.nth, self.fault, self.after = 0, nth, fault, after


def test_a_call_that_goes_wrong_anywhere_leads_to_the_same_end(
    build: _Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the registry's calls fails once, before or after it did its work; or the build dies
    there. It is run again: the same files, the same object, the same tags."""

    def end() -> Any:
        files = [file.read_text() for file in (build.staging, build.prod, build.plan)]
        return files, build.keys(), build.registry.tags(build.name, "1")

    build.registry.register(build.name)
    assert build.run() == 0
    wanted = end()
    faults = _FaultAt(monkeypatch)
    assert build.run() == 0
    count = faults.calls
    assert count >= 5
    files = (build.staging, build.prod, build.plan)
    for nth in range(1, count + 1):
        for file in files:
            file.unlink(missing_ok=True)
        after = nth % 2 == 0
        faults.arm(nth, MLflowError("MLflow went away"), after=after)
        # A lock that can't be given back is told and stops nothing.
        if build.run() == 0:
            assert end() == wanted
        else:
            assert not any(file.exists() for file in files)
        faults.arm(nth, _Killed(), after=not after)
        for file in files:
            file.unlink(missing_ok=True)
        try:
            build.run()  # a run that finds a lock given back makes a call less
        except _Killed:
            assert not any(file.exists() for file in files)
        faults.arm(0, _Killed(), after=False)
        assert build.run() == 0
        assert end() == wanted
