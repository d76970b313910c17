"""CLI of TestStaging and TestProd: check the endpoint, write the results, then claim the stage.

    staging-config-export.json ─▶ checks ─▶ results.json
                                     └─ all passed ─▶ staging: Staging, prod: Production

Exit codes: 0 passed and moved, 1 a check or the test itself failed, 2 wrong input, 3 AWS or MLflow
refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_deploy.atomic_write import write_all_or_none
from model_deploy.command_line import set_up_process
from model_deploy.errors import ConfigError, DeployError
from model_deploy.exported_variables import shorten, to_shell
from model_deploy.mlflow_login import find_problem, read_secret_arn

if TYPE_CHECKING:
    from model_deploy.mlflow_handler import MLflowHandler, VersionState
    from model_deploy.request_limits import RequestLimit
    from model_deploy.test.endpoint import Endpoint
    from model_deploy.test.endpoint_check import Check, Latency

# By name, as `python -m` calls this module __main__.
logger = logging.getLogger("model_deploy.test.test")

_STAGE_OF_NAME = {"staging": "Staging", "prod": "Production"}


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What to check: a stage's exported configuration, and how patiently."""

    parameters: Mapping[str, str]
    endpoint_name: str
    stage_name: str
    model_name: str
    model_version: str
    tracking_uri: str
    credentials_secret: str
    timeout_seconds: float
    poll_seconds: float
    latency_requests: int
    max_p95_latency_ms: float | None
    pipeline_execution_id: str
    deployed_by: str
    region: str | None

    @classmethod
    def from_args(cls, args: argparse.Namespace, environment: Mapping[str, str]) -> CheckRequest:
        """Raises ConfigError with everything the configuration lacks."""
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
                ("Tags", config.tags, ("mlflow:model-name", "mlflow:model-version")),
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
        return cls(
            parameters=config.parameters,
            endpoint_name=f"{config.parameters['SageMakerProjectName']}-{stage_name}",
            stage_name=stage_name,
            model_name=config.tags["mlflow:model-name"],
            model_version=config.tags["mlflow:model-version"],
            tracking_uri=tracking_uri,
            credentials_secret=credentials_secret,
            timeout_seconds=args.timeout_seconds,
            poll_seconds=args.poll_seconds,
            latency_requests=args.latency_requests,
            max_p95_latency_ms=args.max_p95_latency_ms,
            pipeline_execution_id=args.pipeline_execution_id,
            deployed_by=environment.get("CODEBUILD_INITIATOR") or getpass.getuser(),
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
        )


@dataclass
class Results:
    """What was seen, filled as it is seen, so that it can be written whatever happens."""

    endpoint_name: str = ""
    endpoint_arn: str = ""
    stage_name: str = ""
    model_name: str = ""
    model_version: str = ""
    checks: list[Check] = field(default_factory=list)
    latency: Latency | None = None
    registry: VersionState | None = None
    error: str = ""

    @property
    def passed(self) -> bool:
        """Every check was made or skipped for a reason, and none failed."""
        return bool(self.checks) and all(check.status != "failed" for check in self.checks)

    @property
    def summary(self) -> str:
        """In a few words: `8 checks passed, p95 52 ms`, or what failed."""
        if self.error:
            return f"stopped: {self.error}"
        if not self.checks:
            return "no check was made"
        failed = [check.name for check in self.checks if check.status == "failed"]
        if failed:
            return f"{len(failed)} of {len(self.checks)} checks failed: {', '.join(failed)}"
        counts = {
            status: sum(check.status == status for check in self.checks)
            for status in ("passed", "skipped")
        }
        told = f"{counts['passed']} checks passed"
        if counts["skipped"]:
            told += f", {counts['skipped']} skipped"
        return f"{told}, p95 {self.latency.p95_ms:.0f} ms" if self.latency else told

    def add(self, check: Check) -> None:
        """Keep a check, and tell of it."""
        self.checks.append(check)
        level = logging.ERROR if check.status == "failed" else logging.INFO
        logger.log(level, "%s: %s: %s", check.status, check.name, check.detail)

    def to_json(self) -> str:
        """Sorted JSON: checks, latency in ms, whether the stage moved, the registry's state."""
        document: dict[str, Any] = {
            **asdict(self),
            "passed": self.passed and not self.error,
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
        check_and_move(request, results)
        code = 0 if results.passed else 1
    except DeployError as err:
        logger.error("%s", err)
        results.error = str(err)
        code = err.exit_code
    except KeyboardInterrupt:
        results.error = "interrupted"
        logger.error("interrupted; no stage was moved")
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
    add("--latency-requests", type=int, default=20, help="requests that latency is measured with")
    add(
        "--max-p95-latency-ms",
        type=float,
        default=None,
        help="a higher p95 fails the check; None measures only",
    )
    add(
        "--pipeline-execution-id",
        default="",
        help="CodePipeline execution to name in the version's tags",
    )
    return parser


def check_and_move(request: CheckRequest, results: Results) -> None:
    """Fill `results`; the version's stage moves only when no check failed."""
    # Heavy: they are imported once the flags are known to be right.
    import tempfile

    from model_deploy.mlflow_handler import Evidence, MLflowHandler, log_in

    results.endpoint_name = request.endpoint_name
    results.stage_name = request.stage_name
    results.model_name = request.model_name
    results.model_version = request.model_version
    handler = MLflowHandler(request.tracking_uri, request.model_name, request.model_version)
    log_in(request.tracking_uri, request.credentials_secret)
    handler.resolve()
    with tempfile.TemporaryDirectory(prefix="endpoint-check-") as scratch:
        _check(request, handler, Path(scratch), results)
    if not results.passed:
        failed = [check.name for check in results.checks if check.status == "failed"]
        logger.error("no stage moved; failed: %s", ", ".join(failed))
        return
    results.registry = handler.move_stage(
        _STAGE_OF_NAME[request.stage_name],
        Evidence(
            endpoint_arn=results.endpoint_arn,
            pipeline_execution_id=request.pipeline_execution_id,
            deployed_by=request.deployed_by,
        ),
    )


def _check(request: CheckRequest, handler: MLflowHandler, scratch: Path, results: Results) -> None:
    from model_deploy.request_limits import RequestLimit
    from model_deploy.test import endpoint_check as checks
    from model_deploy.test import raw_rows

    endpoint = _endpoint(request)
    in_service = checks.check_in_service(endpoint, request.timeout_seconds, request.poll_seconds)
    results.add(in_service)
    if in_service.status == checks.FAILED:
        return
    results.endpoint_arn = (endpoint.describe() or {}).get("EndpointArn", "")
    results.add(checks.check_configuration(endpoint, request.parameters))
    description = _read_description(handler, scratch)
    limit = RequestLimit.of(request.parameters)
    payload, limited_to, unsent = _read_example(handler, description, scratch, limit)
    if unsent is None:
        answered, predictions = checks.check_input_example(endpoint, payload, limited_to)
    else:
        answered, predictions = unsent, None
    results.add(answered)
    recorded = handler.fetch_run_file(raw_rows.FILE, scratch)
    if recorded is not None:
        for check in raw_rows.check_raw_rows(endpoint, recorded.read_bytes(), limit):
            results.add(check)
    elif unsent is None:
        results.add(_compare_example_offline(handler, scratch, payload, predictions))
    if unsent is not None:
        return
    inputs = json.loads((description.get("signature") or {}).get("inputs") or "[]")
    for check in checks.check_refusals(endpoint, payload, inputs):
        results.add(check)
    measured, results.latency = checks.check_latency(
        endpoint, payload, request.latency_requests, request.max_p95_latency_ms
    )
    results.add(measured)


def _read_description(handler: MLflowHandler, scratch: Path) -> dict[str, Any]:
    import yaml

    text = handler.fetch_file("MLmodel", scratch).read_text(encoding="utf-8")
    description: dict[str, Any] = yaml.safe_load(text)
    return description


def _read_example(
    handler: MLflowHandler, description: Mapping[str, Any], scratch: Path, limit: RequestLimit
) -> tuple[str, str, Check | None]:
    """The input example, which of its rows if not all, and the check to tell if it is not sent."""
    from model_deploy.request_limits import fit_example
    from model_deploy.test import endpoint_check as checks

    name = "answers the input example"
    path = (description.get("saved_input_example_info") or {}).get("serving_input_path")
    if not path:
        return "", "", checks.skipped(name, "the model has none")
    payload = handler.fetch_file(path, scratch).read_text(encoding="utf-8")
    fitted = fit_example(payload, limit)
    if fitted is None:
        size = f"{len(payload.encode()):,} bytes"
        return "", "", checks.failed(name, f"it was not sent: it is {size}, above {limit}")
    return *fitted, None


def _compare_example_offline(
    handler: MLflowHandler, scratch: Path, payload: str, served: object
) -> Check:
    """A model registered by hand has no raw rows: compare its input example instead."""
    from model_deploy.test import endpoint_check as checks
    from model_deploy.test import raw_rows

    name = "predicts the input example as offline"
    if served is None:
        return checks.skipped(name, "not compared: the endpoint did not answer it")
    model_folder = handler.fetch(scratch / "model")
    try:
        expected = checks.predict_offline(model_folder, payload)
    except Exception as err:  # noqa: BLE001 - whatever the model's libraries raise means the same
        return checks.skipped(
            name,
            f"not compared: its run has no {raw_rows.FILE}, and the model can not be loaded here "
            f"({type(err).__name__}: {err})",
        )
    return checks.compare_predictions(name, served, expected)


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
            # SageMaker itself gives a container 60 seconds.
            runtime=boto3.client(
                "sagemaker-runtime",
                region_name=request.region,
                config=Config(connect_timeout=5, read_timeout=65, retries=retries),
            ),
        )
    except BotoCoreError as err:
        raise AwsError(f"no AWS client: {err}. Set AWS_REGION.") from err


if __name__ == "__main__":
    sys.exit(main())
