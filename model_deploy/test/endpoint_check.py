"""What a deployed endpoint must show before its version may claim a stage. Each check is a `Check`.

    in service ─▶ serves the configuration asked for ─▶ answers the input example
      ─▶ predicts as the model did offline ─▶ refuses what is malformed ─▶ is quick enough

A check that could not be made says why and is `skipped`. AWS refusing us is an AwsError instead: it
says nothing about the endpoint.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deploy.errors import AwsError

logger = logging.getLogger(__name__)

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"

RELATIVE_TOLERANCE = 1e-6
_ABSOLUTE_TOLERANCE = 1e-9
_IN_TRANSITION = ("Creating", "Updating", "SystemUpdating", "RollingBack")
# Answers of SageMaker Runtime that speak of the endpoint or the request, not of our permissions.
_ENDPOINT_ERRORS = (
    "ModelError",
    "ModelNotReadyException",
    "InternalDependencyException",
    "InternalFailure",
    "ServiceUnavailable",
    "ThrottlingException",
    "ValidationError",
    "ValidationException",
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was checked, how it ended ("passed", "failed", "skipped"), and what was seen."""

    name: str
    status: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of single requests, as this client saw them; the network is part of it."""

    requests: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An endpoint's answer: its predictions, or the error and the container's HTTP status."""

    predictions: Any = None
    error: str = ""
    original_status: int | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint by name, with the two boto3 clients that reach it."""

    name: str
    sagemaker: Any
    runtime: Any

    def describe(self) -> Mapping[str, Any] | None:
        """DescribeEndpoint's answer, or None when there is no such endpoint."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = self.sagemaker.describe_endpoint(EndpointName=self.name)
        except ClientError as err:
            error = err.response.get("Error", {})
            missing = str(error.get("Message", "")).lower().startswith("could not find")
            if missing or error.get("Code") == "ResourceNotFound":
                return None
            raise _refused(f"describe endpoint {self.name!r}", err) from err
        except BotoCoreError as err:
            raise _refused(f"describe endpoint {self.name!r}", err) from err
        return answer

    def invoke(self, body: str) -> Answer:
        """POST `body` as JSON; raises AwsError only when AWS refuses us."""
        from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

        try:
            response = self.runtime.invoke_endpoint(
                EndpointName=self.name,
                ContentType="application/json",
                Accept="application/json",
                Body=body.encode(),
            )
            text = response["Body"].read().decode(errors="replace")
        except ClientError as err:
            if err.response.get("Error", {}).get("Code") not in _ENDPOINT_ERRORS:
                raise _refused(f"invoke endpoint {self.name!r}", err) from err
            status = err.response.get("OriginalStatusCode")
            return Answer(error=str(err), original_status=status)
        except ReadTimeoutError as err:
            return Answer(error=f"no answer: {err}")
        except BotoCoreError as err:
            raise _refused(f"invoke endpoint {self.name!r}", err) from err
        try:
            return Answer(predictions=json.loads(text)["predictions"])
        except (ValueError, KeyError, TypeError):
            return Answer(error=f'the answer holds no "predictions": {text[:200]!r}')


def check_in_service(endpoint: Endpoint, timeout_seconds: float, poll_seconds: float) -> Check:
    """Wait until the endpoint is InService; anything else it settles in, or the timeout, fails."""
    name = "endpoint in service"
    started = time.monotonic()
    last_status = ""
    while True:
        description = endpoint.describe()
        if description is None:
            return _failed(name, f"there is no endpoint {endpoint.name!r}; deploy its stack first")
        status = description["EndpointStatus"]
        waited = time.monotonic() - started
        if status != last_status:
            logger.info("endpoint %s is %s (%.0f s)", endpoint.name, status, waited)
            last_status = status
        if status == "InService":
            return _passed(name, f"{endpoint.name} is InService")
        if status not in _IN_TRANSITION:
            reason = description.get("FailureReason", "no reason given")
            return _failed(name, f"{endpoint.name} is {status}: {reason}")
        if waited >= timeout_seconds:
            return _failed(
                name,
                f"{endpoint.name} is still {status} after {timeout_seconds:.0f} s; "
                "see its log, or pass a longer --timeout-seconds",
            )
        time.sleep(min(poll_seconds, max(timeout_seconds - waited, 0.01)))


def check_configuration(endpoint: Endpoint, parameters: Mapping[str, str]) -> Check:
    """The archive, image and hardware that serve are those of the build's configuration.

    An endpoint update can roll back, and the endpoint is InService with what it had before.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    name = "serves the configuration asked for"
    description = endpoint.describe()
    if description is None:
        return _failed(name, f"there is no endpoint {endpoint.name!r}")
    config_name = description["EndpointConfigName"]
    try:
        config = endpoint.sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
        variants = config["ProductionVariants"]
        models = [
            endpoint.sagemaker.describe_model(ModelName=variant["ModelName"])
            for variant in variants
        ]
    except (ClientError, BotoCoreError) as err:
        raise _refused(f"describe what endpoint {endpoint.name!r} serves", err) from err
    differences: list[str] = []
    for variant, model in zip(variants, models, strict=True):
        for setting, served in _served(variant, model).items():
            wanted = parameters.get(setting)
            if wanted is not None and served is not None and served != wanted:
                differences.append(f"{setting}: serving {served}, asked for {wanted}")
    if differences:
        return _failed(
            name,
            f"endpoint configuration {config_name} is another one (did the update roll back?): "
            + "; ".join(differences),
        )
    return _passed(name, f"endpoint configuration {config_name}, model {models[0]['ModelName']}")


def check_input_example(endpoint: Endpoint, payload: str) -> tuple[Check, Any]:
    """The model's own input example is answered with a prediction; also that prediction."""
    name = "answers the input example"
    answer = endpoint.invoke(payload)
    if answer.error:
        return _failed(name, answer.error), None
    if answer.predictions in ([], {}, None):
        return _failed(name, "the answer holds no prediction"), None
    return _passed(name, f"{_count(answer.predictions)} answered"), answer.predictions


def check_held_out_sample(endpoint: Endpoint, sample: Mapping[str, Any]) -> Check:
    """Held-out rows are predicted as the saved model predicted them when it was trained."""
    name = "predicts held-out rows as offline"
    try:
        payload, expected = json.dumps(sample["inputs"]), sample["predictions"]
    except (KeyError, TypeError):
        return _failed(name, 'held_out_sample.json holds no "inputs" and "predictions"')
    answer = endpoint.invoke(payload)
    if answer.error:
        return _failed(name, answer.error)
    return compare_predictions(name, answer.predictions, expected)


def compare_predictions(name: str, served: object, expected: object) -> Check:
    """Passed when both are equal, numbers within a relative 1e-6."""
    difference = _difference(served, expected, "predictions")
    if difference:
        return _failed(name, difference)
    return _passed(name, f"{_count(expected)} equal (relative tolerance {RELATIVE_TOLERANCE:g})")


def predict_offline(model_folder: Path, payload: str) -> object:
    """Predictions of the model loaded here, by the code that MLflow's server answers with.

    Raises whatever the model's libraries raise here, ImportError first.
    """
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import invocations

    model = mlflow.pyfunc.load_model(str(model_folder))
    answer = invocations(payload, "application/json", model, model.metadata.get_input_schema())
    if answer.status != 200:
        raise ValueError(f"the model answers HTTP {answer.status} offline: {answer.response[:200]}")
    return json.loads(answer.response)["predictions"]


def check_refusals(
    endpoint: Endpoint, payload: str, signature_inputs: Sequence[Mapping[str, Any]]
) -> list[Check]:
    """Malformed requests are answered 4xx, not 5xx and not with a prediction."""
    checks = [_refusal("refuses what is not JSON", endpoint, "{not json")]
    name = "refuses wrong columns"
    required = [
        column["name"]
        for column in signature_inputs
        if column.get("name") and column.get("required", True)
    ]
    if not required:
        checks.append(_skipped(name, "the signature requires no named column"))
    else:
        wrong = {"dataframe_split": {"columns": ["no_such_column"], "data": [[0]]}}
        checks.append(_refusal(name, endpoint, json.dumps(wrong)))
    if endpoint.invoke(payload).error:
        checks.append(_failed("still answers after it", "the input example is not answered now"))
    return checks


def check_latency(
    endpoint: Endpoint, payload: str, requests: int, max_p95_ms: float | None
) -> tuple[Check, Latency | None]:
    """p50, p95 and maximum over `requests` requests, one after the other."""
    name = "latency"
    seen_ms: list[float] = []
    for _ in range(requests):
        started = time.perf_counter()
        answer = endpoint.invoke(payload)
        if answer.error:
            return _failed(name, f"after {len(seen_ms)} answers: {answer.error}"), None
        seen_ms.append((time.perf_counter() - started) * 1000)
    seen_ms.sort()
    latency = Latency(
        requests=requests,
        p50_ms=round(_quantile(seen_ms, 0.50), 3),
        p95_ms=round(_quantile(seen_ms, 0.95), 3),
        max_ms=round(seen_ms[-1], 3),
    )
    detail = (
        f"p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, max {latency.max_ms:.1f} ms "
        f"of {requests} requests"
    )
    if max_p95_ms is not None and latency.p95_ms > max_p95_ms:
        return _failed(name, f"{detail}; p95 may be at most {max_p95_ms:g} ms"), latency
    return _passed(name, detail), latency


def skipped(name: str, why: str) -> Check:
    """A check that was not made, and why."""
    return _skipped(name, why)


def _served(variant: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, str | None]:
    """What a variant runs, under the names of the template's parameters; None: not said."""
    container = model.get("PrimaryContainer") or (model.get("Containers") or [{}])[0]
    source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    serverless = variant.get("ServerlessConfig", {})
    return {
        "ModelDataLocation": container.get("ModelDataUrl") or source or "nothing",
        "ContainerImageURI": container.get("Image") or "nothing",
        "EndpointInstanceType": variant.get("InstanceType"),
        "EndpointInstanceCount": _text(variant.get("InitialInstanceCount")),
        "ServerlessMemoryInMB": _text(serverless.get("MemorySizeInMB", 0)),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _refusal(name: str, endpoint: Endpoint, body: str) -> Check:
    answer = endpoint.invoke(body)
    if not answer.error:
        return _failed(name, "it was answered with a prediction")
    if answer.original_status is None:
        return _failed(name, f"no HTTP status came back: {answer.error}")
    if 400 <= answer.original_status < 500:
        return _passed(name, f"HTTP {answer.original_status}")
    return _failed(name, f"HTTP {answer.original_status} instead of 4xx: {answer.error}")


def _difference(served: object, expected: object, where: str) -> str:
    """The first place where the two differ, or an empty string."""
    if isinstance(expected, list) and isinstance(served, list):
        if len(served) != len(expected):
            return f"{where}: {len(served)} served, {len(expected)} expected"
        pairs = (
            _difference(one, other, f"{where}[{index}]")
            for index, (one, other) in enumerate(zip(served, expected, strict=True))
        )
        return next((difference for difference in pairs if difference), "")
    if isinstance(expected, dict) and isinstance(served, dict):
        if set(served) != set(expected):
            return f"{where}: keys {sorted(served)} served, {sorted(expected)} expected"
        pairs = (_difference(served[key], expected[key], f"{where}.{key}") for key in expected)
        return next((difference for difference in pairs if difference), "")
    if _is_number(served) and _is_number(expected):
        if _close(float(served), float(expected)):  # type: ignore[arg-type]
            return ""
    elif isinstance(served, bool) == isinstance(expected, bool) and served == expected:
        return ""
    return f"{where}: {served!r} served, {expected!r} expected"


def _close(served: float, expected: float) -> bool:
    if math.isnan(served) and math.isnan(expected):
        return True
    return math.isclose(served, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=_ABSOLUTE_TOLERANCE)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of ascending values."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _count(predictions: object) -> str:
    count = len(predictions) if isinstance(predictions, list) else 1
    return f"{count} prediction{'s' if count != 1 else ''}"


def _refused(what: str, err: Exception) -> AwsError:
    return AwsError(
        f"AWS refused to {what}: {err}. Check the credentials, the region and the role's "
        "sagemaker:Describe* and sagemaker:InvokeEndpoint permissions."
    )


def _passed(name: str, detail: str) -> Check:
    return Check(name=name, status=PASSED, detail=detail)


def _failed(name: str, detail: str) -> Check:
    return Check(name=name, status=FAILED, detail=detail)


def _skipped(name: str, detail: str) -> Check:
    return Check(name=name, status=SKIPPED, detail=detail)
