from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model_deploy.errors import AwsError
from model_deploy.test.endpoint import Endpoint


@pytest.fixture
def endpoint(sagemaker: Any) -> Endpoint:
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 1})
    return Endpoint(
        name="e",
        sagemaker=boto3.client("sagemaker", config=config),
        runtime=boto3.client("sagemaker-runtime", config=config),
    )


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (413, "413", "HTTP content length exceeded 6291456 bytes."),
        (400, "ValidationError", "Endpoint e of account 1 not found."),
        (400, "ThrottlingException", "Rate exceeded"),
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
        Endpoint(name="e", sagemaker=None, runtime=runtime).invoke("{}")
    assert str(failed.value).startswith("could not invoke endpoint 'e': Could not connect to the")
    assert str(failed.value).endswith(". Check the region, AWS_ENDPOINT_URL and the network.")
