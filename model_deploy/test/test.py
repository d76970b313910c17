"""CLI of TestStaging and TestProd: check the endpoint, write the results, then claim the stage.

    staging-config-export.json ─┐
    endpoint-test.json ─────────┴▶ checks ─▶ results.json
                                     └─ all passed ─▶ staging: Staging, prod: Production

No model is loaded and nothing is read from MLflow: what the endpoint must answer stands in the plan
that the build wrote. MLflow is asked last, to move the stage.

Exit codes: 0 passed and moved, 1 a check or the test itself failed, 2 wrong input, 3 AWS refused, 4
passed, but MLflow did not take the move (--unsettled-exit-code): nothing is to be rolled back, 130
interrupted.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_deploy.atomic_write import write_all_or_none
from model_deploy.command_line import set_up_process
from model_deploy.custody import DIGEST_TAG
from model_deploy.endpoint_test_plan import (
    NO_OFFLINE_COMPARISON,
    PLAN_TAG,
    Case,
    EndpointTestPlan,
    Thresholds,
)
from model_deploy.errors import ConfigError, DeployError, Unsettled
from model_deploy.exported_variables import shorten, to_shell
from model_deploy.mlflow_login import find_problem, read_secret_arn
from model_deploy.model_name import encode

if TYPE_CHECKING:
    from model_deploy.approval import Approval
    from model_deploy.mlflow_handler import Evidence, VersionState
    from model_deploy.request_limits import RequestLimit
    from model_deploy.test.endpoint import Endpoint
    from model_deploy.test.endpoint_check import Check
    from model_deploy.test.load import Latency

# By name, as `python -m` calls this module __main__.
logger = logging.getLogger("model_deploy.test.test")

PLAN_FILE = "endpoint-test.json"

_STAGE_OF_NAME = {"staging": "Staging", "prod": "Production"}


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What to check: a stage's exported configuration, what it must answer, and how patiently."""

    plan: EndpointTestPlan
    thresholds: Thresholds
    parameters: Mapping[str, str]
    endpoint_name: str
    stage_name: str
    tracking_uri: str
    credentials_secret: str
    timeout_seconds: float
    poll_seconds: float
    pipeline_execution_id: str
    deployed_by: str
    commit: str
    region: str | None

    @classmethod
    def from_args(cls, args: argparse.Namespace, environment: Mapping[str, str]) -> CheckRequest:
        """Raises ConfigError with everything the configuration or its plan lacks."""
        from model_deploy.stage_config import ExportedConfig

        config = ExportedConfig.from_json(args.import_build_config)
        problems = [
            f"{where}.{name} is missing; is it the file that model_deploy.build wrote?"
            for where, values, names in (
                (
                    "Parameters",
                    config.parameters,
                    ("SageMakerProjectName", "StageName", "ModelDataLocation", "ContainerImageURI"),
                ),
                (
                    "Tags",
                    config.tags,
                    ("mlflow:model-name", "mlflow:model-version", DIGEST_TAG, PLAN_TAG),
                ),
            )
            for name in names
            if not values.get(name)
        ]
        stage_name = config.parameters.get("StageName", "")
        if stage_name and stage_name not in _STAGE_OF_NAME:
            problems.append(
                f"Parameters.StageName is {stage_name!r}; stages are {', '.join(_STAGE_OF_NAME)}"
            )
        tracking_uri = (
            args.tracking_uri
            or environment.get("MLFLOW_TRACKING_URI", "")
            or config.tags.get("mlflow:tracking-uri", "")
        )
        if not tracking_uri:
            problems.append("--tracking-uri is missing: pass it, or set MLFLOW_TRACKING_URI")
        credentials_secret = read_secret_arn(
            args.credentials_secret or environment.get("MLFLOW_CREDENTIALS_SECRET", "")
        )
        problems += [problem for problem in [find_problem(credentials_secret)] if problem]
        if problems:
            raise ConfigError(str(args.import_build_config), problems)
        plan_file = args.import_test_plan or args.import_build_config.with_name(PLAN_FILE)
        plan = EndpointTestPlan.from_json(plan_file, config.tags[PLAN_TAG])
        problems = _contradictions(plan, config.tags, stage_name)
        if problems:
            raise ConfigError(str(plan_file), problems)
        return cls(
            plan=plan,
            thresholds=_thresholds(plan.stages[stage_name], args, config.parameters),
            parameters=config.parameters,
            endpoint_name=f"{config.parameters['SageMakerProjectName']}-{stage_name}",
            stage_name=stage_name,
            tracking_uri=tracking_uri,
            credentials_secret=credentials_secret,
            timeout_seconds=args.timeout_seconds,
            poll_seconds=args.poll_seconds,
            pipeline_execution_id=args.pipeline_execution_id,
            deployed_by=environment.get("CODEBUILD_INITIATOR") or getpass.getuser(),
            commit=environment.get("CODEBUILD_RESOLVED_SOURCE_VERSION", ""),
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
        )


def _contradictions(plan: EndpointTestPlan, tags: Mapping[str, str], stage_name: str) -> list[str]:
    """Why a plan is not the one of a configuration with those tags."""
    problems = [
        f"it is of {what} {planned!r}, the stage configuration of {said!r}; take both from one "
        "build"
        for what, planned, said in (
            ("model", encode(plan.model_name), tags["mlflow:model-name"]),
            ("version", plan.model_version, tags["mlflow:model-version"]),
            ("archive", plan.archive_sha256, tags[DIGEST_TAG]),
        )
        if planned != said
    ]
    if stage_name not in plan.stages:
        problems.append(f"it says nothing of the stage {stage_name!r}")
    return problems


def _thresholds(
    planned: Thresholds, args: argparse.Namespace, parameters: Mapping[str, str]
) -> Thresholds:
    """The stage's own, by the flag if given, and not more requests at a time than are taken."""
    from model_deploy.test.load import concurrency

    given = args.max_p95_latency_ms
    return replace(
        planned,
        max_p95_ms=planned.max_p95_ms if given is None else given,
        concurrent=concurrency(parameters, planned.concurrent),
    )


@dataclass
class Results:
    """What was seen, filled as it is seen, so that it can be written whatever happens.

    `checked` is whether all checks were made. `recorded` says where the expected answers are from.
    `evidence` is what the registry is told of an endpoint that passed; model_deploy.reconcile tells
    it where this test could not.
    """

    endpoint_name: str = ""
    endpoint_arn: str = ""
    stage_name: str = ""
    model_name: str = ""
    model_version: str = ""
    archive_sha256: str = ""
    image: str = ""
    checks: list[Check] = field(default_factory=list)
    checked: bool = False
    thresholds: Thresholds | None = None
    latency: Latency | None = None
    recorded: Mapping[str, Any] = field(default_factory=dict)
    waived: Mapping[str, str] = field(default_factory=dict)
    code_on_load: Sequence[str] = ()
    evidence: Evidence | None = None
    rolled_back_to: str = ""
    registry: VersionState | None = None
    error: str = ""

    @property
    def passed(self) -> bool:
        """Every check was made, waived for a reviewed reason or not applicable, and none failed."""
        return self.checked and all(check.status != "failed" for check in self.checks)

    @property
    def summary(self) -> str:
        """In a few words: `8 checks passed, p95 52 ms`, or what failed."""
        if self.error and not self.passed:
            return f"stopped: {self.error}"
        if not self.checks:
            return "no check was made"
        failed = [check.name for check in self.checks if check.status == "failed"]
        if failed:
            return f"{len(failed)} of {len(self.checks)} checks failed: {', '.join(failed)}"
        count = sum(check.status == "passed" for check in self.checks)
        told = [f"{count} check{'' if count == 1 else 's'} passed"]
        told += [check.detail for check in self.checks if check.status == "waived"]
        told += [
            f"{check.name}: not applicable"
            for check in self.checks
            if check.status == "not applicable"
        ]
        if self.latency:
            told.append(f"p95 {self.latency.p95_ms:.0f} ms")
        if self.error:
            told.append("the stage was not moved")
        return ", ".join(told)

    def add(self, check: Check) -> None:
        """Keep a check, and tell of it."""
        self.checks.append(check)
        level = logging.ERROR if check.status == "failed" else logging.INFO
        logger.log(level, "%s: %s: %s", check.status, check.name, check.detail)

    def add_all(self, checks: Iterable[Check]) -> None:
        """Keep them all."""
        for check in checks:
            self.add(check)

    def to_json(self) -> str:
        """Sorted JSON: checks, latency in ms, whether the stage moved, the registry's state.

        `passed` is of the endpoint alone: with an error it says that the registry was not moved.
        """
        document: dict[str, Any] = {
            **asdict(self),
            "passed": self.passed,
            "summary": self.summary,
            "stage_moved": self.registry is not None,
        }
        return json.dumps(document, indent=2, sort_keys=True) + "\n"

    def to_shell(self) -> str:
        """The lines of --export-variables."""
        return to_shell(
            {
                "TEST_SUMMARY": shorten(self.summary),
                "TESTED_ENDPOINT": shorten(self.endpoint_name),
            }
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code. Results are written whenever the configuration could be read."""
    args = build_parser().parse_args(argv)
    set_up_process(args.log_level)
    results = Results()
    try:
        request = CheckRequest.from_args(args, os.environ)
        # Before the work, so that a place that can not be written is known while nothing moved.
        _write(args, results)
        check_and_move(request, results, lambda: _write(args, results))
        code = 0 if results.passed else 1
    except DeployError as err:
        logger.error("%s", err)
        results.error = str(err)
        code = err.exit_code
        # No later stage comes back to a rollback's registry: it is not to look like a success.
        if isinstance(err, Unsettled) and not results.rolled_back_to:
            code = args.unsettled_exit_code
    except KeyboardInterrupt:
        results.error = "interrupted"
        logger.error(
            "interrupted while the stage moved; run the test again"
            if results.passed
            else "interrupted; no stage was moved"
        )
        code = 130
    except Exception as err:
        # What nobody foresaw: the results tell it too, the traceback says where it happened.
        logger.exception("the test itself failed")
        results.error = f"{type(err).__name__}: {err}"
        code = 1
    try:
        _write(args, results)
    except ConfigError as err:
        logger.error("%s", err)
        return code or err.exit_code
    return code


def _write(args: argparse.Namespace, results: Results) -> None:
    texts = {args.export_test_results: results.to_json()}
    if args.export_variables:
        texts[args.export_variables] = results.to_shell()
    write_all_or_none(texts)


def build_parser() -> argparse.ArgumentParser:
    """The flags, each with its default."""
    parser = argparse.ArgumentParser(
        prog="test-endpoint",
        description="Check a stage's endpoint; when all is well, move the version to that stage.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--import-build-config",
        type=Path,
        required=True,
        metavar="FILE",
        help="the stage's exported configuration (default: none, it must be given)",
    )
    add(
        "--import-test-plan",
        type=Path,
        metavar="FILE",
        help=f"what the endpoint must answer, by the same build; else {PLAN_FILE} beside the "
        "configuration",
    )
    add(
        "--export-test-results",
        type=Path,
        default=Path("test-results.json"),
        metavar="FILE",
        help="results to write",
    )
    add(
        "--export-variables",
        type=Path,
        metavar="FILE",
        help="shell lines to write that export TEST_SUMMARY and TESTED_ENDPOINT",
    )
    add(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="least severe level that is logged on stderr",
    )
    add(
        "--tracking-uri",
        default="",
        help="MLflow's URI; else MLFLOW_TRACKING_URI, else the configuration's tag",
    )
    add(
        "--credentials-secret",
        default="",
        metavar="ARN",
        help="secret with MLflow's user and password, or 'none'; else MLFLOW_CREDENTIALS_SECRET",
    )
    add(
        "--timeout-seconds", type=float, default=1800.0, help="how long it may take to be InService"
    )
    add("--poll-seconds", type=float, default=5.0, help="seconds between two looks at its status")
    add(
        "--max-p95-latency-ms",
        type=float,
        default=None,
        help="a higher p95 fails the check; else what the plan says of the stage",
    )
    add(
        "--pipeline-execution-id",
        default="",
        help="CodePipeline execution to name in the version's tags",
    )
    add(
        "--unsettled-exit-code",
        type=int,
        default=Unsettled.exit_code,
        metavar="CODE",
        help="what to end with when all checks passed and MLflow did not take the move",
    )
    return parser


def check_and_move(
    request: CheckRequest, results: Results, keep: Callable[[], None] = lambda: None
) -> None:
    """Fill `results`; the version's stage moves only when no check failed.

    `keep` is called before the stage moves: whoever dies in it leaves true results.
    Raises Unsettled when all passed and MLflow did not take the move.
    """
    plan = request.plan
    results.endpoint_name = request.endpoint_name
    results.stage_name = request.stage_name
    results.model_name = plan.model_name
    results.model_version = plan.model_version
    results.archive_sha256 = plan.archive_sha256
    results.thresholds = request.thresholds
    results.recorded = plan.recorded
    results.waived = plan.waived
    results.code_on_load = tuple(plan.code_on_load)
    for sentence in plan.code_on_load:
        logger.warning("code on load: %s", sentence)
    _check(request, results)
    results.checked = True
    if not results.passed:
        failed = [check for check in results.checks if check.status == "failed"]
        names = ", ".join(check.name for check in failed)
        logger.error("no stage moved; failed: %s. %s", names, failed[0].detail)
        return
    approval = _approval(request)
    results.rolled_back_to = approval.rolled_back_to
    results.evidence = _evidence(request, results, approval)
    results.error = "the move of the stage was begun, and its end is not known"
    keep()
    results.error = ""
    results.registry = _move(request, results.evidence)


def _move(request: CheckRequest, evidence: Evidence) -> VersionState:
    """The state after the move. Whatever goes wrong here says nothing of the endpoint."""
    from model_deploy.mlflow_handler import MLflowHandler, log_in

    plan = request.plan
    try:
        log_in(request.tracking_uri, request.credentials_secret)
        handler = MLflowHandler(request.tracking_uri, plan.model_name, plan.model_version)
        return handler.move_stage(
            _STAGE_OF_NAME[request.stage_name], evidence, still_serves=lambda: _serves_it(request)
        )
    except Unsettled:
        raise
    except Exception as err:
        if not isinstance(err, DeployError):
            logger.exception("moving the stage failed")
        raise Unsettled(
            f"{request.endpoint_name} passed every check, but version {plan.model_version} of "
            f"{plan.model_name!r} could not be moved to {_STAGE_OF_NAME[request.stage_name]}; "
            "there is nothing to roll back. Run the test again, or `python -m "
            "model_deploy.reconcile --import-build-config FILE --apply`. "
            f"{type(err).__name__}: {err}"
        ) from err


def _serves_it(request: CheckRequest) -> bool:
    """Whether the endpoint still serves what was tested: another deployment may have ended."""
    from model_deploy.test import endpoint_check as checks

    endpoint = _endpoint(request)
    description = endpoint.describe() or {}
    if description.get("EndpointStatus") != "InService":
        return False
    check, _ = checks.check_configuration(endpoint, request.parameters, request.plan.archive_sha256)
    return check.status != checks.FAILED


def _evidence(request: CheckRequest, results: Results, approval: Approval) -> Evidence:
    """What the version is told to have moved for."""
    from model_deploy.mlflow_handler import Evidence

    return Evidence(
        endpoint_arn=results.endpoint_arn,
        pipeline_execution_id=request.pipeline_execution_id,
        deployed_by=request.deployed_by,
        approved_by=approval.approved_by,
        approved_at=approval.approved_at,
        approval_comment=approval.comment,
        commit=request.commit,
        archive_sha256=request.plan.archive_sha256,
        image=results.image,
        test_summary=results.summary,
    )


def _approval(request: CheckRequest) -> Approval:
    import boto3
    from botocore.config import Config

    from model_deploy.approval import Approval, find_approval

    # Staging is tested before anybody approves.
    if not request.pipeline_execution_id or request.stage_name != "prod":
        return Approval()
    quick = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 3})
    client = boto3.client("codepipeline", region_name=request.region, config=quick)
    return find_approval(client, request.deployed_by, request.pipeline_execution_id)


def _check(request: CheckRequest, results: Results) -> None:
    from model_deploy.request_limits import RequestLimit
    from model_deploy.test import endpoint_check as checks
    from model_deploy.test import load, raw_rows

    plan = request.plan
    endpoint = _endpoint(request)
    in_service = checks.check_in_service(endpoint, request.timeout_seconds, request.poll_seconds)
    results.add(in_service)
    if in_service.status == checks.FAILED:
        return
    results.endpoint_arn = (endpoint.describe() or {}).get("EndpointArn", "")
    configuration, results.image = checks.check_configuration(
        endpoint, request.parameters, plan.archive_sha256
    )
    results.add(configuration)
    results.add(_check_archive(request))
    answered, expected = checks.check_cases(endpoint, plan)
    results.add_all(answered)
    limit = RequestLimit.of(request.parameters)
    if plan.raw_rows is not None:
        results.add_all(raw_rows.check_raw_rows(endpoint, plan.raw_rows, limit))
    asked, answer = _repeated_request(endpoint, plan, expected, limit)
    results.add_all(checks.check_refusals(endpoint, asked, plan.inputs))
    if asked is None:
        results.add(checks.failed(load.EVERY_REQUEST, "there is no request that could be sent"))
        return
    judged, results.latency = load.check_load(endpoint, asked, answer, request.thresholds)
    results.add_all(judged)


def _check_archive(request: CheckRequest) -> Check:
    """What a new instance would load is what was built, not what now lies at its address."""
    from model_deploy.custody import inspect_archive, s3_client
    from model_deploy.test.endpoint_check import failed, passed

    name = "its archive is the one that was built"
    location, sha256 = request.parameters["ModelDataLocation"], request.plan.archive_sha256
    custody = inspect_archive(s3_client(request.region), location, sha256)
    if custody.problem:
        return failed(name, custody.problem)
    return passed(name, f"SHA-256 {sha256[:12]}..., {custody.size_bytes:,} bytes")


def _repeated_request(
    endpoint: Endpoint, plan: EndpointTestPlan, expected: Sequence[Any], limit: RequestLimit
) -> tuple[Case | None, Any]:
    """What is asked many times, the first case or else a raw row, and what it must be answered."""
    from model_deploy.test import raw_rows

    if plan.cases:
        return plan.cases[0], expected[0]
    row = raw_rows.first_row(plan.raw_rows, limit) if plan.raw_rows is not None else None
    if row is None or NO_OFFLINE_COMPARISON in plan.waived:
        return row, None
    return row, endpoint.invoke(row.body).document


def _endpoint(request: CheckRequest) -> Endpoint:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    from model_deploy.errors import AwsError
    from model_deploy.test.endpoint import Endpoint

    retries = {"max_attempts": 3, "mode": "standard"}
    try:
        return Endpoint(
            name=request.endpoint_name,
            sagemaker=boto3.client(
                "sagemaker",
                region_name=request.region,
                config=Config(connect_timeout=5, read_timeout=30, retries=retries),
            ),
            # SageMaker itself gives a container 60 seconds. A repeated request would hide the one
            # that failed.
            runtime=boto3.client(
                "sagemaker-runtime",
                region_name=request.region,
                config=Config(
                    connect_timeout=5,
                    read_timeout=65,
                    retries={"total_max_attempts": 1},
                    max_pool_connections=max(10, request.thresholds.concurrent),
                ),
            ),
        )
    except BotoCoreError as err:
        raise AwsError(f"no AWS client: {err}. Set AWS_REGION.") from err


if __name__ == "__main__":
    sys.exit(main())
