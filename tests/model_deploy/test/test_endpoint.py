from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from model_deploy.errors import AwsError
from model_deploy.test.endpoint import Endpoint


@pytest.fixture
def endpoint(sagemaker: Any) -> Endpoint:
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1})
    return Endpoint(
        name="e",
        sagemaker=boto3.client("sagemaker", config=config),
        runtime=boto3.client("sagemaker-runtime", config=config),
        pause_seconds=0,
    )


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (413, "413", "HTTP content length exceeded 6291456 bytes."),
        (400, "ValidationError", "Endpoint e of account 1 not found."),
        (503, "ServiceUnavailable", "busy"),
        (400, "SomethingNew", "of next year"),
    ],
)
def test_what_runtime_says_of_a_request_is_an_answer(
    endpoint: Endpoint, sagemaker: Any, status: int, code: str, message: str
) -> None:
    sagemaker.runtime_refusal = lambda _: (status, code, message)
    answer = endpoint.invoke("{}")
    assert answer.error.startswith(f"An error occurred ({code}) when calling the InvokeEndpoint ")
    assert answer.error.endswith(f": {message}")
    assert answer.original_status is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "AccessDeniedException"),
        (400, "UnrecognizedClientException"),
        (403, "ExpiredTokenException"),
        (403, "SomethingNew"),
    ],
)
@pytest.mark.parametrize("call", [lambda e: e.invoke("{}"), lambda e: e.describe()])
def test_what_speaks_of_us_is_told_as_permissions(
    endpoint: Endpoint,
    sagemaker: Any,
    status: int,
    code: str,
    call: Callable[[Endpoint], object],
) -> None:
    sagemaker.runtime_refusal = lambda _: (status, code, "no")
    sagemaker.refusal = (status, code, "no")
    with pytest.raises(AwsError, match=r"^AWS refused to .* role's sagemaker:Describe\* and"):
        call(endpoint)


def test_another_error_of_a_description_is_not_told_as_permissions(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    sagemaker.refusal = (400, "ThrottlingException", "Rate exceeded")
    with pytest.raises(AwsError) as failed:
        endpoint.describe()
    message = str(failed.value)
    assert message.startswith("could not describe endpoint 'e': An error occurred (Throttling")
    assert message.endswith(
        ": Rate exceeded. AWS let us ask, so this is not about permissions: repeat the test, and "
        "look for that answer in SageMaker's guide if it stays."
    )


def test_aws_that_is_not_there_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from botocore.config import Config

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    config = Config(retries={"max_attempts": 1})
    runtime = boto3.client("sagemaker-runtime", config=config)
    with pytest.raises(AwsError) as failed:
        Endpoint(name="e", sagemaker=None, runtime=runtime, pause_seconds=0).invoke("{}")
    assert str(failed.value).startswith("could not invoke endpoint 'e': Could not connect to the")
    assert str(failed.value).endswith(". Check the region, AWS_ENDPOINT_URL and the network.")


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "ThrottlingException"), (400, "ThrottlingException"), (429, "SomethingNew")],
)
def test_a_throttled_request_is_sent_again(
    endpoint: Endpoint, sagemaker: Any, status: int, code: str
) -> None:
    refusals = [(status, code, "Rate exceeded")] * 5
    sagemaker.runtime_refusal = lambda _: refusals.pop() if refusals else None
    sagemaker.answer = lambda _: (200, b'{"predictions": [1.0]}')
    answer = endpoint.invoke("{}")
    assert (answer.predictions, answer.error, refusals) == ([1.0], "", [])


def test_throttling_that_lasts_says_nothing_of_the_model(
    endpoint: Endpoint, sagemaker: Any
) -> None:
    asked = []

    def refuse(_: bytes) -> tuple[int, str, str]:
        asked.append(1)
        return 429, "ThrottlingException", "Rate exceeded"

    sagemaker.runtime_refusal = refuse
    with pytest.raises(AwsError) as failed:
        endpoint.invoke("{}")
    assert str(failed.value) == (
        "could not invoke endpoint 'e': An error occurred (ThrottlingException) when calling the "
        "InvokeEndpoint operation (reached max retries: 0): Rate exceeded. SageMaker throttles, "
        "which says nothing of the model: let the stage's ConcurrentRequests be at most what the "
        "endpoint takes at a time (ServerlessMaxConcurrency), or repeat the test when others ask "
        "less."
    )
    assert len(asked) == 6


def test_pauses_grow_and_are_no_latency(
    endpoint: Endpoint, sagemaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("model_deploy.test.endpoint.time.sleep", pauses.append)
    refusals = [(429, "ThrottlingException", "Rate exceeded")] * 3
    sagemaker.runtime_refusal = lambda _: refusals.pop() if refusals else None
    sagemaker.answer = lambda _: (200, b"[1]")
    patient = Endpoint(name="e", sagemaker=None, runtime=endpoint.runtime, pause_seconds=0.25)
    assert patient.invoke("{}").document == [1]
    assert pauses == [0.25, 0.5, 1.0]


def test_a_container_s_own_429_is_its_answer(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (429, b"too busy")
    answer = endpoint.invoke("{}")
    assert (answer.original_status, answer.original_message) == (429, "too busy")
    assert "ModelError" in answer.error


def test_an_answer_is_timed_and_read(endpoint: Endpoint, sagemaker: Any) -> None:
    def answer(_: bytes) -> tuple[int, bytes]:
        time.sleep(0.05)
        return 200, b'{"predictions": [true], "classes": [false, true], "probabilities": [[0, 1]]}'

    sagemaker.answer = answer
    found = endpoint.invoke("{}")
    assert (found.predictions, found.classes) == ([True], [False, True])
    assert (found.probabilities, found.error) == ([[0, 1]], "")
    assert 50 <= found.milliseconds < 5000


def test_an_unwrapped_answer_is_read_too(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (200, b'{"choices": []}')
    answer = endpoint.invoke("{}")
    assert (answer.document, answer.predictions, answer.error) == ({"choices": []}, None, "")


def test_an_answer_that_is_no_json_is_an_error(endpoint: Endpoint, sagemaker: Any) -> None:
    sagemaker.answer = lambda _: (200, b"<html>")
    answer = endpoint.invoke("{}")
    assert (answer.document, answer.original_status) == (None, None)
    assert answer.error == (
        "the answer is no JSON: Expecting value: line 1 column 1 (char 0); it begins '<html>'"
    )


def test_a_connection_that_breaks_is_no_answer(endpoint: Endpoint, sagemaker: Any) -> None:
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

    for err in (
        ConnectionClosedError(endpoint_url="http://e"),
        ReadTimeoutError(endpoint_url="http://e"),
    ):

        class _Broken:
            def invoke_endpoint(self, **_: Any) -> Any:
                raise err  # noqa: B023 - it is asked within the round

        broken = Endpoint(name="e", sagemaker=None, runtime=_Broken())
        assert broken.invoke("{}").error.startswith("no answer: ")
