"""A version's test plan: its requests, its answers offline, each stage's thresholds.

raw_rows.json of its run (trained by this project)       ─┐
or: its input example and cases, answered by the model    ├─▶ EndpointTestPlan
    in its own environment (recorded_answers)             │
or: nothing, for a reason that deploy.json gives         ─┘
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_deploy.deploy_request import DeployRequest
from model_deploy.endpoint_test_plan import EndpointTestPlan
from model_deploy.errors import ModelNotDeployable
from model_deploy.model_name import encode
from model_deploy.raw_rows import FILE, MalformedRawRows, RawRows
from model_deploy.request_limits import RequestLimit
from model_deploy.stage_config import StageConfig

if TYPE_CHECKING:
    from model_deploy.mlflow_handler import MLflowHandler


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What the build knows; `parameters` are each stage's in effect, in the order of `stages`."""

    version: str
    archive_sha256: str
    wanted: DeployRequest
    code_on_load: Sequence[str]
    cases_folder: Path
    stages: Sequence[StageConfig]
    parameters: Sequence[Mapping[str, str]]


def make_plan(
    request: PlanRequest, handler: MLflowHandler, model_folder: Path, scratch: Path
) -> EndpointTestPlan:
    """Raises ModelNotDeployable where the model can't answer its own requests, and what is raised
    by reading the registry, the cases, or making the model's environment.
    """
    import yaml

    from model_deploy.recorded_answers.recording import make_plan_parts

    limits = [RequestLimit.of(parameters) for parameters in request.parameters]
    raw_rows = _read_raw_rows(handler, request, scratch / "run")
    parts = make_plan_parts(
        model_folder,
        cases_folder=request.cases_folder / encode(request.wanted.model_name),
        limit=min(limits, key=lambda limit: limit.size),
        has_raw_rows=raw_rows is not None,
        accept=request.wanted.accept,
        scratch=scratch,
        model=f"version {request.version} of {request.wanted.model_name!r}",
    )
    description = yaml.safe_load((model_folder / "MLmodel").read_text(encoding="utf-8"))
    return EndpointTestPlan(
        model_name=request.wanted.model_name,
        model_version=request.version,
        archive_sha256=request.archive_sha256,
        inputs=json.loads((description.get("signature") or {}).get("inputs") or "[]"),
        cases=parts.cases,
        raw_rows=raw_rows,
        recorded=parts.recorded,
        waived=parts.waived,
        code_on_load=request.code_on_load,
        stages={
            stage.stage: stage.thresholds(float(parameters["LatencyThresholdInMs"]))
            for stage, parameters in zip(request.stages, request.parameters, strict=True)
        },
    )


def _read_raw_rows(
    handler: MLflowHandler, request: PlanRequest, scratch: Path
) -> Mapping[str, Any] | None:
    """As the training left them with the version's run, found good."""
    path = handler.fetch_run_file(FILE, scratch)
    if path is None:
        return None
    what = f"version {request.version} of {request.wanted.model_name!r}"
    try:
        document: Mapping[str, Any] = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as err:
        raise ModelNotDeployable(what, [f"{FILE} of the model's run is not JSON: {err}"]) from err
    try:
        RawRows.from_document(document)
    except MalformedRawRows as err:
        raise ModelNotDeployable(what, [str(err)]) from err
    return document
