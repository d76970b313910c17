"""run-pipeline: upsert the pipeline, start it, follow it, report what was registered.

get_pipeline() ─▶ upsert ─▶ start ─▶ follow the steps ─▶ Succeeded ─▶ version, from MLflow   0
                                                     ├─▶ Failed ────▶ each reason, each log  1
                                                     │     └─ by the quality gate: why not   4
                                                     └─▶ Stopped ───▶ says so                1
"""

import argparse
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_build import command_line, mlflow_login
from model_build.errors import ConfigError, GateNotMetError, ModelBuildError, ServiceError
from model_build.parameters import Kind, Value, check_values, read_assignments

logger = logging.getLogger(__name__)

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the pipeline to its end; the exit code of errors.py, or 130 after Ctrl-C."""
    args = build_parser().parse_args(argv)
    command_line.set_up_logging()
    try:
        return _run(args, os.environ)
    except ModelBuildError as err:
        logger.error("%s", err, extra={"told": err.told})
        return err.exit_code
    except KeyboardInterrupt:
        logger.error("interrupted")
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run-pipeline",
        description="Create or update a pipeline, start it, and follow it to its end. "
        "Exit code: 0 succeeded, 1 failed or stopped, 2 wrong input, 3 AWS or MLflow refused, "
        "4 all ran, but the model missed the quality gate: nothing was registered.",
        allow_abbrev=False,
    )
    command_line.add_build_flags(parser)
    parser.add_argument(
        "--role-arn",
        help="role that runs the pipeline, and its jobs unless SAGEMAKER_JOB_ROLE_ARN or --kwargs "
        "names theirs (default: SAGEMAKER_PIPELINE_ROLE_ARN, then the role in --kwargs)",
    )
    parser.add_argument(
        "--tags",
        metavar="JSON",
        help='tags of pipeline and jobs: [{"Key": "...", "Value": "..."}] (default: '
        "sagemaker:project-name and sagemaker:project-id, from SAGEMAKER_PROJECT_NAME and "
        "SAGEMAKER_PROJECT_ID where both are set)",
    )
    parser.add_argument(
        "--description",
        default="Trains, evaluates and registers a model",
        help="the pipeline's description (default: %(default)s)",
    )
    parser.add_argument(
        "--parameters",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="values for this execution (default: those in the pipeline)",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="end once it has started (default: follow it)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the result as JSON (default: no file)"
    )
    return parser


def _run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    assignments = read_assignments(args.parameters)
    request = command_line.read_request(args, environment)
    role_arn = _find_pipeline_role(request)
    command_line.require_living_shell(environment)
    check_credentials()
    logger.info("compiling %s", request.module_name)
    pipeline = command_line.make_pipeline(request, offline=False)
    values = check_values(assignments, declare(pipeline))
    settings = {**defaults_of(pipeline), **values}
    if not args.no_wait:
        # Before anything starts: a login that can't be had is known now, not after the training.
        _log_in(str(settings.get("MLflowTrackingURI", "")), request.mlflow_credentials_secret)

    # After the arguments: 0.2 s.
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = open_client(request.region)
        execution_arn = start(
            pipeline,
            client,
            role_arn=role_arn,
            description=args.description,
            tags=[{"Key": key, "Value": value} for key, value in request.tags],
            values=values,
        )
    except (Boto3Error, BotoCoreError, ClientError) as err:
        raise ServiceError(f"AWS refused to start the pipeline {pipeline.name}: {err}") from err
    logger.info("started %s", execution_arn)
    result: dict[str, Any] = {"pipeline_execution_arn": execution_arn, "status": "Executing"}
    try:
        if not args.no_wait:
            result |= _follow(client, execution_arn, settings)
    except GateNotMetError as err:
        missed = {"status": "GateNotMet", "reason": err.reason, "run_url": err.run_url}
        _write_result(args.output, {**result, **missed})
        raise
    except KeyboardInterrupt:
        logger.error(
            "no longer watching; the execution goes on. To stop it:\n"
            "  `aws sagemaker stop-pipeline-execution --pipeline-execution-arn %s`",
            execution_arn,
        )
        return INTERRUPTED
    _write_result(args.output, result)
    sys.stdout.write("\n".join(describe_result(result)) + "\n")
    return 0


def _find_pipeline_role(request: command_line.BuildRequest) -> str | None:
    """The role that starts the jobs. Theirs does not do instead: it may do what they need only."""
    role = request.role_arn or request.keywords.get("role")
    if not role and request.job_role_arn:
        raise ConfigError(
            "--role-arn",
            [
                "the pipeline has no role, only its jobs have (SAGEMAKER_JOB_ROLE_ARN); pass "
                "--role-arn, or set SAGEMAKER_PIPELINE_ROLE_ARN"
            ],
        )
    return role


def check_credentials() -> None:
    """Raise ServiceError if there are none: the SDK would look for them again and again."""
    import boto3  # after the arguments: 0.2 s

    if boto3.Session().get_credentials() is None:
        raise ServiceError(
            "no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            'or for AWS on this machine run eval "$(local-aws env)"'
        )


def _log_in(tracking_uri: str, secret_arn: str) -> None:
    try:
        mlflow_login.log_in(tracking_uri, secret_arn, os.environ)
    except mlflow_login.LoginError as err:
        raise ServiceError(
            f"{err}. Whoever may only start the pipeline passes --no-wait: MLflow is then not asked"
        ) from err


def declare(pipeline: Any) -> dict[str, tuple[Kind, Value | None]]:
    """Kind and default of each of the pipeline's parameters."""
    return {
        parameter.name: (parameter.parameter_type.value, parameter.default_value)
        for parameter in pipeline.parameters
    }


def defaults_of(pipeline: Any) -> dict[str, Value]:
    return {
        name: default for name, (_, default) in declare(pipeline).items() if default is not None
    }


def open_client(region: str, service: str = "sagemaker") -> Any:
    """A client that outlasts throttling."""
    import boto3  # after the arguments: 0.2 s
    from botocore.config import Config

    return boto3.Session(region_name=region).client(
        service, config=Config(retries={"mode": "standard", "total_max_attempts": 6})
    )


def start(
    pipeline: Any,
    client: Any,
    *,
    role_arn: str | None,
    description: str | None,
    tags: Sequence[Mapping[str, str]],
    values: Mapping[str, Value],
) -> str:
    """Create or update the pipeline and start it; the execution's ARN."""
    pipeline.upsert(role_arn=role_arn, description=description, tags=list(tags) or None)
    started = client.start_pipeline_execution(
        PipelineName=pipeline.name,
        PipelineParameters=[
            {"Name": name, "Value": str(value)} for name, value in sorted(values.items())
        ],
    )
    arn: str = started["PipelineExecutionArn"]
    return arn


def _follow(client: Any, execution_arn: str, settings: Mapping[str, Value]) -> dict[str, Any]:
    from model_build import execution_progress, registered_version

    # Its thread changes the environment while requests read it, which fails now and then.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # MLflow takes seconds to import; the execution takes longer.
    threading.Thread(target=_import_mlflow, daemon=True).start()
    with execution_progress.open_display(sys.stderr) as display:
        ended = execution_progress.follow(client, execution_arn, display)
    if ended.status != "Succeeded":
        logs = open_client(client.meta.region_name, "logs")
        raise execution_progress.explain_failure(client, ended, logs)
    result: dict[str, Any] = {"status": ended.status}
    tracking_uri = settings.get("MLflowTrackingURI")
    model_name = settings.get("RegisteredModelName")
    if tracking_uri and model_name:
        version = registered_version.find_registered_version(
            str(tracking_uri), str(model_name), execution_arn
        )
        result |= {
            "model_name": version.model_name,
            "version": version.version,
            "run_id": version.run_id,
            "metrics": dict(version.metrics),
            "gate_metric": version.gate_metric,
            "gate_summary": version.gate_summary,
            "data_warnings": list(version.data_warnings),
            "url": version.url,
        }
    return result


def _import_mlflow() -> None:
    import mlflow  # noqa: F401 - so that it is there when it's needed


def _write_result(path: Path | None, result: Mapping[str, Any]) -> None:
    if path is not None:
        text = json.dumps(result, indent=2, sort_keys=True) + "\n"
        command_line.write_text(path, text, "--output")


def describe_result(result: Mapping[str, Any]) -> list[str]:
    """What was registered, as lines for a person."""
    lines = [f"{result['status']} {result['pipeline_execution_arn']}"]
    if "version" in result:
        lines.append(f"registered {result['model_name']} version {result['version']}")
        if result["gate_summary"]:
            lines.append(f"gate: {result['gate_summary']}")
        # What the gate compared comes first: it is what the model is judged by.
        metrics = sorted(
            result["metrics"].items(), key=lambda item: (item[0] != result["gate_metric"], item[0])
        )
        lines += [f"  {name:<30} {value:.6g}" for name, value in metrics]
        lines += [f"  data: {warning}" for warning in result["data_warnings"]]
        lines.append(str(result["url"]))
    return lines


if __name__ == "__main__":
    sys.exit(main())
