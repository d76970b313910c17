"""The parameters by which the stacks find each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infra.doctor.finding import Finding, failed, ok
from infra.doctor.patient import Patient
from infra.stacks import IMAGES, MANAGED, MLFLOW, NETWORK


@dataclass(frozen=True, kw_only=True)
class _Parameter:
    name: str
    form: str  # a regular expression of the whole value
    by_stack: str
    remedy: str


def _of_network(name: str, form: str) -> _Parameter:
    return _Parameter(
        name=f"network/{name}",
        form=form,
        by_stack=NETWORK.name,
        remedy="mlops-infra deploy --stack network",
    )


def _of_mlflow(name: str, form: str) -> _Parameter:
    return _Parameter(
        name=name,
        form=form,
        by_stack=f"{MLFLOW.name} or {MANAGED.name}",
        remedy="mlops-infra deploy --stack mlflow (or mlflow-managed)",
    )


def _of_images(name: str) -> _Parameter:
    return _Parameter(
        name=f"images/{name}",
        form=r"\d{12}\.dkr\.ecr\..+/.+",
        by_stack=f"the build sagemaker-mlflow-{name}-image of {IMAGES.name}",
        remedy="mlops-infra deploy --stack images, which builds it if it is missing",
    )


_ARN = r"arn:aws[a-z-]*:{}:.+"
_PARAMETERS = (
    _of_network("vpc-id", r"vpc-\w+"),
    _of_network("private-subnet-ids", r"subnet-\w+(,subnet-\w+)*"),
    _of_images("server"),
    _of_images("inference"),
    _of_mlflow("tracking-uri", r"https?://\S+|arn:aws[a-z-]*:sagemaker:\S+"),
    _of_mlflow("reader-policy-arn", _ARN.format("iam")),
    _of_mlflow("writer-policy-arn", _ARN.format("iam")),
    _of_mlflow("key-arn", _ARN.format("kms")),
    _of_mlflow("client-security-group-id", r"sg-\w+"),
    _of_mlflow("credentials-secret", r"none|arn:aws[a-z-]*:secretsmanager:\S+"),
)


def check(patient: Patient) -> Iterator[Finding]:
    """Each parameter under /sagemaker-mlflow/ is there and looks like what it should hold.

    A missing one names the stack or build that publishes it. The server's image is asked for only
    where MLflow is, or is to be, a stack of this account.
    """
    values = patient.account.parameters()
    if not values:
        yield failed(
            f"nothing under /sagemaker-mlflow/ in {patient.account.region}",
            "mlops-infra deploy --size single-user, or export AWS_REGION=... where it was deployed",
        )
        return
    needless = () if patient.runs_own_server() else ("images/server",)
    yield from judge(values, needless)


def judge(values: Mapping[str, str], needless: tuple[str, ...] = ()) -> list[Finding]:
    """The missing and the misshapen; one line if there are none."""
    wanted = [parameter for parameter in _PARAMETERS if parameter.name not in needless]
    findings = []
    for parameter in wanted:
        value, name = values.get(parameter.name), f"/sagemaker-mlflow/{parameter.name}"
        if value is None:
            text = f"{name} is missing; it is published by {parameter.by_stack}"
            findings.append(failed(text, parameter.remedy))
        elif not re.fullmatch(parameter.form, value):
            text = f"{name} holds {value!r}, which is not of the form {parameter.form}"
            findings.append(failed(text, parameter.remedy))
    return findings or [ok(f"all {len(wanted)} parameters under /sagemaker-mlflow/ are there")]
