"""Each check of an endpoint, by what an endpoint may answer."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from model_deploy.endpoint_test_plan import Case, EndpointTestPlan
from model_deploy.errors import AwsError
from model_deploy.test.endpoint import Endpoint
from model_deploy.test.endpoint_check import (
    Check,
    check_cases,
    check_configuration,
    check_refusals,
    wrong_request,
)

_SHA256 = "0" * 63 + "a"


class _Container:
    """An endpoint's container behind SageMaker Runtime, without a network; tests set `answer`."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], tuple[int, bytes]] = lambda _: (500, b"nothing is set")
        self.content_type = ""

    def invoke_endpoint(
        self, *, EndpointName: str, ContentType: str, Accept: str, Body: bytes
    ) -> dict[str, Any]:
        self.content_type = ContentType
        status, content = self.answer(Body)
        if status == 200:
            return {"Body": io.BytesIO(content)}
        error = {"Code": "ModelError", "Message": f"Received client error ({status})"}
        response = {
            "Error": error,
            "OriginalStatusCode": status,
            "OriginalMessage": content.decode(),
        }
        raise ClientError(cast(Any, response), "InvokeEndpoint")


@pytest.fixture
def sagemaker() -> _Container:
    return _Container()


@pytest.fixture
def endpoint(sagemaker: _Container) -> Endpoint:
    return Endpoint(name="e", sagemaker=None, runtime=sagemaker)


def _case(answer: str | None = '{"predictions": [1.0, 2.0]}', **said: Any) -> Case:
    return Case(**{"name": "the input example", "body": "{}", "answer": answer, **said})


def _plan(*cases: Case, **said: Any) -> EndpointTestPlan:
    return EndpointTestPlan(
        model_name="m", model_version="1", archive_sha256=_SHA256, cases=cases, **said
    )


def _told(checks: list[Check]) -> dict[str, tuple[str, str]]:
    return {check.name: (check.status, check.detail) for check in checks}


_WAIVED = {"waived": {"no_offline_comparison": "it draws lots"}}


def test_cases_that_are_answered_as_recorded_pass(endpoint: Endpoint, sagemaker: Any) -> None:
    sent = []

    def answer(body: bytes) -> tuple[int, bytes]:
        sent.append((sagemaker.content_type, body))
        return 200, b'{"predictions": [1.0000001, 2.0]}' if body == b"{}" else b'{"content": "x"}'

    sagemaker.answer = answer
    chat = _case('{"content": "x"}', name="chat", body="a\n1", content_type="text/csv")
    checks, expected = check_cases(endpoint, _plan(_case(), chat))
    assert _told(checks) == {
        "answers the input example": ("passed", "2 predictions answered"),
        "answers as recorded": (
            "passed",
            "2 cases, 3 predictions equal (relative tolerance 1e-06)",
        ),
    }
    assert sent == [("application/json", b"{}"), ("text/csv", b"a\n1")]
    # What was recorded, not what was served.
    assert expected == [{"predictions": [1.0, 2.0]}, {"content": "x"}]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b'{"predictions": [1.0, 102.0]}', "predictions[1]: 102.0 served, 2.0 expected"),
        (b'{"predictions": [2.0, 1.0]}', "predictions[0]: 2.0 served, 1.0 expected"),
        (b'{"predictions": [1.0]}', "predictions: 1 served, 2 expected"),
        (b'{"predictions": [1.0, null]}', "predictions[1]: None served, 2.0 expected"),
        (b"[1.0, 2.0]", "the answer: [1.0, 2.0] served, {'predictions': [1.0, 2.0]} expected"),
        (
            b'{"predictions": [1.0, NaN]}',
            "the answer is no JSON: it holds NaN; it begins '{\"predictions\": [1.0, NaN]}'",
        ),
        (
            b'{"predictions": [1.0, 2.0]}garbage',
            "the answer is no JSON: Extra data: line 1 column 28 (char 27); it begins "
            "'{\"predictions\": [1.0, 2.0]}garbage'",
        ),
    ],
)
def test_a_case_that_is_answered_otherwise_fails(
    endpoint: Endpoint, sagemaker: Any, answer: bytes, told: str
) -> None:
    sagemaker.answer = lambda _: (200, answer)
    checks, expected = check_cases(endpoint, _plan(_case()))
    assert _told(checks)["answers as recorded"] == (
        "failed",
        f"the input example: {told}; 1 of 1 cases differ",
    )
    assert expected == [{"predictions": [1.0, 2.0]}]


def test_answers_that_are_no_json_do_not_answer_the_example(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    """MLflow's server says NaN and Infinity with HTTP 200."""
    sagemaker.answer = lambda _: (200, b'{"predictions": [NaN, Infinity]}')
    checks, expected = check_cases(endpoint, _plan(_case(None), raw_rows={}))
    assert _told(checks) == {
        "answers the input example": (
            "failed",
            "the answer is no JSON: it holds NaN; it begins '{\"predictions\": [NaN, Infinity]}'",
        )
    }
    assert expected == [None]


def test_the_first_of_the_differing_cases_is_told(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [5.0, 2.0]}')
    cases = (
        _case('{"predictions": [5.0, 2.0]}'),
        _case(name="second"),
        _case('{"predictions": [6.0, 2.0]}', name="third"),
    )
    checks, _ = check_cases(endpoint, _plan(*cases))
    assert _told(checks)["answers as recorded"] == (
        "failed",
        "second: predictions[0]: 5.0 served, 1.0 expected; 2 of 3 cases differ",
    )


_REFUSED = b'{"error_code": "BAD_REQUEST", "message": "Failed to enforce schema of other words"}'
_CRASHED = b'{"error_code": "BAD_REQUEST", "message": "x", "stack_trace": "Traceback ..."}'


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (400, _REFUSED, ""),
        (422, _REFUSED, "HTTP 422 served, 400 expected: "),
        (500, b"x", "HTTP 500 served, 400 expected: "),
        (400, _CRASHED, "HTTP 400, but by a crash of the model, not by its schema: "),
        (200, b'{"predictions": [1.0]}', "answered with a prediction, HTTP 400 expected"),
    ],
)
def test_a_case_that_the_model_refused_is_refused_by_the_endpoint(
    endpoint: Endpoint, sagemaker: Any, status: int, content: bytes, told: str
) -> None:
    right = (200, b'{"predictions": [1.0, 2.0]}')
    sagemaker.answer = lambda body: (status, content) if body == b"wrong" else right
    recorded = '{"error_code": "BAD_REQUEST", "message": "Failed to enforce schema"}'
    wrong = _case(recorded, name="wrong.json", body="wrong", status=400)
    checks, expected = check_cases(endpoint, _plan(_case(), wrong))
    verdict, detail = _told(checks)["answers as recorded"]
    if told:
        assert verdict == "failed"
        assert detail.startswith(f"wrong.json: {told}")
    else:
        assert (verdict, detail) == (
            "passed",
            "2 cases, 2 predictions equal (relative tolerance 1e-06), 1 refused as recorded",
        )
    assert expected == [{"predictions": [1.0, 2.0]}, None]


def test_a_long_reason_leaves_room_in_the_summary(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [1.0]}')
    waived = {"no_offline_comparison": "it draws lots, " * 40}
    checks, _ = check_cases(endpoint, _plan(_case(None), waived=waived))
    verdict, detail = _told(checks)["answers as recorded"]
    assert verdict == "waived"
    assert detail.startswith("no offline comparison: it draws lots")
    assert len(detail) <= len("no offline comparison: ") + 80


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (
            _case('{"predictions": [NaN, 2.0]}'),
            "the recorded answer is no JSON: it holds NaN",
        ),
        (
            _case('{"message": "no"}', status=400),
            "answered with a prediction, HTTP 400 expected",
        ),
    ],
)
def test_a_recording_that_says_nothing_fails(
    endpoint: Endpoint, sagemaker: Any, case: Case, told: str
) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [1.0, 2.0]}')
    checks, _ = check_cases(endpoint, _plan(case))
    assert _told(checks)["answers as recorded"] == (
        "failed",
        f"the input example: {told}; 1 of 1 cases differ",
    )


def test_a_recording_that_is_no_json_is_nothing_to_expect(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [1.0]}')
    assert check_cases(endpoint, _plan(_case('{"predictions": [NaN]}')))[1] == [None]


def test_what_was_not_recorded_fails_unless_a_reviewed_file_waives_it(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [7.0]}')
    checks, expected = check_cases(endpoint, _plan(_case(None)))
    assert _told(checks)["answers as recorded"] == (
        "failed",
        "not compared: no answer was recorded for the input example",
    )
    # The load is compared with what is served now.
    assert expected == [{"predictions": [7.0]}]

    checks, _ = check_cases(endpoint, _plan(_case(None), _case(None), _case(None)))
    assert _told(checks)["answers as recorded"][1].endswith("for the input example and 2 more")

    checks, expected = check_cases(endpoint, _plan(_case(None), **_WAIVED))
    assert _told(checks) == {
        "answers the input example": ("passed", "1 prediction answered"),
        "answers as recorded": ("waived", "no offline comparison: it draws lots"),
    }
    assert expected == [None]

    another = {"waived": {"no_latency": "never mind"}}
    checks, _ = check_cases(endpoint, _plan(_case(None), **another))
    assert _told(checks)["answers as recorded"][0] == "failed"


def test_a_waiver_excuses_no_difference_and_no_error(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [7.0, 2.0]}')
    checks, _ = check_cases(endpoint, _plan(_case(None), _case(), **_WAIVED))
    assert _told(checks)["answers as recorded"][0] == "failed"
    sagemaker.answer = lambda _: (500, b"boom")
    checks, _ = check_cases(endpoint, _plan(_case(None), **_WAIVED))
    assert {status for status, _ in _told(checks).values()} == {"failed"}


def test_raw_rows_stand_for_the_answer_to_the_example_alone(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    sagemaker.answer = lambda _: (200, b'{"predictions": [7.0]}')
    checks, expected = check_cases(endpoint, _plan(_case(None), raw_rows={}))
    assert [check.name for check in checks] == ["answers the input example"]
    assert expected == [{"predictions": [7.0]}]
    checks, _ = check_cases(endpoint, _plan(_case(None), _case(None, name="other"), raw_rows={}))
    assert _told(checks)["answers as recorded"] == (
        "failed",
        "not compared: no answer was recorded for other",
    )
    # Where it is recorded, it is compared all the same.
    checks, _ = check_cases(endpoint, _plan(_case(), raw_rows={}))
    assert _told(checks)["answers as recorded"][0] == "failed"


def test_a_model_without_cases_needs_raw_rows(endpoint: Endpoint) -> None:
    name = "answers the input example"
    assert _told(check_cases(endpoint, _plan(raw_rows={}))[0]) == {
        name: ("not applicable", "the model has none; its raw rows are compared")
    }
    assert _told(check_cases(endpoint, _plan(**_WAIVED))[0]) == {
        name: ("failed", "neither an input example nor raw rows are recorded: nothing to ask")
    }


@pytest.mark.parametrize("nothing", ['{"predictions": []}', '{"predictions": null}', "{}", '""'])
def test_an_answer_of_nothing_is_no_prediction(
    endpoint: Endpoint, sagemaker: Any, nothing: str
) -> None:
    sagemaker.answer = lambda _: (200, nothing.encode())
    checks, _ = check_cases(endpoint, _plan(_case(None)))
    assert _told(checks)["answers the input example"] == (
        "failed",
        "the answer holds no prediction",
    )


@pytest.mark.parametrize("predictions", [["no"], [False], [0], 0, False])
def test_a_label_is_a_prediction(endpoint: Endpoint, sagemaker: Any, predictions: Any) -> None:
    sagemaker.answer = lambda _: (200, json.dumps({"predictions": predictions}).encode())
    checks, _ = check_cases(endpoint, _plan(_case(None)))
    assert _told(checks)["answers the input example"] == ("passed", "1 prediction answered")


_REQUIRED = [{"type": "double", "name": "rooms", "required": True}]


def test_wrong_columns_are_refused_by_the_schema(
    endpoint: Endpoint, sagemaker: Any, container_url: str
) -> None:
    """By MLflow's real server."""
    import requests

    def ask(body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": sagemaker.content_type}
        url = f"{container_url}/invocations"
        answer = requests.post(url, data=body, headers=headers, timeout=30)
        return answer.status_code, answer.content

    sagemaker.answer = ask
    payload = '{"dataframe_split": {"columns": ["rooms", "town"], "data": [[1.0, "Aix"]]}}'
    checks = check_refusals(endpoint, _case(body=payload), _REQUIRED)
    assert _told(checks) == {
        "refuses what is not JSON": ("passed", "HTTP 400"),
        "refuses wrong columns": ("passed", "HTTP 400"),
    }


def test_a_crash_of_the_model_is_no_refusal(endpoint: Endpoint, sagemaker: Any) -> None:
    """MLflow's server answers 400 when a model raises."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    crash = MlflowException(
        "Encountered an unexpected error while evaluating the model. Verify that the ...",
        error_code=BAD_REQUEST,
        stack_trace="KeyError: 'rooms'",
    ).serialize_as_json()
    sagemaker.answer = lambda _: (400, crash.encode())
    for status, detail in _told(check_refusals(endpoint, None, _REQUIRED)).values():
        assert (status, detail) == (
            "failed",
            f"HTTP 400, but by a crash of the model, not by its schema: {crash}",
        )


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b'{"predictions": [1.0]}', "it was answered with a prediction"),
        (200, b'{"predictions": [NaN]}', "no HTTP status came back: the answer is no JSON: "),
        (500, b"Traceback", "HTTP 500 instead of 4xx: An error occurred (ModelError)"),
        (399, b"", "HTTP 399 instead of 4xx: "),
        (
            400,
            b'{"message": "Encountered an unexpected error while evaluating the model."}',
            "HTTP 400, but by a crash of the model",
        ),
        (422, b'{"stack_trace": "KeyError"}', "HTTP 422, but by a crash of the model"),
    ],
)
def test_other_answers_to_malformed_requests_fail(
    endpoint: Endpoint, sagemaker: Any, status: int, body: bytes, told: str
) -> None:
    sagemaker.answer = lambda _: (status, body)
    checks = _told(check_refusals(endpoint, None, _REQUIRED))
    assert len(checks) == 2
    for result, detail in checks.values():
        assert result == "failed"
        assert detail.startswith(told)


@pytest.mark.parametrize("status", [400, 499])
def test_any_status_of_the_client_s_is_a_refusal(
    endpoint: Endpoint, sagemaker: Any, status: int
) -> None:
    sagemaker.answer = lambda _: (status, b"no")
    told = set(_told(check_refusals(endpoint, None, _REQUIRED)).values())
    assert told == {("passed", f"HTTP {status}")}


def test_an_endpoint_that_answers_no_more_afterwards_fails(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    sagemaker.answer = lambda _: (400, b"no")
    assert _told(check_refusals(endpoint, _case(), _REQUIRED))["still answers after it"] == (
        "failed",
        "the input example is not answered now",
    )


def test_a_signature_that_requires_nothing_can_not_be_violated(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    sagemaker.answer = lambda _: (400, b"no")
    optional = [{"type": "double", "name": "rooms", "required": False}]
    for inputs in (optional, []):
        assert _told(check_refusals(endpoint, None, inputs))["refuses wrong columns"] == (
            "not applicable",
            "the signature requires nothing that could be missing",
        )


def _signatures() -> Mapping[str, Any]:
    import numpy as np
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array, Object, Property

    double, message = np.dtype("float64"), Object([Property("content", DataType.string)])
    return {
        "named columns": Schema([ColSpec("double", "a"), ColSpec("string", "b", required=False)]),
        "one unnamed column": Schema([ColSpec("double")]),
        "unnamed columns": Schema([ColSpec("double"), ColSpec("string")]),
        "chat": Schema([ColSpec(Array(message), "messages")]),
        "tensor": Schema([TensorSpec(double, (-1, 3))]),
        "tensor of one dimension": Schema([TensorSpec(double, (-1,))]),
        "tensor of any shape": Schema([TensorSpec(double, (-1, -1))]),
        "image": Schema([TensorSpec(np.dtype("uint8"), (-1, 2, 2, 1))]),
        "text tensor": Schema([TensorSpec(np.dtype("str"), (-1,))]),
        "named tensor": Schema([TensorSpec(double, (-1, 3), "a")]),
        "named tensors": Schema([TensorSpec(double, (-1,), "a"), TensorSpec(double, (-1,), "b")]),
    }


@pytest.mark.parametrize(
    "kind",
    [
        *("named columns", "one unnamed column", "unnamed columns", "chat", "tensor", "image"),
        *("tensor of one dimension", "tensor of any shape", "text tensor", "named tensor"),
        "named tensors",
    ],
)
def test_mlflow_s_schema_refuses_the_wrong_request_of_every_kind_of_signature(kind: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import PyFuncModel
    from mlflow.pyfunc.scoring_server import invocations

    class _Implementation:
        def predict(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("the model was asked")

    schema = _signatures()[kind]
    described = Model(
        signature=ModelSignature(schema), flavors={"python_function": {"loader_module": "none"}}
    )
    model = PyFuncModel(model_meta=described, model_impl=_Implementation())
    request = wrong_request(schema.to_dict())
    assert request is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MlflowException, match="Failed to enforce schema") as refused:
            invocations(request, "application/json", model, schema)
    assert refused.value.get_http_status_code() == 400
    assert "stack_trace" not in refused.value.serialize_as_json()


_ARCHIVE = f"s3://artifacts/model-archives/m/{_SHA256}/model.tar.gz"
_ASKED = {"ModelDataLocation": _ARCHIVE, "ContainerImageURI": "repo:3", "StageName": "staging"}


class _SageMaker:
    """Describe* of one endpoint; tests change what they tell."""

    def __init__(self) -> None:
        self.endpoint: dict[str, Any] = {"EndpointConfigName": "c", "EndpointStatus": "InService"}
        self.variant: dict[str, Any] = {"ModelName": "model", "InstanceType": "ml.m5.large"}
        self.container: dict[str, Any] = {"Image": "repo:3", "ModelDataUrl": _ARCHIVE}

    def describe_endpoint(self, EndpointName: str) -> Any:
        return self.endpoint

    def describe_endpoint_config(self, EndpointConfigName: str) -> Any:
        return {"ProductionVariants": [self.variant]}

    def describe_model(self, ModelName: str) -> Any:
        return {"ModelName": ModelName, "PrimaryContainer": self.container}


Configure = Callable[..., tuple[Check, str]]


@pytest.fixture
def described() -> _SageMaker:
    return _SageMaker()


def _configuration(sagemaker: _SageMaker, sha256: str = _SHA256) -> tuple[str, str, str]:
    endpoint = Endpoint(name="e", sagemaker=cast(Any, sagemaker), runtime=None)
    check, image = check_configuration(endpoint, _ASKED, sha256)
    assert check.name == "serves the configuration asked for"
    return check.status, check.detail, image


def test_the_image_is_the_one_that_aws_resolved(described: _SageMaker) -> None:
    resolved = "repo@sha256:" + "f" * 64
    described.endpoint["ProductionVariants"] = [
        {"DeployedImages": [{"SpecifiedImage": "repo:3", "ResolvedImage": resolved}]}
    ]
    assert _configuration(described) == (
        "passed",
        f"endpoint configuration c, model model, image {resolved}",
        resolved,
    )


@pytest.mark.parametrize(
    "variants",
    [
        [],
        [{}],
        [{"DeployedImages": []}],
        [{"DeployedImages": [{"ResolvedImage": ""}]}],
        [{"DeployedImages": [{"SpecifiedImage": "repo:3"}]}],
    ],
)
def test_an_image_that_aws_did_not_resolve_is_the_model_s(
    described: _SageMaker, variants: list[Any]
) -> None:
    described.endpoint["ProductionVariants"] = variants
    assert _configuration(described)[0::2] == ("passed", "repo:3")


def test_an_archive_that_is_not_the_plan_s_fails(described: _SageMaker) -> None:
    assert _configuration(described, "b" * 64)[:2] == (
        "failed",
        "endpoint configuration c is another one (did the update roll back?): the archive is not "
        f"the one of SHA-256 {'b' * 64}",
    )
    # A part of a digest is none.
    assert _configuration(described, _SHA256[1:])[0] == "failed"
    described.container = {"Image": "repo:3"}
    status, detail, _ = _configuration(described)
    assert status == "failed"
    assert f"ModelDataLocation: serving nothing, asked for {_ARCHIVE}" in detail


def test_an_archive_told_as_a_data_source_is_found(described: _SageMaker) -> None:
    source = {"S3DataSource": {"S3Uri": _ARCHIVE}}
    described.container = {"Image": "repo:3", "ModelDataSource": source}
    assert _configuration(described)[0] == "passed"


@pytest.mark.parametrize("call", ["describe_endpoint_config", "describe_model"])
@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "Describe"),
        ReadTimeoutError(endpoint_url="not you"),
    ],
)
def test_what_aws_does_not_describe_is_no_failed_check(
    described: _SageMaker, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
) -> None:
    def refuse(**_: str) -> None:
        raise error

    monkeypatch.setattr(described, call, refuse)
    with pytest.raises(AwsError, match=r"describe what endpoint 'e' serves.*not you"):
        _configuration(described)


def test_each_setting_that_is_served_otherwise_is_named(described: _SageMaker) -> None:
    asked = {
        **_ASKED,
        "EndpointInstanceType": "ml.m5.large",
        "EndpointInstanceCount": "2",
        "ServerlessMemoryInMB": "0",
    }
    endpoint = Endpoint(name="e", sagemaker=cast(Any, described), runtime=None)
    described.variant["InitialInstanceCount"] = 2
    assert check_configuration(endpoint, asked, _SHA256)[0].status == "passed"
    described.variant = {"ModelName": "model", "ServerlessConfig": {"MemorySizeInMB": 2048}}
    described.container = {"Image": "repo:4", "ModelDataUrl": _ARCHIVE}
    assert check_configuration(endpoint, asked, _SHA256)[0].detail.partition("?): ")[2] == (
        "ContainerImageURI: serving repo:4, asked for repo:3; "
        "ServerlessMemoryInMB: serving 2048, asked for 0"
    )
    described.variant = {
        "ModelName": "model",
        "InstanceType": "ml.c5.large",
        "InitialInstanceCount": 1,
    }
    assert check_configuration(endpoint, asked, _SHA256)[0].detail.partition("?): ")[2] == (
        "ContainerImageURI: serving repo:4, asked for repo:3; "
        "EndpointInstanceType: serving ml.c5.large, asked for ml.m5.large; "
        "EndpointInstanceCount: serving 1, asked for 2"
    )


def test_a_model_of_several_containers_is_told_by_its_first(
    described: _SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    containers = [described.container, {"Image": "other"}]
    monkeypatch.setattr(
        described, "describe_model", lambda **_: {"ModelName": "m", "Containers": containers}
    )
    assert _configuration(described)[0::2] == ("passed", "repo:3")
    containers.clear()
    assert "ContainerImageURI: serving nothing" in _configuration(described)[1]


def test_an_endpoint_that_is_gone_serves_nothing(
    described: _SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endpoint, "describe", lambda _: None)
    assert _configuration(described) == ("failed", "there is no endpoint 'e'", "")
