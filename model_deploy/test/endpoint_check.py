"""What a deployed endpoint must show before its version may claim a stage. Each check is a `Check`.

    in service ─▶ serves what was asked for ─▶ answers the input example, and as recorded
      ─▶ answers raw rows as offline (raw_rows) ─▶ refuses what is malformed
      ─▶ answers every request, and quickly enough (load)

A check that could not be made has failed, unless a reviewed file waives it by name. AWS refusing us
is an AwsError instead: it says nothing about the endpoint.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_deploy.endpoint_test_plan import NO_OFFLINE_COMPARISON, Case, EndpointTestPlan
from model_deploy.exported_variables import shorten
from model_deploy.test.answers import (
    RELATIVE_TOLERANCE,
    NotStrictJson,
    count_predictions,
    find_difference_of_answers,
    predictions_of,
    read_answer,
)
from model_deploy.test.endpoint import Answer, Endpoint, refused

logger = logging.getLogger(__name__)

PASSED = "passed"
FAILED = "failed"
WAIVED = "waived"
NOT_APPLICABLE = "not applicable"

EXAMPLE = "answers the input example"
AS_RECORDED = "answers as recorded"

# Of a waiver, so that an approval's message keeps the rest; the plan has it whole.
_LONGEST_REASON = 80
_IN_TRANSITION = ("Creating", "Updating", "SystemUpdating", "RollingBack")
# How MLflow's server tells of a model that raised; a refusal by the schema has neither.
_CRASH_WORDS = ('"stack_trace"', "unexpected error while evaluating the model")


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was checked, how it ended, and what was seen.

    "passed", "failed", "waived" (not made, for a reviewed reason) or "not applicable" (nothing is
    promised that could be checked).
    """

    name: str
    status: str
    detail: str


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


def check_configuration(
    endpoint: Endpoint, parameters: Mapping[str, str], archive_sha256: str
) -> tuple[Check, str]:
    """The archive, image and hardware that serve are those of the build's configuration.

    Also the image as it is served: the address with the digest to which AWS resolved it, or the one
    of the model where AWS tells no other. An endpoint update can roll back, and the endpoint is
    InService with what it had before.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    name = "serves the configuration asked for"
    description = endpoint.describe()
    if description is None:
        return failed(name, f"there is no endpoint {endpoint.name!r}"), ""
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
        served = _served(variant, model)
        for setting, value in served.items():
            wanted = parameters.get(setting)
            if wanted is not None and value is not None and value != wanted:
                differences.append(f"{setting}: serving {value}, asked for {wanted}")
        if archive_sha256 not in str(served["ModelDataLocation"]).split("/"):
            differences.append(f"the archive is not the one of SHA-256 {archive_sha256}")
    image = _resolved_image(description) or str(_served(variants[0], models[0])[_IMAGE])
    if differences:
        return failed(
            name,
            f"endpoint configuration {config_name} is another one (did the update roll back?): "
            + "; ".join(differences),
        ), image
    return passed(
        name,
        f"endpoint configuration {config_name}, model {models[0]['ModelName']}, image {image}",
    ), image


def check_cases(
    endpoint: Endpoint, plan: EndpointTestPlan
) -> tuple[list[Check], Sequence[Any | None]]:
    """The plan's cases are answered, and as recorded; also what the first one must be answered.

    That is the recorded document of each case, else the served one; None where there is neither,
    or where answers are known to differ from one time to the next.
    """
    if not plan.cases:
        return [_without_cases(plan)], []
    answers = [endpoint.invoke(case.body, case.content_type) for case in plan.cases]
    checks = [_check_example(answers[0])]
    # Raw rows say more of the model than its example, whose answer then needs no recording.
    first = 1 if plan.raw_rows is not None and plan.cases[0].answer is None else 0
    if plan.cases[first:]:
        checks.append(_check_recorded(plan.cases[first:], answers[first:], plan.waived))
    expected = [_expected(*pair, plan) for pair in zip(plan.cases, answers, strict=True)]
    return checks, expected


def check_refusals(
    endpoint: Endpoint, case: Case | None, signature_inputs: Sequence[Mapping[str, Any]]
) -> list[Check]:
    """Malformed requests are refused: 4xx, and neither a prediction nor a crash of the model.

    `case` is asked once more afterwards.
    """
    checks = [_refusal("refuses what is not JSON", endpoint, "{not json")]
    name = "refuses wrong columns"
    wrong = wrong_request(signature_inputs)
    if wrong is None:
        checks.append(not_applicable(name, "the signature requires nothing that could be missing"))
    else:
        checks.append(_refusal(name, endpoint, wrong))
    if case is not None and endpoint.invoke(case.body, case.content_type).error:
        checks.append(failed("still answers after it", f"{case.name} is not answered now"))
    return checks


def wrong_request(signature_inputs: Sequence[Mapping[str, Any]]) -> str | None:
    """A request that a signature must refuse: none of its columns, or tensors of another shape.

    None for a signature that every request satisfies.
    """
    required = [each for each in signature_inputs if each.get("required", True)]
    if not required:
        return None
    named = any(each.get("name") for each in signature_inputs)
    if required[0].get("type") != "tensor":
        columns, row = (["no_such_column"], [0]) if named else ([], [])
        return json.dumps({"dataframe_split": {"columns": columns, "data": [row]}})
    if named:
        return json.dumps({"inputs": {"no_such_tensor": [[0]]}})
    content: Any = 0
    for _ in range(len(required[0].get("tensor-spec", {}).get("shape", ())) + 1):
        content = [content]
    return json.dumps({"inputs": content})


def passed(name: str, detail: str) -> Check:
    """A check that was made, and what was seen."""
    return Check(name=name, status=PASSED, detail=detail)


def failed(name: str, detail: str) -> Check:
    """A check that was made and found something wrong, or that could not be made."""
    return Check(name=name, status=FAILED, detail=detail)


def waived(name: str, reason: str) -> Check:
    """A check that can't be made, and why that was accepted by a reviewed file."""
    return Check(name=name, status=WAIVED, detail=reason)


def not_applicable(name: str, detail: str) -> Check:
    """A check of what nobody promised, and why there is nothing to check."""
    return Check(name=name, status=NOT_APPLICABLE, detail=detail)


_IMAGE = "ContainerImageURI"


def _served(variant: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, str | None]:
    """What a variant runs, under the names of the template's parameters; None: not said."""
    container = model.get("PrimaryContainer") or (model.get("Containers") or [{}])[0]
    source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
    serverless = variant.get("ServerlessConfig", {})
    return {
        "ModelDataLocation": container.get("ModelDataUrl") or source or "nothing",
        _IMAGE: container.get("Image") or "nothing",
        "EndpointInstanceType": variant.get("InstanceType"),
        "EndpointInstanceCount": _text(variant.get("InitialInstanceCount")),
        "ServerlessMemoryInMB": _text(serverless.get("MemorySizeInMB", 0)),
    }


def _resolved_image(description: Mapping[str, Any]) -> str:
    """The image of the endpoint's first variant by digest, where AWS tells it."""
    for variant in description.get("ProductionVariants", ()):
        for image in variant.get("DeployedImages", ()):
            if image.get("ResolvedImage"):
                return str(image["ResolvedImage"])
    return ""


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _without_cases(plan: EndpointTestPlan) -> Check:
    if plan.raw_rows is not None:
        return not_applicable(EXAMPLE, "the model has none; its raw rows are compared")
    return failed(EXAMPLE, "neither an input example nor raw rows are recorded: nothing to ask")


def _check_example(answer: Answer) -> Check:
    if answer.error:
        return failed(EXAMPLE, answer.error)
    if predictions_of(answer.document) in ([], {}, None, ""):
        return failed(EXAMPLE, "the answer holds no prediction")
    return passed(EXAMPLE, f"{count_predictions(answer.document)} answered")


def _check_recorded(
    cases: Sequence[Case], answers: Sequence[Answer], waivers: Mapping[str, str]
) -> Check:
    unrecorded = [case.name for case in cases if case.answer is None]
    differences = list(_differences(cases, answers))
    if differences:
        return failed(
            AS_RECORDED, f"{differences[0]}; {len(differences)} of {len(cases)} cases differ"
        )
    if unrecorded and NO_OFFLINE_COMPARISON in waivers:
        reason = shorten(waivers[NO_OFFLINE_COMPARISON], _LONGEST_REASON)
        return waived(AS_RECORDED, f"no offline comparison: {reason}")
    if unrecorded:
        return failed(
            AS_RECORDED,
            f"not compared: no answer was recorded for {unrecorded[0]}"
            + (f" and {len(unrecorded) - 1} more" if unrecorded[1:] else ""),
        )
    answered = [answer for answer in answers if not answer.error]
    refusals = len(answers) - len(answered)
    predictions = sum(
        int(count_predictions(answer.document).partition(" ")[0]) for answer in answered
    )
    return passed(
        AS_RECORDED,
        f"{len(cases)} case{'' if len(cases) == 1 else 's'}, {predictions} "
        f"prediction{'' if predictions == 1 else 's'} equal (relative tolerance "
        f"{RELATIVE_TOLERANCE:g})" + (f", {refusals} refused as recorded" if refusals else ""),
    )


def _differences(cases: Sequence[Case], answers: Sequence[Answer]) -> Iterator[str]:
    """A sentence for each case with a recorded answer that is answered otherwise."""
    for case, answer in zip(cases, answers, strict=True):
        if case.answer is None:
            if answer.error:
                yield f"{case.name}: {answer.error}"
            continue
        difference = _difference(case.answer, case, answer)
        if difference:
            yield f"{case.name}: {difference}"


def _difference(recorded: str, case: Case, answer: Answer) -> str:
    if case.status != 200:
        return _difference_of_refusal(case.status, answer)
    try:
        expected = read_answer(recorded)
    except NotStrictJson as err:
        return f"the recorded answer is no JSON: {err}"
    return answer.error or find_difference_of_answers(answer.document, expected)


def _difference_of_refusal(status: int, answer: Answer) -> str:
    """The model refused that request when it was recorded; the refusal's words may differ."""
    if not answer.error:
        return f"answered with a prediction, HTTP {status} expected"
    if answer.original_status != status:
        return f"HTTP {answer.original_status} served, {status} expected: {answer.error}"
    if _is_crash(answer):
        told = answer.original_message or answer.error
        return f"HTTP {status}, but by a crash of the model, not by its schema: {told}"
    return ""


def _is_crash(answer: Answer) -> bool:
    return any(words in f"{answer.original_message} {answer.error}" for words in _CRASH_WORDS)


def _expected(case: Case, answer: Answer, plan: EndpointTestPlan) -> Any | None:
    if case.answer is None:
        # A model that answers another thing each time is the usual reason for a waiver.
        return None if NO_OFFLINE_COMPARISON in plan.waived else answer.document
    if case.status != 200:
        return None
    try:
        return read_answer(case.answer)
    except NotStrictJson:
        return None


def _refusal(name: str, endpoint: Endpoint, body: str) -> Check:
    answer = endpoint.invoke(body)
    if not answer.error:
        return failed(name, "it was answered with a prediction")
    if answer.original_status is None:
        return failed(name, f"no HTTP status came back: {answer.error}")
    if not 400 <= answer.original_status < 500:
        return failed(name, f"HTTP {answer.original_status} instead of 4xx: {answer.error}")
    if _is_crash(answer):
        return failed(
            name,
            f"HTTP {answer.original_status}, but by a crash of the model, not by its schema: "
            f"{answer.original_message or answer.error}",
        )
    return passed(name, f"HTTP {answer.original_status}")
