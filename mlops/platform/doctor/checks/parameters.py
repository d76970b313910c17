"""The parameters by which the stacks find each other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from mlops.platform.doctor.finding import Finding, failed, ok
from mlops.platform.doctor.patient import Patient
from mlops.platform.stacks import IMAGES, MANAGED, MLFLOW, NETWORK, DeployedStack, StackKind


@dataclass(frozen=True, kw_only=True)
class _Parameter:
    name: str
    form: str  # a regular expression of the whole value
    by: tuple[StackKind, ...]  # one of them publishes it
    output: str = ""  # of the stack, with the same value
    kind: str = "String"


def _of_network(name: str, form: str, output: str, kind: str = "StringList") -> _Parameter:
    return _Parameter(name=f"network/{name}", form=form, by=(NETWORK,), output=output, kind=kind)


def _of_mlflow(name: str, form: str, output: str = "") -> _Parameter:
    return _Parameter(name=name, form=form, by=(MLFLOW, MANAGED), output=output)


def _of_images(name: str) -> _Parameter:
    return _Parameter(name=f"images/{name}", form=r"\d{12}\.dkr\.ecr\..+/.+", by=(IMAGES,))


_SUBNETS = r"subnet-\w+(,subnet-\w+)*"
_ARN = r"arn:aws[a-z-]*:{}:\S+"
_PARAMETERS = (
    _of_network("vpc-id", r"vpc-\w+", "VpcId", "String"),
    _of_network("private-subnet-ids", _SUBNETS, "PrivateSubnetIds"),
    _of_network("public-subnet-ids", f"none|{_SUBNETS}", "PublicSubnetIds"),
    _of_images("server"),
    _of_images("inference"),
    _of_mlflow("tracking-uri", rf"https?://\S+|{_ARN.format('sagemaker')}", "TrackingUri"),
    _of_mlflow("reader-policy-arn", _ARN.format("iam")),
    _of_mlflow("writer-policy-arn", _ARN.format("iam")),
    _of_mlflow("key-arn", _ARN.format("kms"), "KeyArn"),
    _of_mlflow("client-security-group-id", r"sg-\w+", "ClientSecurityGroupId"),
    _of_mlflow("credentials-secret", rf"none|{_ARN.format('secretsmanager')}", "ClientSecretArn"),
)
# Only mlflow.yml reads them.
_FOR_OWN_SERVER = frozenset({"network/public-subnet-ids", "images/server"})


def check(patient: Patient) -> Iterator[Finding]:
    """Each parameter under /sagemaker-mlflow/ is there and looks like what it should hold.

    A missing one names the stack or build that publishes it. What only mlflow.yml reads is asked
    for only where MLflow is, or is to be, a stack of this account.
    """
    values = patient.account.parameters()
    if not values:
        yield failed(
            f"nothing under /sagemaker-mlflow/ in {patient.account.region}",
            "`mlops platform deploy --size single-user`, or AWS_REGION=... where it was deployed",
        )
        return
    needless = () if patient.runs_own_server() else _FOR_OWN_SERVER
    yield from judge(values, patient.account.stacks(), needless)


def judge(
    values: Mapping[str, str],
    stacks: Mapping[str, DeployedStack],
    needless: Collection[str] = (),
) -> list[Finding]:
    """The missing and the misshapen; one line if there are none."""
    wanted = [parameter for parameter in _PARAMETERS if parameter.name not in needless]
    findings = []
    for parameter in wanted:
        value, name = values.get(parameter.name), f"/sagemaker-mlflow/{parameter.name}"
        publisher = " or ".join(kind.name for kind in parameter.by)
        remedy = _remedy(parameter, stacks)
        if value is None:
            text = f"{name} is missing; the stack {publisher} publishes it"
            findings.append(failed(text, remedy))
        elif not re.fullmatch(parameter.form, value):
            text = f"{name} holds {value!r}, which does not match {parameter.form}"
            findings.append(failed(text, remedy))
    return findings or [ok(f"all {len(wanted)} parameters under /sagemaker-mlflow/ are there")]


def _remedy(parameter: _Parameter, stacks: Mapping[str, DeployedStack]) -> str:
    """CloudFormation does not make again what somebody deleted: that has to be put by hand."""
    if IMAGES in parameter.by:
        return (
            f"`mlops platform deploy --stack {IMAGES.key}`, which builds an image that is missing"
        )
    stack = next((stacks[kind.name] for kind in parameter.by if kind.name in stacks), None)
    if stack is None:
        return " or ".join(f"`mlops platform deploy --stack {kind.key}`" for kind in parameter.by)

    def put(value: str) -> str:
        # The AWS CLI 1 would fetch a --value that begins with https://.
        return (
            "aws ssm put-parameter --cli-input-json "
            f'\'{{"Name": "/sagemaker-mlflow/{parameter.name}", "Type": "{parameter.kind}", '
            f'"Overwrite": true, "Value": "{value}"}}\''
        )

    if parameter.output in stack.outputs:
        return put(stack.outputs[parameter.output])
    if parameter.name == "credentials-secret":
        return put("none")
    return (
        f"`{put('...')}` with what `aws cloudformation describe-stack-resources --stack-name "
        f"{stack.name}` names"
    )
