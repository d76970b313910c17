"""CLI: a registered model version -> model.tar.gz in S3 and both stage configurations.

    deploy.json ─resolve, fetch─▶ validate ─▶ model.tar.gz ─▶ s3://<bucket>/.../<sha256>/
                                     │             └─▶ staging- and prod-config-export.json
                                     └─ its answers ─▶ endpoint-test.json

No stage moves here: a stage says what an endpoint serves, and none serves this version yet.
Exit codes: 0 written, 2 wrong input or a model that can't be deployed, 3 AWS, MLflow or a package
index refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_deploy.command_line import set_up_process
from model_deploy.deploy_request import DeployRequest
from model_deploy.errors import ArchiveConflict, ConfigError, DeployError
from model_deploy.mlflow_login import find_problem, read_secret_arn

if TYPE_CHECKING:
    from model_deploy.mlflow_handler import MLflowHandler
    from model_deploy.model_archive import ArchiveStore
    from model_deploy.stage_config import ExportedConfig, StageConfig, TemplateParameter

# By name, as `python -m` calls this module __main__.
logger = logging.getLogger("model_deploy.build")

# Of an approval's message, which has 1000 characters for everything.
_LONGEST_NAME = 80
_HERE = Path(__file__).parent
_TEMPLATE = _HERE / "endpoint-config-template.yml"


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """All that a build is told, from flags and, where a flag is not given, the environment."""

    model_execution_role: str
    project_id: str
    project_name: str
    import_staging_config: Path
    import_prod_config: Path
    export_staging_config: Path
    export_prod_config: Path
    tracking_uri: str
    credentials_secret: str
    wanted: DeployRequest
    container_image_uri: str
    instance_count: str
    instance_type: str
    artifact_bucket: str
    kms_key_id: str
    archive_prefix: str
    cases_folder: Path
    export_test_plan: Path
    export_variables: Path | None
    region: str | None

    @classmethod
    def from_args(cls, args: argparse.Namespace, environment: Mapping[str, str]) -> BuildRequest:
        """Raises ConfigError with every missing value, its flag and its variable."""
        wanted = DeployRequest.of_flags(args.model_name, args.model_version, args.deploy_config)
        test_plan = args.export_test_plan or args.export_staging_config.with_name(
            "endpoint-test.json"
        )
        problems: list[str] = []
        credentials_secret = read_secret_arn(
            args.credentials_secret or environment.get("MLFLOW_CREDENTIALS_SECRET", "")
        )

        def required(flag: str, given: str, variable: str) -> str:
            value = given or environment.get(variable, "")
            if not value:
                problems.append(f"{flag} is missing: pass it, or set {variable}")
            return value

        request = cls(
            model_execution_role=required(
                "--model-execution-role", args.model_execution_role, "MODEL_EXECUTION_ROLE_ARN"
            ),
            project_id=required(
                "--sagemaker-project-id", args.sagemaker_project_id, "SAGEMAKER_PROJECT_ID"
            ),
            project_name=required(
                "--sagemaker-project-name", args.sagemaker_project_name, "SAGEMAKER_PROJECT_NAME"
            ),
            import_staging_config=args.import_staging_config,
            import_prod_config=args.import_prod_config,
            export_staging_config=args.export_staging_config,
            export_prod_config=args.export_prod_config,
            tracking_uri=required("--tracking-uri", args.tracking_uri, "MLFLOW_TRACKING_URI"),
            credentials_secret=credentials_secret,
            wanted=wanted,
            container_image_uri=required(
                "--container-image-uri", args.container_image_uri, "CONTAINER_IMAGE_URI"
            ),
            instance_count=args.initial_instance_count,
            instance_type=args.instance_type,
            artifact_bucket=required("--artifact-bucket", args.artifact_bucket, "ARTIFACT_BUCKET"),
            kms_key_id=args.s3_kms_key_id,
            archive_prefix=args.archive_prefix,
            cases_folder=args.cases,
            export_test_plan=test_plan,
            export_variables=args.export_variables,
            region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
        )
        problems += [problem for problem in [find_problem(credentials_secret)] if problem]
        exported = [
            *(args.export_staging_config, args.export_prod_config),
            *(test_plan, args.export_variables),
        ]
        if len(set(exported)) < len(exported):
            problems.append(
                "--export-staging-config, --export-prod-config, --export-test-plan and "
                "--export-variables name the same file twice"
            )
        if problems:
            raise ConfigError("the command line", problems)
        return request

    @property
    def model_name(self) -> str:
        """Of the registered model."""
        return self.wanted.model_name

    @property
    def endpoint_arns(self) -> dict[str, str]:
        """Stage of the registry -> the endpoint that will serve it, as AWS will call it."""
        partition, account = self.model_execution_role.split(":")[1:5:3]
        place = f"arn:{partition}:sagemaker:{self.region}:{account}:endpoint/{self.project_name}"
        # SageMaker writes ARNs in lower case.
        return {
            "Staging": f"{place}-staging".lower(),
            "Production": f"{place}-prod".lower(),
        }

    @property
    def default_parameters(self) -> dict[str, str]:
        """Parameters that a stage's file may override."""
        return {
            "ModelExecutionRoleArn": self.model_execution_role,
            "ContainerImageURI": self.container_image_uri,
            "EndpointInstanceType": self.instance_type,
            "EndpointInstanceCount": self.instance_count,
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code."""
    args = build_parser().parse_args(argv)
    set_up_process(args.log_level)
    try:
        result = build(BuildRequest.from_args(args, os.environ))
    except DeployError as err:
        logger.error("%s", err)
        return err.exit_code
    except KeyboardInterrupt:
        logger.error("interrupted; no configuration was written")
        return 130
    sys.stdout.write(json.dumps(result, indent=2, sort_keys=True) + "\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The flags, each with its default."""
    parser = argparse.ArgumentParser(
        prog="build-deployment",
        description="Package a registered model version and write both stages' configurations.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="least severe level that is logged on stderr",
    )
    registry = parser.add_argument_group("model")
    add = registry.add_argument
    add("--tracking-uri", default="", help="MLflow's URI; else MLFLOW_TRACKING_URI")
    add(
        "--credentials-secret",
        default="",
        metavar="ARN",
        help="secret with MLflow's user and password, or 'none'; else MLFLOW_CREDENTIALS_SECRET",
    )
    add(
        "--deploy-config",
        type=Path,
        default=_HERE / "deploy.json",
        metavar="FILE",
        help="model, version and reviews as JSON; with --model-name only that model's reviews",
    )
    add("--model-name", default="", help="name of the registered model; else the file's")
    add(
        "--model-version",
        default="",
        help="a number, 'latest', or an alias (@challenger); else the file's, or 'latest' with "
        "--model-name",
    )
    add(
        "--cases",
        type=Path,
        default=_HERE / "cases",
        metavar="FOLDER",
        help="requests of your own that the endpoint is tested with, in a folder for each model",
    )
    endpoint = parser.add_argument_group("endpoint")
    add = endpoint.add_argument
    add("--sagemaker-project-name", default="", help="else SAGEMAKER_PROJECT_NAME")
    add("--sagemaker-project-id", default="", help="else SAGEMAKER_PROJECT_ID")
    add(
        "--model-execution-role",
        default="",
        help="ARN of the role that the endpoint runs under; else MODEL_EXECUTION_ROLE_ARN",
    )
    add(
        "--container-image-uri",
        default="",
        help="image that serves MLflow models; else CONTAINER_IMAGE_URI",
    )
    add("--initial-instance-count", default="1", help="unless a stage's file says otherwise")
    add("--instance-type", default="ml.m5.large", help="unless a stage's file says otherwise")
    archive = parser.add_argument_group("archive")
    add = archive.add_argument
    add("--artifact-bucket", default="", help="bucket of the archives; else ARTIFACT_BUCKET")
    add("--archive-prefix", default="model-archives", help="key prefix of the archives")
    add("--s3-kms-key-id", default="", help="KMS key of the archives; else the bucket's default")
    files = parser.add_argument_group("files")
    for stage in ("staging", "prod"):
        files.add_argument(
            f"--import-{stage}-config",
            type=Path,
            default=_HERE / f"{stage}-config.json",
            metavar="FILE",
            help=f"settings of {stage}, which win over flags",
        )
        files.add_argument(
            f"--export-{stage}-config",
            type=Path,
            default=Path(f"{stage}-config-export.json"),
            metavar="FILE",
            help=f"configuration of {stage}'s stack to write",
        )
    files.add_argument(
        "--export-test-plan",
        type=Path,
        metavar="FILE",
        help="what both endpoints must answer, to write; else endpoint-test.json beside staging's "
        "configuration",
    )
    files.add_argument(
        "--export-variables",
        type=Path,
        metavar="FILE",
        help="shell lines to write that export MODEL_NAME, MODEL_VERSION, MODEL_METRICS, "
        "MODEL_URL, MODEL_ARCHIVE, CODE_ON_LOAD",
    )
    return parser


def build(request: BuildRequest) -> dict[str, str]:
    """Package, upload, and write configurations and test plan; what was built, and where it is.

    Nothing is uploaded before the model and both configurations were found good, and no
    configuration is written before the archive is in its place, was read again and is recorded.
    """
    # Heavy: they are imported once the flags are known to be right.
    import tempfile

    from model_deploy.atomic_write import write_all_or_none
    from model_deploy.custody import inspect_archive, s3_client
    from model_deploy.exported_variables import describe_code_on_load, to_shell
    from model_deploy.mlflow_handler import MLflowHandler, log_in
    from model_deploy.model_archive import ARCHIVE_NAME, ArchiveStore, upload_archive
    from model_deploy.model_validation import validate_model
    from model_deploy.plan_making import PlanRequest, make_plan
    from model_deploy.stage_config import StageConfig, read_template_parameters

    stages = [
        StageConfig.from_json(request.import_staging_config, "staging"),
        StageConfig.from_json(request.import_prod_config, "prod"),
    ]
    declared = read_template_parameters(_TEMPLATE)
    store = ArchiveStore(
        bucket=request.artifact_bucket,
        prefix=request.archive_prefix,
        kms_key_id=request.kms_key_id,
    )
    handler = MLflowHandler(request.tracking_uri, request.model_name, request.wanted.model_version)
    # With digests of the right form, so that mistakes are found before anything is downloaded.
    rehearsed = _configure(request, stages, declared, store, _Built(), None)
    log_in(request.tracking_uri, request.credentials_secret)
    version = handler.resolve()
    handler.require_unclaimed(request.endpoint_arns)
    with tempfile.TemporaryDirectory(prefix="model-deploy-") as scratch:
        model_folder = handler.fetch(Path(scratch) / "model")
        findings = validate_model(
            model_folder, f"version {version} of {request.model_name!r}", request.wanted
        )
        archive = handler.package(model_folder, Path(scratch) / ARCHIVE_NAME)
        plan = make_plan(
            PlanRequest(
                version=version,
                archive_sha256=archive.sha256,
                wanted=request.wanted,
                code_on_load=findings.code_on_load,
                cases_folder=request.cases_folder,
                stages=stages,
                parameters=[{**_defaults(declared), **each.parameters} for each in rehearsed],
            ),
            handler,
            model_folder,
            Path(scratch),
        ).to_json()
        built = _Built(archive=archive.sha256, plan=hashlib.sha256(plan.encode()).hexdigest())
        configs = _configure(request, stages, declared, store, built, handler)
        texts = {
            request.export_staging_config: configs[0].to_json(),
            request.export_prod_config: configs[1].to_json(),
            request.export_test_plan: plan,
        }
        if request.export_variables:
            variables = _variables(request, handler, Path(scratch) / "run")
            variables |= {
                "MODEL_ARCHIVE": archive.sha256,
                "CODE_ON_LOAD": describe_code_on_load(findings.code_on_load),
            }
            texts[request.export_variables] = to_shell(variables)
        s3 = s3_client(request.region)
        uri = upload_archive(s3, archive, store, request.model_name)
    custody = inspect_archive(s3, uri, archive.sha256)
    if custody.problem:
        raise ArchiveConflict(custody.problem)
    handler.record_archive(archive.sha256, uri)
    write_all_or_none(texts)
    return {
        "model_name": request.model_name,
        "model_version": version,
        "model_data_url": uri,
        "model_archive_sha256": archive.sha256,
        "staging_config": str(request.export_staging_config),
        "prod_config": str(request.export_prod_config),
        "test_plan": str(request.export_test_plan),
    }


@dataclass(frozen=True, kw_only=True)
class _Built:
    """SHA-256 of what was built; of nothing yet, in the right form."""

    archive: str = "0" * 64
    plan: str = "0" * 64


def _defaults(declared: Mapping[str, TemplateParameter]) -> dict[str, str]:
    return {name: parameter.default for name, parameter in declared.items()}


def _configure(
    request: BuildRequest,
    stages: Sequence[StageConfig],
    declared: Mapping[str, TemplateParameter],
    store: ArchiveStore,
    files: _Built,
    handler: MLflowHandler | None,
) -> list[ExportedConfig]:
    """Each stage's configuration; before the version is known (no handler), as a rehearsal."""
    from model_deploy.custody import DIGEST_TAG
    from model_deploy.endpoint_test_plan import PLAN_TAG
    from model_deploy.mlflow_handler import without_credentials
    from model_deploy.model_name import encode
    from model_deploy.stage_config import find_problems

    state = handler.state() if handler else None
    tags = {
        "sagemaker:project-name": request.project_name,
        "sagemaker:project-id": request.project_id,
        "mlflow:model-name": encode(request.model_name),
        "mlflow:model-version": state.version if state else "0",
        "mlflow:run-id": (state.run_id if state else "") or "none",
        "mlflow:tracking-uri": without_credentials(request.tracking_uri),
        DIGEST_TAG: files.archive,
        PLAN_TAG: files.plan,
    }
    built = {
        "SageMakerProjectName": request.project_name,
        "ModelDataLocation": store.uri(request.model_name, files.archive),
    }
    configs = [stage.extended(request.default_parameters, built, tags) for stage in stages]
    problems = {
        config.source: find_problems(config, declared, _TEMPLATE.name) for config in configs
    }
    listed = [f"{source}: {problem}" for source, found in problems.items() for problem in found]
    if listed:
        raise ConfigError("the stage configuration", listed)
    return configs


def _variables(request: BuildRequest, handler: MLflowHandler, scratch: Path) -> dict[str, str]:
    """What an approval's message says of the version."""
    from model_deploy.exported_variables import GATE_REPORT, describe_gate, shorten, version_link

    version = handler.resolve()
    report = handler.fetch_run_file(GATE_REPORT, scratch)
    return {
        "MODEL_NAME": shorten(request.model_name, _LONGEST_NAME),
        "MODEL_VERSION": version,
        "MODEL_METRICS": describe_gate(
            report.read_bytes() if report else None, handler.run_metrics()
        ),
        "MODEL_URL": version_link(request.tracking_uri, request.model_name, version),
    }


if __name__ == "__main__":
    sys.exit(main())
