"""The quotas of the instance types that jobs and endpoints use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.platform.doctor.finding import Finding, failed, ok, warning
from mlops.platform.doctor.patient import Patient
from mlops.platform.templates import parse_template
from model_build.config import BuildConfig

_STAGE_CONFIGS = Path(__file__).parents[4] / "model_deploy"


@dataclass(frozen=True, kw_only=True)
class Need:
    """So many instances at once, under the name that Service Quotas gives to the quota."""

    quota: str
    instances: int
    purpose: str


@dataclass(frozen=True, kw_only=True)
class Quota:
    """An applied quota."""

    code: str
    value: float


def check(patient: Patient) -> Iterator[Finding]:
    """The account may run the instance types of jobs and endpoints: applied quotas, not defaults.

    New accounts have 0 of many types. The types are model_build's defaults and what the stages'
    configurations in model_deploy/ ask for; during an update an endpoint runs twice.
    """
    needs = find_needs(_stage_parameters(_STAGE_CONFIGS))
    quotas = _fetch(patient, {need.quota for need in needs})
    yield from judge(needs, quotas)


def find_needs(stages: Sequence[Mapping[str, Any]]) -> list[Need]:
    """What the jobs and these stages need at once."""
    needs = [
        Need(
            quota=f"{BuildConfig.processing_instance_type} for processing job usage",
            instances=1,
            purpose="PrepareData",
        ),
        Need(
            quota=f"{BuildConfig.training_instance_type} for training job usage",
            instances=1,
            purpose="TrainEvaluateRegister",
        ),
    ]
    counts: dict[str, list[int]] = {}
    for stage in stages:
        if str(stage.get("ServerlessMemoryInMB", "0")) in ("", "0"):
            kind = str(stage.get("EndpointInstanceType") or _endpoint_type())
            counts.setdefault(kind, []).append(int(stage.get("EndpointInstanceCount") or 1))
    for kind, running in counts.items():
        needs.append(
            Need(
                quota=f"{kind} for endpoint usage",
                instances=sum(running) + max(running),
                purpose="staging and prod, and the one being replaced"
                if len(running) > 1
                else "the endpoint, and the one it replaces",
            )
        )
    return needs


def judge(needs: Sequence[Need], quotas: Mapping[str, Quota]) -> list[Finding]:
    """A quota of 0 fails, one below the need warns, an unknown one warns."""
    findings = []
    for need in needs:
        quota = quotas.get(need.quota)
        if quota is None:
            findings.append(
                warning(
                    f"Service Quotas knows no applied value of {need.quota!r}",
                    "aws service-quotas list-aws-default-service-quotas --service-code sagemaker "
                    f"--query \"Quotas[?QuotaName=='{need.quota}'].[QuotaCode,Value]\"",
                )
            )
            continue
        text = f"{need.quota}: {quota.value:g}; {need.instances} needed ({need.purpose})"
        remedy = (
            "aws service-quotas request-service-quota-increase --service-code sagemaker "
            f"--quota-code {quota.code} --desired-value {need.instances}"
        )
        if quota.value < 1:
            findings.append(failed(text, remedy))
        elif quota.value < need.instances:
            findings.append(warning(text, remedy))
    good = len(needs) - len(findings)
    if good:
        findings.append(ok(f"{good} of {len(needs)} quotas for instances suffice"))
    return findings


def _stage_parameters(folder: Path) -> list[Mapping[str, Any]]:
    """Of both stages; the template's defaults where the unit is not in this tree."""
    found: list[Mapping[str, Any]] = []
    for stage in ("staging", "prod"):
        file = folder / f"{stage}-config.json"
        document = json.loads(file.read_text()) if file.is_file() else {}
        found.append(document.get("Parameters", {}))
    return found


def _fetch(patient: Patient, names: set[str]) -> dict[str, Quota]:
    """The wanted ones among SageMaker's thousands, which come by the hundred."""
    pages = patient.account.client("service-quotas").get_paginator("list_service_quotas")
    found: dict[str, Quota] = {}
    for number, page in enumerate(pages.paginate(ServiceCode="sagemaker"), start=1):
        patient.say(f"page {number} of SageMaker's quotas")
        for quota in page["Quotas"]:
            if quota["QuotaName"] in names and "Value" in quota:
                found[quota["QuotaName"]] = Quota(code=quota["QuotaCode"], value=quota["Value"])
        if set(found) == names:
            break
    return found


def _endpoint_type() -> str:
    """The default of model_deploy's template."""
    template = parse_template((_STAGE_CONFIGS / "endpoint-config-template.yml").read_text())
    return str(template.parameters["EndpointInstanceType"]["Default"])
