from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model_deploy.endpoint_test_plan import Case, EndpointTestPlan, Thresholds
from model_deploy.errors import ClaimedElsewhere, MLflowError, ModelNotFound, Unsettled
from model_deploy.mlflow_handler import Evidence, MLflowHandler
from model_deploy.model_name import decode
from model_deploy.registry.connection import Connection
from model_deploy.registry.lease import Times
from model_deploy.test.test import Results, build_parser, main

_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.17.2"
_SHA256 = hashlib.sha256(b"the archive").hexdigest()
_ARCHIVE = f"s3://artifacts/model-archives/housing/{_SHA256}/model.tar.gz"
_INPUTS = [
    {"name": "rooms", "type": "double", "required": True},
    {"name": "town", "type": "string", "required": True},
]
_EXAMPLE = (
    '{"dataframe_split": {"columns": ["rooms", "town"], "data": [[1.0, "Aix"], [2.0, "Bor"]]}}'
)


class _EndpointTest:
    """Runs the CLI in this process for version 1 of a new model, with the plan as it stands."""

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
            "model-archive-sha256": _SHA256,
        }
        stage = Thresholds(max_p95_ms=30_000, requests=6, concurrent=2)
        self.plan = EndpointTestPlan(
            model_name=self.name,
            model_version="1",
            archive_sha256=_SHA256,
            inputs=_INPUTS,
            cases=[Case(name="the input example", body=_EXAMPLE)],
            stages={"staging": stage, "prod": stage},
        )

    def register(self, raw_rows: Any = None) -> None:
        """The version, and a plan with these raw rows."""
        self.registry.register(self.name)
        self.say(raw_rows=raw_rows)

    def say(self, **said: Any) -> None:
        """Let the plan say something else."""
        self.plan = dataclasses.replace(self.plan, **said)

    def write(self) -> Path:
        """Configuration and plan as a build leaves them; the configuration's path."""
        plan = self.plan.to_json()
        (self.folder / "endpoint-test.json").write_text(plan)
        digest = {"endpoint-test-sha256": hashlib.sha256(plan.encode()).hexdigest()}
        config = self.folder / "config.json"
        document = {"Parameters": self.parameters, "Tags": {**digest, **self.tags}}
        config.write_text(json.dumps(document))
        return config

    def run(self, *flags: str) -> int:
        config = self.write()
        return main(
            [
                *("--import-build-config", str(config)),
                *("--export-test-results", str(self.results_file)),
                *("--poll-seconds", "0.01"),
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

    @property
    def failed(self) -> list[str]:
        return [c["name"] for c in self.results["checks"] if c["status"] == "failed"]


@pytest.fixture
def endpoint_test(
    registry: Any, sagemaker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> _EndpointTest:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("CODEBUILD_INITIATOR", "codepipeline/shop-deploy")
    # Minutes of patience with an MLflow that is away are not for tests.
    times = Times(lease_seconds=30, call_seconds=5, outage_seconds=0.1)
    monkeypatch.setattr(Times, "of_environment", lambda: times)
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
        "its archive is the one that was built": "passed",
        "answers the input example": "passed",
        "answers raw rows as JSON as offline": "passed",
        "answers raw rows as CSV as offline": "passed",
        "refuses what is not JSON": "passed",
        "refuses wrong columns": "passed",
        "answers every request": "passed",
        "latency": "passed",
    }
    assert results["passed"] is True
    assert results["error"] == ""
    assert results["stage_moved"] is True
    assert results["endpoint_name"] == "shop-staging"
    registry = results["registry"]
    assert (registry["version"], registry["stage"]) == ("1", "Staging")
    assert registry["aliases"] == ["challenger"]
    latency = results["latency"]
    assert latency["requests"] == 3
    assert results["thresholds"] == {"max_p95_ms": 30_000, "requests": 6, "concurrent": 2}
    assert re.fullmatch(r"10 checks passed, p95 \d+ ms", results["summary"])
    assert results["image"] == _IMAGE
    assert results["archive_sha256"] == _SHA256
    assert (results["model_name"], results["model_version"]) == (endpoint_test.name, "1")
    assert (results["waived"], results["code_on_load"], results["recorded"]) == ({}, [], {})
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
        r"export TEST_SUMMARY='10 checks passed, p95 \d+ ms'\n"
        r"export TESTED_ENDPOINT=shop-staging\n",
        file.read_text(),
    )
    endpoint_test.sagemaker.statuses = ["Failed"]
    assert endpoint_test.run("--export-variables", str(file)) == 1
    assert file.read_text() == (
        "export TEST_SUMMARY='1 of 1 checks failed: endpoint in service'\n"
        "export TESTED_ENDPOINT=shop-staging\n"
    )
    endpoint_test.sagemaker.refusal = (400, "AccessDeniedException", "not authorized")
    assert endpoint_test.run("--export-variables", str(file)) == 3
    assert "TEST_SUMMARY='stopped: AWS refused to describe endpoint" in file.read_text().replace(
        "'\"'\"'", ""
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


@pytest.fixture
def recorded(container_url: str) -> str:
    """What the model answers to its example, as a build records it."""
    import requests

    headers = {"Content-Type": "application/json"}
    answer = requests.post(
        f"{container_url}/invocations", data=_EXAMPLE, headers=headers, timeout=30
    )
    assert answer.status_code == 200
    return answer.text


def _by_hand(endpoint_test: _EndpointTest, answer: str | None, **said: Any) -> None:
    case = Case(name="the input example", body=_EXAMPLE, answer=answer)
    endpoint_test.register()
    endpoint_test.say(cases=[case], **said)


def test_model_registered_by_hand_is_compared_with_what_was_recorded(
    endpoint_test: _EndpointTest, recorded: str
) -> None:
    where = {"python": "3.12.1", "packages": ["pandas==2.2.3"], "network": "none"}
    _by_hand(endpoint_test, recorded, recorded=where, code_on_load=["it is a pickle"])
    assert endpoint_test.run() == 0
    assert endpoint_test.check("answers as recorded") == (
        "passed",
        "1 case, 2 predictions equal (relative tolerance 1e-06)",
    )
    assert endpoint_test.results["recorded"] == where
    assert endpoint_test.results["code_on_load"] == ["it is a pickle"]


def test_a_model_that_answers_otherwise_where_it_is_served_moves_nothing(
    endpoint_test: _EndpointTest, recorded: str
) -> None:
    """`differ`: it adds 100 in a container. Offline it is right, and its environment is its own."""
    predictions = json.loads(recorded)["predictions"]
    _by_hand(endpoint_test, recorded)
    container = endpoint_test.sagemaker.answer

    def add(body: bytes) -> tuple[int, bytes]:
        status, content = container(body)
        if status != 200:
            return status, content
        served = [each + 100 for each in json.loads(content)["predictions"]]
        return 200, json.dumps({"predictions": served}).encode()

    endpoint_test.sagemaker.answer = add
    assert endpoint_test.run() == 1
    assert endpoint_test.failed == ["answers as recorded", "answers every request"]
    assert endpoint_test.check("answers as recorded") == (
        "failed",
        f"the input example: predictions[0]: {predictions[0] + 100} served, {predictions[0]} "
        "expected; 1 of 1 cases differ",
    )
    assert endpoint_test.results["summary"] == (
        "2 of 9 checks failed: answers as recorded, answers every request"
    )
    endpoint_test.assert_nothing_moved()


def test_a_model_that_is_right_only_the_first_time_moves_nothing(
    endpoint_test: _EndpointTest, recorded: str
) -> None:
    _by_hand(endpoint_test, recorded)
    container, asked = endpoint_test.sagemaker.answer, []

    def tire(body: bytes) -> tuple[int, bytes]:
        asked.append(body)
        answer: tuple[int, bytes] = container(body)
        return answer if len(asked) < 5 or answer[0] != 200 else (200, b'{"predictions": [0, 0]}')

    endpoint_test.sagemaker.answer = tire
    assert endpoint_test.run() == 1
    assert endpoint_test.check("answers as recorded")[0] == "passed"
    assert "answers every request" in endpoint_test.failed
    endpoint_test.assert_nothing_moved()


def test_a_model_that_answers_nan_moves_nothing(
    endpoint_test: _EndpointTest, recorded: str
) -> None:
    _by_hand(endpoint_test, recorded)
    endpoint_test.sagemaker.answer = lambda _: (200, b'{"predictions": [NaN, Infinity]}')
    assert endpoint_test.run() == 1
    assert endpoint_test.check("answers the input example") == (
        "failed",
        "the answer is no JSON: it holds NaN; it begins '{\"predictions\": [NaN, Infinity]}'",
    )
    endpoint_test.assert_nothing_moved()


def test_a_chat_is_answered_unwrapped_and_passes(endpoint_test: _EndpointTest) -> None:
    question = '{"messages": [{"role": "user", "content": "30"}]}'
    answer = {"object": "chat.completion", "created": 1, "choices": [{"index": 0, "text": "30"}]}
    endpoint_test.register()
    endpoint_test.say(
        cases=[Case(name="the input example", body=question, answer=json.dumps(answer))],
        inputs=[{"name": "messages", "type": "array", "required": True}],
    )

    def chat(body: bytes) -> tuple[int, bytes]:
        if body != question.encode():
            return 400, b'{"error_code": "BAD_REQUEST", "message": "Model is missing inputs"}'
        return 200, json.dumps({**answer, "created": 2}).encode()

    endpoint_test.sagemaker.answer = chat
    assert endpoint_test.run() == 0
    assert {check["status"] for check in endpoint_test.results["checks"]} == {"passed"}
    answer["choices"] = [{"index": 0, "text": "130"}]
    assert endpoint_test.run() == 1
    assert endpoint_test.check("answers as recorded") == (
        "failed",
        "the input example: choices[0].text: '130' served, '30' expected; 1 of 1 cases differ",
    )


def test_a_model_that_crashes_at_wrong_columns_moves_nothing(
    endpoint_test: _EndpointTest, recorded: str
) -> None:
    _by_hand(endpoint_test, recorded)
    container = endpoint_test.sagemaker.answer
    crash = (
        '{"error_code": "BAD_REQUEST", "message": "Encountered an unexpected error while '
        'evaluating the model.", "stack_trace": "KeyError"}'
    )

    def answer(body: bytes) -> tuple[int, bytes]:
        if b"no_such_column" in body:
            return 400, crash.encode()
        found: tuple[int, bytes] = container(body)
        return found

    endpoint_test.sagemaker.answer = answer
    assert endpoint_test.run() == 1
    assert endpoint_test.failed == ["refuses wrong columns"]
    endpoint_test.assert_nothing_moved()


def test_what_was_not_recorded_fails_and_a_waiver_is_told_in_words(
    endpoint_test: _EndpointTest,
) -> None:
    _by_hand(endpoint_test, None)
    assert endpoint_test.run() == 1
    assert endpoint_test.check("answers as recorded") == (
        "failed",
        "not compared: no answer was recorded for the input example",
    )
    endpoint_test.assert_nothing_moved()

    endpoint_test.say(waived={"no_offline_comparison": "it draws lots"})
    assert endpoint_test.run() == 0
    results = endpoint_test.results
    assert endpoint_test.check("answers as recorded") == (
        "waived",
        "no offline comparison: it draws lots",
    )
    assert re.fullmatch(
        r"8 checks passed, no offline comparison: it draws lots, p95 \d+ ms", results["summary"]
    )
    assert (results["passed"], results["stage_moved"]) == (True, True)
    assert results["waived"] == {"no_offline_comparison": "it draws lots"}
    assert "skipped" not in json.dumps(results)


def test_what_is_not_applicable_is_told_in_words(
    endpoint_test: _EndpointTest, recorded: str
) -> None:
    _by_hand(endpoint_test, recorded, inputs=[])
    assert endpoint_test.run() == 0
    assert endpoint_test.check("refuses wrong columns")[0] == "not applicable"
    assert endpoint_test.results["summary"].startswith(
        "8 checks passed, refuses wrong columns: not applicable, p95 "
    )


def test_the_test_loads_no_model_and_reads_nothing_from_mlflow(
    endpoint_test: _EndpointTest, recorded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _by_hand(endpoint_test, recorded)
    asked: list[str] = []
    ask = Connection.ask

    def note(self: Connection, method: str, *arguments: Any, **options: Any) -> Any:
        asked.append(method)
        return ask(self, method, *arguments, **options)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("an artifact was fetched")

    monkeypatch.setattr(Connection, "ask", note)
    monkeypatch.setattr(MLflowHandler, "fetch", refuse)
    monkeypatch.setattr(MLflowHandler, "fetch_file", refuse)
    monkeypatch.setattr(MLflowHandler, "fetch_run_file", refuse)
    monkeypatch.setattr("mlflow.pyfunc.load_model", refuse)
    assert endpoint_test.run() == 0
    assert asked
    assert not [method for method in asked if "artifact" in method or "download" in method]
    asked.clear()
    endpoint_test.sagemaker.answer = lambda _: (500, b"boom")
    assert endpoint_test.run() == 1
    assert asked == []


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
    older = _ARCHIVE.replace(_SHA256, "older")
    endpoint_test.sagemaker.model = {"PrimaryContainer": {"Image": "i", "ModelDataUrl": older}}
    endpoint_test.sagemaker.variant["InstanceType"] = "ml.t2.medium"
    assert endpoint_test.run() == 1
    assert endpoint_test.check("serves the configuration asked for") == (
        "failed",
        "endpoint configuration config-7 is another one (did the update roll back?): "
        f"ModelDataLocation: serving {older}, asked for {_ARCHIVE}; "
        f"ContainerImageURI: serving i, asked for {_IMAGE}; "
        "EndpointInstanceType: serving ml.t2.medium, asked for ml.m5.large; "
        f"the archive is not the one of SHA-256 {_SHA256}",
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


def test_endpoint_that_is_too_slow_fails_by_the_stage_s_threshold_or_the_flag(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    assert endpoint_test.run("--max-p95-latency-ms", "0.001") == 1
    status, detail = endpoint_test.check("latency")
    assert status == "failed"
    assert detail.endswith(
        "of 1 requests, one after the other; p95 may be at most 0.001 ms; 1 took longer, so the "
        "other 2 were not made"
    )
    assert endpoint_test.results["thresholds"]["max_p95_ms"] == 0.001
    endpoint_test.assert_nothing_moved()

    slow = Thresholds(max_p95_ms=0.001, requests=6)
    endpoint_test.say(stages={"staging": slow, "prod": Thresholds()})
    assert endpoint_test.run() == 1
    assert endpoint_test.failed == ["answers every request", "latency"]
    # The flag wins, in both directions.
    assert endpoint_test.run("--max-p95-latency-ms", "30000") == 0


def test_a_serverless_endpoint_is_asked_as_many_at_a_time_as_it_takes(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.parameters |= {"ServerlessMemoryInMB": "2048", "ServerlessMaxConcurrency": "1"}
    endpoint_test.sagemaker.variant = {"ServerlessConfig": {"MemorySizeInMB": 2048}}
    endpoint_test.register(raw_rows)
    assert endpoint_test.run() == 0
    assert endpoint_test.results["thresholds"]["concurrent"] == 1
    assert "3 of them 1 at a time" in endpoint_test.check("answers every request")[1]


def test_container_that_fails_every_request_fails_each_check(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.answer = lambda _: (500, b"boom")
    assert endpoint_test.run() == 1
    assert endpoint_test.failed == [
        "answers the input example",
        "answers raw rows as JSON as offline",
        "answers raw rows as CSV as offline",
        "refuses what is not JSON",
        "refuses wrong columns",
        "still answers after it",
        "answers every request",
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
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws.invalid:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert endpoint_test.run() == 3
    assert "Could not connect to the endpoint URL" in endpoint_test.results["error"]
    endpoint_test.assert_nothing_moved()


def test_mlflow_that_is_down_leaves_a_passed_endpoint_unsettled(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_test.register(raw_rows)
    file = endpoint_test.folder / "variables.sh"
    flags = ("--tracking-uri", "http://127.0.0.1:9", "--export-variables", str(file))
    assert endpoint_test.run(*flags) == 4
    results = endpoint_test.results
    assert (results["passed"], results["stage_moved"], results["registry"]) == (True, False, None)
    assert results["error"].startswith(
        f"move of {endpoint_test.name!r} to Staging: the registry could not be settled: MLflow at "
        "http://127.0.0.1:9 can not be reached: Connection refused"
    )
    assert "--apply settles it" in results["error"]
    summary = results["summary"]
    assert re.fullmatch(r"10 checks passed, p95 \d+ ms, the stage was not moved", summary)
    assert f"TEST_SUMMARY='{summary}'" in file.read_text()
    assert endpoint_test.registry.stages(endpoint_test.name) == {"1": "None"}


def test_mlflow_that_is_down_does_not_keep_a_bad_endpoint_from_being_judged(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.answer = lambda _: (500, b"boom")
    assert endpoint_test.run("--tracking-uri", "http://127.0.0.1:9") == 1
    assert endpoint_test.results["error"] == ""
    endpoint_test.assert_nothing_moved()


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (Unsettled("the lease was lost"), 4, "the lease was lost"),
        (MLflowError("no"), 4, "--apply`. MLflowError: no"),
        (ZeroDivisionError("by none"), 4, "--apply`. ZeroDivisionError: by none"),
        (ClaimedElsewhere("shop-2 serves it"), 4, "ClaimedElsewhere: shop-2 serves it"),
        (ModelNotFound("it was deleted"), 4, "ModelNotFound: it was deleted"),
    ],
)
def test_what_goes_wrong_while_the_stage_moves_says_nothing_of_the_endpoint(
    endpoint_test: _EndpointTest,
    raw_rows: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    code: int,
    told: str,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise raised

    endpoint_test.register(raw_rows)
    monkeypatch.setattr(MLflowHandler, "move_stage", fail)
    assert endpoint_test.run() == code
    results = endpoint_test.results
    assert (results["passed"], results["stage_moved"]) == (True, False)
    assert results["error"].endswith(told)


def test_a_login_that_fails_leaves_a_passed_endpoint_unsettled(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mlflow-AbCdEf"
    flags = ("--tracking-uri", "http://127.0.0.1:9", "--credentials-secret", secret)
    assert endpoint_test.run(*flags) == 4
    assert "AwsError: " in endpoint_test.results["error"]


def test_the_move_is_told_why(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    move = MLflowHandler.move_stage

    def note(self: MLflowHandler, stage: str, evidence: Evidence, **options: Any) -> Any:
        told.extend([stage, evidence])
        return move(self, stage, evidence, **options)

    endpoint_test.register(raw_rows)
    monkeypatch.setattr(MLflowHandler, "move_stage", note)
    assert endpoint_test.run("--pipeline-execution-id", "execution-1") == 0
    assert told == [
        "Staging",
        Evidence(
            endpoint_arn="arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop-staging",
            pipeline_execution_id="execution-1",
            deployed_by="codepipeline/shop-deploy",
            archive_sha256=_SHA256,
            image=_IMAGE,
            test_summary=endpoint_test.results["summary"],
        ),
    ]


def test_production_is_told_who_approved_and_of_which_commit(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEBUILD_RESOLVED_SOURCE_VERSION", "1a2b3c")
    who = "arn:aws:iam::123456789012:user/ana"
    endpoint_test.sagemaker.actions = [
        {
            "status": "Succeeded",
            "updatedBy": who,
            "lastUpdateTime": 1_780_000_000,
            "input": {"actionTypeId": {"category": "Approval"}},
            "output": {"executionResult": {"externalExecutionSummary": "as discussed"}},
        }
    ]
    endpoint_test.register(raw_rows)
    endpoint_test.parameters["StageName"] = "prod"
    assert endpoint_test.run("--pipeline-execution-id", "execution-1") == 0
    tags = endpoint_test.registry.tags(endpoint_test.name, "1")
    said = {key: tags.get(f"deploy.production_{key}") for key in ("approved_by", "commit")}
    assert said == {"approved_by": who, "commit": "1a2b3c"}
    assert tags["deploy.production_approval_comment"] == "as discussed"
    assert tags["deploy.production_archive_sha256"] == _SHA256


@pytest.mark.parametrize(("archive", "told"), [(None, "no object"), (b"other", "another object")])
def test_an_archive_that_is_not_the_built_one_moves_nothing(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], archive: bytes | None, told: str
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.archive = archive
    assert endpoint_test.run() == 1
    assert endpoint_test.failed == ["its archive is the one that was built"]
    assert told in endpoint_test.check("its archive is the one that was built")[1]
    endpoint_test.assert_nothing_moved()


@pytest.mark.parametrize(("flags", "code"), [((), 4), (("--unsettled-exit-code", "0"), 0)])
def test_a_caller_may_take_an_unsettled_registry_for_success(
    endpoint_test: _EndpointTest,
    raw_rows: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    code: int,
) -> None:
    def out_of_reach(*_: Any, **__: Any) -> None:
        raise Unsettled("MLflow is not there")

    endpoint_test.register(raw_rows)
    monkeypatch.setattr(MLflowHandler, "move_stage", out_of_reach)
    assert endpoint_test.run(*flags) == code
    assert endpoint_test.results["passed"] is True
    assert endpoint_test.results["stage_moved"] is False


def test_a_rollback_that_leaves_the_registry_unsettled_is_no_success(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(*_: Any, **__: Any) -> None:
        raise Unsettled("MLflow is not there")

    endpoint_test.register(raw_rows)
    endpoint_test.parameters["StageName"] = "prod"
    endpoint_test.sagemaker.rollback_target = "execution-1"
    monkeypatch.setattr(MLflowHandler, "move_stage", out_of_reach)
    flags = ("--pipeline-execution-id", "execution-2", "--unsettled-exit-code", "0")
    assert endpoint_test.run(*flags) == 4
    assert endpoint_test.results["rolled_back_to"] == "execution-1"
    endpoint_test.sagemaker.rollback_target = ""
    assert endpoint_test.run(*flags) == 0


def test_whoever_dies_while_the_stage_moves_leaves_true_results(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise _Killed

    endpoint_test.register(raw_rows)
    monkeypatch.setattr(MLflowHandler, "move_stage", die)
    with pytest.raises(_Killed):
        endpoint_test.run()
    results = endpoint_test.results
    assert (results["passed"], results["stage_moved"]) == (True, False)
    assert results["error"] == "the move of the stage was begun, and its end is not known"
    assert results["evidence"]["archive_sha256"] == _SHA256


def test_configuration_without_what_a_build_writes_exits_2(
    endpoint_test: _EndpointTest, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_test.parameters = {"StageName": "uat", "SageMakerProjectName": "shop"}
    endpoint_test.tags = {"endpoint-test-sha256": ""}
    assert endpoint_test.run() == 2
    asked = "is missing; is it the file that model_deploy.build wrote?"
    assert caplog.messages == [
        f"{endpoint_test.folder / 'config.json'} can not be used:\n"
        f"  - Parameters.ModelDataLocation {asked}\n"
        f"  - Parameters.ContainerImageURI {asked}\n"
        f"  - Tags.mlflow:model-name {asked}\n"
        f"  - Tags.mlflow:model-version {asked}\n"
        f"  - Tags.model-archive-sha256 {asked}\n"
        f"  - Tags.endpoint-test-sha256 {asked}\n"
        "  - Parameters.StageName is 'uat'; stages are staging, prod\n"
        "  - --tracking-uri is missing: pass it, or set MLFLOW_TRACKING_URI"
    ]


def test_a_plan_of_another_build_exits_2_before_the_endpoint_is_asked(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.answer = lambda _: pytest.fail("the endpoint was asked")
    endpoint_test.say(
        model_name="other",
        model_version="2",
        archive_sha256="b" * 64,
        stages={"prod": Thresholds()},
    )
    assert endpoint_test.run() == 2
    other = "take both from one build"
    assert caplog.messages == [
        f"{endpoint_test.folder / 'endpoint-test.json'} can not be used:\n"
        f"  - it is of model 'other', the stage configuration of {endpoint_test.name!r}; {other}\n"
        f"  - it is of version '2', the stage configuration of '1'; {other}\n"
        f"  - it is of archive {'b' * 64!r}, the stage configuration of {_SHA256!r}; {other}\n"
        "  - it says nothing of the stage 'staging'"
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"model_name": "other"},
        {"model_version": "2"},
        {"archive_sha256": "b" * 64},
        {"stages": {"prod": Thresholds()}},
    ],
)
def test_each_contradiction_of_a_plan_is_enough(
    endpoint_test: _EndpointTest, changed: dict[str, Any]
) -> None:
    endpoint_test.register()
    endpoint_test.say(**changed)
    assert endpoint_test.run() == 2


def test_a_plan_that_is_not_the_configuration_s_exits_2(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.tags["endpoint-test-sha256"] = "0" * 64
    assert endpoint_test.run() == 2
    assert "the stage configuration was written with 000" in caplog.messages[-1]
    del endpoint_test.tags["endpoint-test-sha256"]
    missing = endpoint_test.folder / "none.json"
    assert endpoint_test.run("--import-test-plan", str(missing)) == 2
    assert caplog.messages[-1] == (
        f"{missing} can not be used:\n  - it can not be read: No such file or directory"
    )


def test_a_plan_may_lie_elsewhere(endpoint_test: _EndpointTest, raw_rows: dict[str, Any]) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.write()
    elsewhere = endpoint_test.folder / "elsewhere" / "plan.json"
    elsewhere.parent.mkdir()
    (endpoint_test.folder / "endpoint-test.json").rename(elsewhere)
    endpoint_test.say(recorded={"python": "changed, so that the default file is another one"})
    endpoint_test.tags["endpoint-test-sha256"] = hashlib.sha256(elsewhere.read_bytes()).hexdigest()
    assert endpoint_test.run("--import-test-plan", str(elsewhere)) == 0


def test_a_model_s_name_is_read_from_its_encoded_tag(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.name = f"{endpoint_test.name}, it's (50 %) & = ü"
    endpoint_test.tags["mlflow:model-name"] = (
        f"{endpoint_test.name.partition(',')[0]}=2C it=27s =2850 =25=29 =26 =3D ü"
    )
    assert decode(endpoint_test.tags["mlflow:model-name"]) == endpoint_test.name
    endpoint_test.say(model_name=endpoint_test.name)
    endpoint_test.register(raw_rows)
    assert endpoint_test.run() == 0
    assert endpoint_test.results["model_name"] == endpoint_test.name
    version = endpoint_test.registry.client.get_model_version(endpoint_test.name, "1")
    assert version.current_stage == "Staging"


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
    again = endpoint_test.registry.tags(endpoint_test.name, "1")
    # What the first test proved stays, whatever the second one says of the latency.
    assert again["deploy.staging/1"] == first["deploy.staging/1"]
    assert again.keys() - first.keys() <= {"deploy.staging/2"}
    assert endpoint_test.registry.aliases(endpoint_test.name) == {"challenger": "1"}


def test_interrupted_wait_exits_130_with_results_and_moves_nothing(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.sagemaker.statuses = ["Creating"]
    config = endpoint_test.write()
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
    endpoint_test.register({"version": 1})
    assert endpoint_test.run() == 1
    for form in ("JSON", "CSV"):
        status, detail = endpoint_test.check(f"answers raw rows as {form} as offline")
        assert status == "failed"
        assert detail.startswith("raw_rows.json of the model's run is malformed: ")
    endpoint_test.assert_nothing_moved()


def test_a_model_without_an_input_example_is_checked_by_its_raw_rows(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    endpoint_test.say(cases=[])
    assert endpoint_test.run() == 0
    assert endpoint_test.check("answers the input example") == (
        "not applicable",
        "the model has none; its raw rows are compared",
    )
    assert "each with the same answer" in endpoint_test.check("answers every request")[1]
    raw_rows["predictions"][0] += 1.0
    assert endpoint_test.run() == 1
    assert endpoint_test.check("answers raw rows as JSON as offline")[0] == "failed"


def test_a_model_with_nothing_to_ask_moves_nothing(endpoint_test: _EndpointTest) -> None:
    endpoint_test.register()
    endpoint_test.say(cases=[], waived={"no_offline_comparison": "there is nothing"})
    assert endpoint_test.run() == 1
    assert endpoint_test.failed == ["answers the input example", "answers every request"]
    endpoint_test.assert_nothing_moved()


def test_an_error_that_nobody_foresaw_is_in_the_results_and_the_log(
    endpoint_test: _EndpointTest,
    raw_rows: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def break_down(*_: Any) -> Any:
        raise ZeroDivisionError("by none")

    endpoint_test.register(raw_rows)
    monkeypatch.setattr("model_deploy.test.load.check_load", break_down)
    assert endpoint_test.run() == 1
    assert endpoint_test.results["error"] == "ZeroDivisionError: by none"
    assert endpoint_test.check("answers the input example")[0] == "passed"
    endpoint_test.assert_nothing_moved()
    assert any(record.exc_info for record in caplog.records)


def test_what_each_flag_is_when_nobody_gives_it() -> None:
    given = vars(build_parser().parse_args(["--import-build-config", "prod.json"]))
    assert given == {
        "import_build_config": Path("prod.json"),
        "import_test_plan": None,
        "export_test_results": Path("test-results.json"),
        "export_variables": None,
        "log_level": "INFO",
        "tracking_uri": "",
        "credentials_secret": "",
        "timeout_seconds": 1800.0,
        "poll_seconds": 5.0,
        "max_p95_latency_ms": None,
        "pipeline_execution_id": "",
        "unsettled_exit_code": 4,
    }


def test_results_are_summed_up_in_a_few_words() -> None:
    from model_deploy.test.endpoint_check import Check, failed, passed

    results = Results(checked=True, checks=[passed("a", ""), passed("b", "")])
    assert results.summary == "2 checks passed"
    results.checks.append(Check(name="c", status="waived", detail="no comparison: it draws"))
    results.checks.append(Check(name="d", status="not applicable", detail="nothing is promised"))
    told = "2 checks passed, no comparison: it draws, d: not applicable"
    assert (results.passed, results.summary) == (True, told)
    document = json.loads(results.to_json())
    assert (document["passed"], document["stage_moved"]) == (True, False)
    results.error = "MLflow is away"
    assert results.summary == f"{told}, the stage was not moved"
    results.checks += [failed("e", ""), failed("f", "")]
    results.error = ""
    assert (results.passed, results.summary) == (False, "2 of 6 checks failed: e, f")
    text = Results(endpoint_name="shop-prod").to_json()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert "\n  " in text


def test_without_a_client_for_aws_the_test_says_so(
    endpoint_test: _EndpointTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_test.register()
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert endpoint_test.run() == 3
    assert "no AWS client: " in caplog.text


def test_a_test_that_was_cut_short_has_not_passed() -> None:
    results = Results()
    assert (results.passed, results.summary) == (False, "no check was made")
    from model_deploy.test.endpoint_check import passed

    results.add(passed("endpoint in service", "it is"))
    assert not results.passed
    results.checked = True
    assert (results.passed, results.summary) == (True, "1 check passed")
    results.checked, results.error = False, "AWS is away"
    assert (results.passed, results.summary) == (False, "stopped: AWS is away")
    assert json.loads(results.to_json())["passed"] is False


_WITHOUT = """
import sys
# What the buildspec's environment does not have, and models are made of.
for library in ("pandas", "sklearn", "skops", "pyarrow", "mlflow.pyfunc"):
    sys.modules[library] = None
from model_deploy.registry.lease import Times
Times.of_environment = lambda: Times(lease_seconds=30, call_seconds=5, outage_seconds=0.1)
from model_deploy.test.test import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_checks_need_no_library_that_a_model_needs(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any]
) -> None:
    endpoint_test.register(raw_rows)
    config, file = endpoint_test.write(), endpoint_test.results_file
    flags = ("--import-build-config", str(config), "--export-test-results", str(file))
    subprocess.run(
        [sys.executable, "-c", _WITHOUT, *flags, "--tracking-uri", "http://127.0.0.1:9"],
        cwd=Path(__file__).parents[3],
        check=False,
        timeout=120,
    )
    results = endpoint_test.results
    assert (results["passed"], len(results["checks"])) == (True, 10), results["error"]


class _Killed(BaseException):
    """As far as a process that is killed can be told in one that goes on."""


def test_a_call_that_goes_wrong_anywhere_leads_to_the_same_end(
    endpoint_test: _EndpointTest, raw_rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third of the calls to MLflow fails, or the test dies there; it is run again."""
    ask, calls, nth = Connection.ask, 0, 0
    fault: BaseException = _Killed()

    def broken(self: Connection, method: str, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != nth:
            return ask(self, method, *arguments, **options)
        if nth % 2:
            ask(self, method, *arguments, **options)
        raise fault

    endpoint_test.register(raw_rows)
    # A killed test's lock is waited for, in a time that passes only by waiting.
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    times = Times(lease_seconds=30, call_seconds=5, clock=lambda: now, sleep=sleep)
    monkeypatch.setattr(Times, "of_environment", lambda: times)
    endpoint_test.say(stages={"staging": Thresholds(max_p95_ms=30_000, requests=2, concurrent=1)})
    monkeypatch.setattr(Connection, "ask", broken)
    assert endpoint_test.run() == 0
    count = calls
    assert count >= 10
    for number in range(1, count + 1, 3):
        for fault in (MLflowError("MLflow went away"), _Killed()):
            calls, nth = 0, number
            if isinstance(fault, _Killed):
                # A repeated move makes fewer calls: it may not come that far.
                with contextlib.suppress(_Killed):
                    endpoint_test.run()
            else:
                assert endpoint_test.run() in (0, 4)
                assert endpoint_test.results["passed"] is True
        nth = 0
        assert endpoint_test.run() == 0
        assert endpoint_test.registry.stages(endpoint_test.name) == {"1": "Staging"}
        assert endpoint_test.registry.aliases(endpoint_test.name) == {"challenger": "1"}
