"""What a deployed endpoint must show before its version may claim a stage. Each check is a `Check`.

    in service ─▶ serves the configuration asked for ─▶ answers the input example
      ─▶ answers raw rows as offline (raw_rows) ─▶ refuses what is malformed ─▶ is quick enough

A check that could not be made says why and is `skipped`. AWS refusing us is an AwsError instead: it
says nothing about the endpoint.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deploy.test.endpoint import Endpoint, refused

logger = logging.getLogger(__name__)

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"

RELATIVE_TOLERANCE = 1e-6
_ABSOLUTE_TOLERANCE = 1e-9
_IN_TRANSITION = ("Creating", "Updating", "SystemUpdating", "RollingBack")


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


def check_in_service(endpoint: Endpoint, timeout_seconds: float, poll_seconds: float) -> Check:
    """Wait until the endpoint is InService; anything else it settles in, or the timeout, fails."""
    name = "endpoint in service"
    started = time.monotonic()
    last_status = ""
    while True:
        description = endpoint.describe()
        if description is None:
            return failed(name, f"there is no endpoint {endpoint.name!r}; deploy its stack first")
        status = description["EndpointStatus"]
        waited = time.monotonic() - started
        if status != last_status:
            logger.info("endpoint %s is %s (%.0f s)", endpoint.name, status, waited)
            last_status = status
        if status == "InService":
            return passed(name, f"{endpoint.name} is InService")
        if status not in _IN_TRANSITION:
            reason = description.get("FailureReason", "no reason given")
            return failed(name, f"{endpoint.name} is {status}: {reason}")
        if waited >= timeout_seconds:
            return failed(
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
        return failed(name, f"there is no endpoint {endpoint.name!r}")
    config_name = description["EndpointConfigName"]
    try:
        config = endpoint.sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
        variants = config["ProductionVariants"]
        models = [
            endpoint.sagemaker.describe_model(ModelName=variant["ModelName"])
            for variant in variants
        ]
    except (ClientError, BotoCoreError) as err:
        raise refused(f"describe what endpoint {endpoint.name!r} serves", err) from err
    differences: list[str] = []
    for variant, model in zip(variants, models, strict=True):
        for setting, served in _served(variant, model).items():
            wanted = parameters.get(setting)
            if wanted is not None and served is not None and served != wanted:
                differences.append(f"{setting}: serving {served}, asked for {wanted}")
    if differences:
        return failed(
            name,
            f"endpoint configuration {config_name} is another one (did the update roll back?): "
            + "; ".join(differences),
        )
    return passed(name, f"endpoint configuration {config_name}, model {models[0]['ModelName']}")


def check_input_example(
    endpoint: Endpoint, payload: str, limited_to: str = ""
) -> tuple[Check, Any]:
    """The model's own input example is answered with a prediction; also that prediction.

    `limited_to` tells which of its rows `payload` holds, if not all.
    """
    name = "answers the input example"
    answer = endpoint.invoke(payload)
    if answer.error:
        return failed(name, answer.error), None
    if answer.predictions in ([], {}, None):
        return failed(name, "the answer holds no prediction"), None
    told = f"{_count(answer.predictions)} answered" + (f"; {limited_to}" if limited_to else "")
    return passed(name, told), answer.predictions


def compare_predictions(name: str, served: object, expected: object) -> Check:
    """Passed when both are equal, numbers within a relative 1e-6 unless both are integers."""
    difference = find_difference(served, expected, "predictions")
    if difference:
        return failed(name, difference)
    return passed(name, f"{_count(expected)} equal (relative tolerance {RELATIVE_TOLERANCE:g})")


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


def find_difference(served: object, expected: object, where: str) -> str:
    """The first place where the two differ, or an empty string.

    Integers, which may be labels, are compared exactly.
    """
    if isinstance(expected, list) and isinstance(served, list):
        if len(served) != len(expected):
            return f"{where}: {len(served)} served, {len(expected)} expected"
        pairs = (
            find_difference(one, other, f"{where}[{index}]")
            for index, (one, other) in enumerate(zip(served, expected, strict=True))
        )
        return next((difference for difference in pairs if difference), "")
    if isinstance(expected, dict) and isinstance(served, dict):
        if set(served) != set(expected):
            return f"{where}: keys {sorted(served)} served, {sorted(expected)} expected"
        pairs = (find_difference(served[key], expected[key], f"{where}.{key}") for key in expected)
        return next((difference for difference in pairs if difference), "")
    if _is_number(served) and _is_number(expected) and float in (type(served), type(expected)):
        # An integer may be too large for a float: then they differ.
        with contextlib.suppress(OverflowError):
            if _close(float(served), float(expected)):  # type: ignore[arg-type]
                return ""
    elif are_same(served, expected):
        return ""
    return f"{where}: {served!r} served, {expected!r} expected"


def are_same(served: object, expected: object) -> bool:
    """Whether both are one value: no tolerance, and true is not 1."""
    return isinstance(served, bool) == isinstance(expected, bool) and served == expected


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
        checks.append(skipped(name, "the signature requires no named column"))
    else:
        wrong = {"dataframe_split": {"columns": ["no_such_column"], "data": [[0]]}}
        checks.append(_refusal(name, endpoint, json.dumps(wrong)))
    if endpoint.invoke(payload).error:
        checks.append(failed("still answers after it", "the input example is not answered now"))
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
            return failed(name, f"after {len(seen_ms)} answers: {answer.error}"), None
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
        return failed(name, f"{detail}; p95 may be at most {max_p95_ms:g} ms"), latency
    return passed(name, detail), latency


def passed(name: str, detail: str) -> Check:
    """A check that was made, and what was seen."""
    return Check(name=name, status=PASSED, detail=detail)


def failed(name: str, detail: str) -> Check:
    """A check that was made, and what was wrong."""
    return Check(name=name, status=FAILED, detail=detail)


def skipped(name: str, detail: str) -> Check:
    """A check that was not made, and why."""
    return Check(name=name, status=SKIPPED, detail=detail)


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
        return failed(name, "it was answered with a prediction")
    if answer.original_status is None:
        return failed(name, f"no HTTP status came back: {answer.error}")
    if 400 <= answer.original_status < 500:
        return passed(name, f"HTTP {answer.original_status}")
    return failed(name, f"HTTP {answer.original_status} instead of 4xx: {answer.error}")


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
