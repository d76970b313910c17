from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model_deploy.test.test import main

_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.17.2"
_ARCHIVE = "s3://artifacts/model-archives/housing/abc/model.tar.gz"


class _EndpointTest:
    """Runs the CLI in this process for version 1 of a new model."""

    def __init__(self, registry: Any, sagemaker: Any, folder: Path) -> None:
        self.registry = registry
        self.sagemaker = sagemaker
        self.folder = folder
        self.name = registry.unique_name()
        self.results_file = folder / "results" / "results.json"
        sagemaker.model = {"PrimaryContainer": {"Image": _IMAGE, "ModelDataUrl": _ARCHIVE}}
        self.parameters = {
            "SageMakerProjectName": "shop",
            "StageName": "staging",
            "ModelDataLocation": _ARCHIVE,
            "ContainerImageURI": _IMAGE,
            "EndpointInstanceType": "ml.m5.large",
            "EndpointInstanceCount": "1",
        }
        self.tags = {
            "mlflow:model-name": self.name,
            "mlflow:model-version": "1",
            "mlflow:tracking-uri": registry.uri,
        }

    def register(self, raw_rows: Any = None, folder: Path | None = None) -> None:
        run_id = self.registry.run_with(raw_rows) if raw_rows is not None else None
        self.registry.register(self.name, folder, run_id)

    def run(self, *flags: str) -> int:
        config = self.folder / "config.json"
        config.write_text(json.dumps({"Parameters": self.parameters, "Tags": self.tags}))
        return main(
            [
                *("--import-build-config", str(config)),
                *("--export-test-results", str(self.results_file)),
                *("--latency-requests", "3", "--poll-seconds", "0.01"),
                *flags,
            ]
        )

    @property
    def results(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.results_file.read_text())
        return document

    def check(self, name: str) -> tuple[str, str]:
        (found,) = [check for check in self.results["checks"] if check["name"] == name]
        return found["status"], found["detail"]

    def assert_nothing_moved(self) -> None:
        assert self.registry.stages(self.name) == {"1": "None"}
        assert self.registry.aliases(self.name) == {}
        assert self.results["stage_moved"] is False
        assert self.results["registry"] is None
        assert self.results["passed"] is False


@pytest.fixture
def endpoint_test(
    registry: Any, sagemaker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> _EndpointTest:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("CODEBUILD_INITIATOR", "codepipeline/shop-deploy")
    return _EndpointTest(registry, sagemaker, tmp_path)


@pytest.fixture
def raw_rows(saved_model: Path) -> dict[str, Any]:
    """Raw rows with the saved model's own predictions, as model_build records them."""
    import mlflow.pyfunc
    import pandas as pd

    columns, rows = ["rooms", "town"], [[1.0, "Aix"], [4.0, "Caen"]]
    frame = pd.DataFrame(rows, columns=columns)
    predictions = mlflow.pyfunc.load_model(str(saved_model)).predict(frame)
    return {
        "version": 1,
        "columns": columns,
        "rows": rows,
        "csv": ["1.0,Aix", '"4.0","Caen"'],
        "predictions": predictions.tolist(),
    }


def test_staging_that_passes_claims_staging(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    assert endpoint_test.run("--pipeline-execution-id", "execution-1") == 0
    results = endpoint_test.results
    assert {check["name"]: check["status"] for check in results["checks"]} == {
        "endpoint in service": "passed",
        "serves the configuration asked for": "passed",
        "answers the input example": "passed",
        "answers raw rows as JSON as offline": "passed",
        "answers raw rows as CSV as offline": "passed",
        "refuses what is not JSON": "passed",
        "refuses wrong columns": "passed",
        "latency": "passed",
    }
    assert results["passed"] is True
    assert results["stage_moved"] is True
    assert results["endpoint_name"] == "shop-staging"
    registry = results["registry"]
    assert (registry["version"], registry["stage"]) == ("1", "Staging")
    assert registry["aliases"] == ["challenger"]
    latency = results["latency"]
    assert latency["requests"] == 3
    assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["max_ms"]
    tags = endpoint_test.registry.tags(endpoint_test.name, "1")
    assert tags["deploy.staging_endpoint"].endswith(":endpoint/shop-staging")
    assert tags["deploy.staging_pipeline_execution_id"] == "execution-1"
    assert tags["deploy.staging_by"] == "codepipeline/shop-deploy"


def test_variables_sum_up_a_test_that_passed_and_one_that_failed(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    file = endpoint_test.folder / "test-variables.sh"
    assert endpoint_test.run("--export-variables", str(file)) == 0
    assert re.fullmatch(
        r"export TEST_SUMMARY='8 checks passed, p95 \d+ ms'\nexport TESTED_ENDPOINT=shop-staging\n",
        file.read_text(),
    )
    endpoint_test.sagemaker.statuses = ["Failed"]
    assert endpoint_test.run("--export-variables", str(file)) == 1
    assert file.read_text() == (
        "export TEST_SUMMARY='1 of 1 checks failed: endpoint in service'\n"
        "export TESTED_ENDPOINT=shop-staging\n"
    )
    endpoint_test.tags["mlflow:tracking-uri"] = "http://127.0.0.1:9"
    assert endpoint_test.run("--export-variables", str(file)) == 3
    assert file.read_text().startswith(
        "export TEST_SUMMARY='stopped: MLflow at http://127.0.0.1:9 can not be reached:"
    )


def test_prod_that_passes_claims_production(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.parameters["StageName"] = "prod"
    assert endpoint_test.run() == 0
    assert endpoint_test.results["endpoint_name"] == "shop-prod"
    assert endpoint_test.registry.stages(endpoint_test.name) == {"1": "Production"}
    assert endpoint_test.registry.aliases(endpoint_test.name) == {"champion": "1"}


def test_labels_without_the_recorded_probabilities_move_nothing(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    raw_rows["classes"], raw_rows["predictions"] = ["a", "b"], ["a", "b"]
    raw_rows["probabilities"] = [[0.5, 0.5], [0.25, 0.75]]
    endpoint_test.register(raw_rows)
    assert endpoint_test.run() == 1
    for form in ("JSON", "CSV"):
        assert endpoint_test.check(f"answers raw rows as {form} as offline") == (
            "failed",
            "rows 1 to 2 in one request: no probabilities served, though the model gave them when "
            "it was trained",
        )
    endpoint_test.assert_nothing_moved()


def test_model_registered_by_hand_is_compared_by_its_input_example(
    endpoint_test: _EndpointTest,
) -> None:
    endpoint_test.register()
    assert endpoint_test.run() == 0
    assert endpoint_test.check("predicts the input example as offline") == (
        "passed",
        "2 predictions equal (relative tolerance 1e-06)",
    )


def test_model_that_can_not_be_loaded_here_is_said_not_to_be_compared(
    endpoint_test: _EndpointTest,
) -> None:
    folder = endpoint_test.registry.copy_of_model()
    description = folder / "MLmodel"
    text = description.read_text()
    description.write_text(
        text.replace("loader_module: mlflow.sklearn", "loader_module: no_such_library")
    )
    endpoint_test.register(folder=folder)
    assert endpoint_test.run() == 0
    assert endpoint_test.check("predicts the input example as offline") == (
        "skipped",
        "not compared: its run has no raw_rows.json, and the model can not be loaded here "
        "(ModuleNotFoundError: No module named 'no_such_library')",
    )


def test_endpoint_is_waited_for(endpoint_test: _EndpointTest, raw_rows: dict[str, Any]) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.statuses = ["Creating", "Creating", "InService"]
    assert endpoint_test.run() == 0


def test_endpoint_that_stays_in_transition_fails_after_the_timeout(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.statuses = ["Updating"]
    assert endpoint_test.run("--timeout-seconds", "0.1") == 1
    assert endpoint_test.check("endpoint in service") == (
        "failed",
        "shop-staging is still Updating after 0 s; see its log, or pass a longer --timeout-seconds",
    )
    endpoint_test.assert_nothing_moved()


def test_failed_endpoint_gives_its_reason(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.statuses = ["Creating", "Failed"]
    endpoint_test.sagemaker.failure_reason = "The container did not pass the ping health check."
    assert endpoint_test.run() == 1
    assert endpoint_test.check("endpoint in service") == (
        "failed",
        "shop-staging is Failed: The container did not pass the ping health check.",
    )
    endpoint_test.assert_nothing_moved()


def test_missing_endpoint_fails_the_check(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    message = 'Could not find endpoint "arn:aws:sagemaker:us-east-1:1:endpoint/shop-staging".'
    endpoint_test.sagemaker.refusal = (400, "ValidationException", message)
    assert endpoint_test.run() == 1
    assert endpoint_test.check("endpoint in service") == (
        "failed",
        "there is no endpoint 'shop-staging'; deploy its stack first",
    )
    endpoint_test.assert_nothing_moved()


def test_endpoint_that_rolled_back_to_another_model_is_noticed(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    older = _ARCHIVE.replace("abc", "older")
    endpoint_test.sagemaker.model = {"PrimaryContainer": {"Image": "i", "ModelDataUrl": older}}
    endpoint_test.sagemaker.variant["InstanceType"] = "ml.t2.medium"
    assert endpoint_test.run() == 1
    assert endpoint_test.check("serves the configuration asked for") == (
        "failed",
        "endpoint configuration config-7 is another one (did the update roll back?): "
        f"ModelDataLocation: serving {older}, asked for {_ARCHIVE}; "
        f"ContainerImageURI: serving i, asked for {_IMAGE}; "
        "EndpointInstanceType: serving ml.t2.medium, asked for ml.m5.large",
    )
    endpoint_test.assert_nothing_moved()


def test_predictions_other_than_offline_fail(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    raw_rows["predictions"][1] += 0.01
    endpoint_test.register(raw_rows)
    assert endpoint_test.run() == 1
    for form in ("JSON", "CSV"):
        status, detail = endpoint_test.check(f"answers raw rows as {form} as offline")
        assert status == "failed"
        assert re.fullmatch(r"row 2: [\d.]+ served, [\d.]+ expected; 1 of 2 rows differ", detail), (
            detail
        )
    endpoint_test.assert_nothing_moved()


def test_endpoint_that_answers_nonsense_to_malformed_requests_fails(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    container = endpoint_test.sagemaker.answer

    def sloppy(body: bytes) -> tuple[int, bytes]:
        if b"no_such_column" in body:
            return 500, b"Traceback"
        if body == b"{not json":
            return 200, b'{"predictions": [1.0]}'
        answer: tuple[int, bytes] = container(body)
        return answer

    endpoint_test.sagemaker.answer = sloppy
    assert endpoint_test.run() == 1
    assert endpoint_test.check("refuses what is not JSON") == (
        "failed",
        "it was answered with a prediction",
    )
    status, detail = endpoint_test.check("refuses wrong columns")
    assert status == "failed"
    assert detail.startswith("HTTP 500 instead of 4xx: ")
    endpoint_test.assert_nothing_moved()


def test_endpoint_that_is_too_slow_fails(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    assert endpoint_test.run("--max-p95-latency-ms", "0.001") == 1
    status, detail = endpoint_test.check("latency")
    assert status == "failed"
    assert detail.endswith("of 3 requests; p95 may be at most 0.001 ms")
    endpoint_test.assert_nothing_moved()


def test_container_that_fails_every_request_fails_each_check(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.answer = lambda _: (500, b"boom")
    assert endpoint_test.run() == 1
    failed = [
        check["name"] for check in endpoint_test.results["checks"] if check["status"] == "failed"
    ]
    assert failed == [
        "answers the input example",
        "answers raw rows as JSON as offline",
        "answers raw rows as CSV as offline",
        "refuses what is not JSON",
        "refuses wrong columns",
        "still answers after it",
        "latency",
    ]
    endpoint_test.assert_nothing_moved()


def test_aws_that_refuses_exits_3_with_results(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.refusal = (400, "AccessDeniedException", "not authorized")
    assert endpoint_test.run() == 3
    message = (
        "AWS refused to describe endpoint 'shop-staging': An error occurred (AccessDeniedException)"
        " when calling the DescribeEndpoint operation: not authorized. Check the credentials, the "
        "region and the role's sagemaker:Describe* and sagemaker:InvokeEndpoint permissions."
    )
    assert caplog.messages[-1] == message
    assert endpoint_test.results["error"] == message
    endpoint_test.assert_nothing_moved()


def test_unreachable_aws_exits_3(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint_test.register(raw_rows)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert endpoint_test.run() == 3
    assert "Could not connect to the endpoint URL" in endpoint_test.results["error"]
    endpoint_test.assert_nothing_moved()


def test_unreachable_mlflow_exits_3_with_results(endpoint_test: _EndpointTest) -> None:
    assert endpoint_test.run("--tracking-uri", "http://127.0.0.1:9") == 3
    assert "can not be reached: Connection refused" in endpoint_test.results["error"]
    assert endpoint_test.results["passed"] is False


def test_configuration_without_what_a_build_writes_exits_2(
    endpoint_test: _EndpointTest, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_test.parameters = {"StageName": "uat", "SageMakerProjectName": "shop"}
    endpoint_test.tags = {}
    assert endpoint_test.run() == 2
    asked = "is missing; is it the file that model_deploy.build wrote?"
    assert caplog.messages == [
        f"{endpoint_test.folder / 'config.json'} can not be used:\n"
        f"  - Parameters.ModelDataLocation {asked}\n"
        f"  - Parameters.ContainerImageURI {asked}\n"
        f"  - Tags.mlflow:model-name {asked}\n"
        f"  - Tags.mlflow:model-version {asked}\n"
        "  - Parameters.StageName is 'uat'; stages are staging, prod\n"
        "  - --tracking-uri is missing: pass it, or set MLFLOW_TRACKING_URI"
    ]


def test_results_that_can_not_be_written_stop_before_any_move(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.results_file.mkdir(parents=True)
    assert endpoint_test.run() == 2
    assert endpoint_test.registry.stages(endpoint_test.name) == {"1": "None"}


def test_repeating_a_passed_test_keeps_the_state(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    assert endpoint_test.run() == 0
    first = endpoint_test.registry.tags(endpoint_test.name, "1")
    assert endpoint_test.run() == 0
    assert endpoint_test.registry.tags(endpoint_test.name, "1") == first
    assert endpoint_test.registry.aliases(endpoint_test.name) == {"challenger": "1"}


def test_interrupted_wait_exits_130_with_results_and_moves_nothing(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.statuses = ["Creating"]
    config = endpoint_test.folder / "config.json"
    document = {"Parameters": endpoint_test.parameters, "Tags": endpoint_test.tags}
    config.write_text(json.dumps(document))
    arguments = (
        "--import-build-config",
        config,
        "--export-test-results",
        endpoint_test.results_file,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "model_deploy.test.test", *map(str, arguments)],
        cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        log = ""
        for line in process.stderr:
            log += line
            if "is Creating" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130, log
    assert "interrupted; no stage was moved" in log
    assert endpoint_test.results["error"] == "interrupted"
    endpoint_test.assert_nothing_moved()


def test_a_request_that_is_too_large_is_not_told_as_a_lack_of_permissions(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)

    def too_large(_: bytes) -> tuple[int, str, str]:
        return 413, "413", "HTTP content length exceeded 6291456 bytes."

    endpoint_test.sagemaker.runtime_refusal = too_large
    assert endpoint_test.run() == 1
    status, detail = endpoint_test.check("answers the input example")
    assert status == "failed"
    assert "HTTP content length exceeded 6291456 bytes." in detail
    assert "ermission" not in json.dumps(endpoint_test.results)
    endpoint_test.assert_nothing_moved()


def test_raw_rows_that_are_malformed_fail_both_checks(endpoint_test: _EndpointTest) -> None:
    endpoint_test.register('{"version": 1')
    assert endpoint_test.run() == 1
    for form in ("JSON", "CSV"):
        status, detail = endpoint_test.check(f"answers raw rows as {form} as offline")
        assert status == "failed"
        assert detail.startswith("raw_rows.json of the model's run is not JSON: ")
    endpoint_test.assert_nothing_moved()


def test_a_sample_of_an_older_release_is_no_raw_rows(
    endpoint_test: _EndpointTest,
) -> None:
    run_id = endpoint_test.registry.run_with({"predictions": [0.0]}, "held_out_sample.json")
    endpoint_test.registry.register(endpoint_test.name, None, run_id)
    assert endpoint_test.run() == 0
    assert endpoint_test.check("predicts the input example as offline")[0] == "passed"


def _with_example(endpoint_test: _EndpointTest, rows: list[Any]) -> Path:
    folder: Path = endpoint_test.registry.copy_of_model()
    document = {"dataframe_split": {"columns": ["rooms", "town"], "data": rows}}
    (folder / "serving_input_example.json").write_text(json.dumps(document))
    return folder


def test_an_input_example_above_the_limit_is_sent_as_far_as_it_fits(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    long = "x" * 1_500_000
    endpoint_test.parameters["ServerlessMemoryInMB"] = "2048"
    endpoint_test.sagemaker.variant = {"ServerlessConfig": {"MemorySizeInMB": 2048}}
    endpoint_test.register(raw_rows, _with_example(endpoint_test, [[1.0, long]] * 3))
    sizes = []
    container = endpoint_test.sagemaker.answer

    def note(body: bytes) -> Any:
        sizes.append(len(body))
        return container(body)

    endpoint_test.sagemaker.answer = note
    assert endpoint_test.run() == 0
    assert endpoint_test.check("answers the input example") == (
        "passed",
        "2 predictions answered; its first 2 of 3 rows, as all are 4,500,094 bytes, above the "
        "limit of a serverless endpoint, 4,194,304 bytes",
    )
    assert max(sizes) < 4 * 1024 * 1024


def test_an_input_example_that_can_not_be_sent_fails_and_the_raw_rows_are_still_sent(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    folder = _with_example(endpoint_test, [[1.0, "x" * 7_000_000]])
    endpoint_test.register(raw_rows, folder)
    assert endpoint_test.run() == 1
    assert endpoint_test.check("answers the input example") == (
        "failed",
        "it was not sent: it is 7,000,072 bytes, above the limit of an endpoint on instances, "
        "6,291,456 bytes",
    )
    assert endpoint_test.check("answers raw rows as CSV as offline")[0] == "passed"
    endpoint_test.assert_nothing_moved()


def test_a_model_without_an_input_example_is_checked_by_its_raw_rows(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    folder = endpoint_test.registry.copy_of_model()
    description = folder / "MLmodel"
    description.write_text(
        description.read_text().replace("saved_input_example_info", "no_example_info")
    )
    raw_rows["predictions"][0] += 1.0
    endpoint_test.register(raw_rows, folder)
    assert endpoint_test.run() == 1
    assert endpoint_test.check("answers the input example") == ("skipped", "the model has none")
    assert endpoint_test.check("answers raw rows as JSON as offline")[0] == "failed"


def test_an_error_that_nobody_foresaw_is_in_the_results_and_the_log(
    endpoint_test: _EndpointTest,
    raw_rows: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def break_down(*_: Any) -> Any:
        raise ZeroDivisionError("by none")

    endpoint_test.register(raw_rows)
    monkeypatch.setattr("model_deploy.test.endpoint_check.check_latency", break_down)
    assert endpoint_test.run() == 1
    assert endpoint_test.results["error"] == "ZeroDivisionError: by none"
    assert endpoint_test.check("answers the input example")[0] == "passed"
    endpoint_test.assert_nothing_moved()
    assert any(record.exc_info for record in caplog.records)
