"""Runs one job from its inputs in S3 to its outputs in S3.

download inputs ─▶ container, logs to CloudWatch ─▶ upload outputs ─▶ outcome in the record
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.containers.container import start_container
from local_aws.containers.images import Images
from local_aws.containers.job_pip.environment import FAILURE
from local_aws.containers.log_stream import LogStream
from local_aws.containers.supervision import StartError
from local_aws.errors import AwsError, LocalAwsError
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.jobs import container_contract as contract
from local_aws.sagemaker.jobs.job_record import PROCESSING, TRAINING, JobRecord
from local_aws.sagemaker.jobs.s3_transfer import (
    TransferError,
    download_prefix,
    upload_archive,
    upload_folder,
)

LOG_INTERVAL_SECONDS = 0.5
DEFAULT_LIMIT_SECONDS = 86_400
NO_FAILURE_FILE = "See job logs for more information"


@dataclass(frozen=True)
class ContainerOutcome:
    """How the container ended."""

    exit_code: int
    timed_out: bool
    log_path: Path


class JobFailedError(Exception):
    """The message is the FailureReason."""


@dataclass(frozen=True)
class JobRun:
    """One job on its way."""

    own: OwnAws
    images: Images
    job: JobRecord

    @property
    def root(self) -> Path:
        """The folder that is the container's /."""
        return self.own.state_dir / "jobs" / self.job.name

    @property
    def opt_ml(self) -> Path:
        return self.root / "opt/ml"

    def run(self) -> None:
        """Run it; the outcome is in the record. `fail` is due when it raises."""
        shutil.rmtree(self.root, ignore_errors=True)
        try:
            s3 = self.own.client("s3", self.job.request["RoleArn"])
            if self.job.kind is TRAINING:
                self._train(s3)
            else:
                self._process(s3)
        except JobFailedError as err:
            self._failed(str(err))
        except (TransferError, AwsError) as err:
            self._failed(f"ClientError: {err}")
        except (LocalAwsError, StartError) as err:
            self._failed(f"ClientError: {err}")
        if self.job.status == "Completed":
            shutil.rmtree(self.root, ignore_errors=True)  # its log stays, in <state>/logs
        else:
            shutil.rmtree(self.root / "env", ignore_errors=True)

    def fail(self, cause: str) -> None:
        """The job met a fault of local_aws: what runs of it is ended, too."""
        self.job.fail(cause)
        shutil.rmtree(self.root / "env", ignore_errors=True)

    def _failed(self, reason: str) -> None:
        if self.job.stop_requested.is_set():
            self.job.end("Stopped", "Stopped", "Training job stopped")
            return
        reason = reason[: contract.REASON_LENGTH]
        exit_message = contract.read_start(self.opt_ml / "output/message")
        members = {"ExitMessage": exit_message} if self.job.kind is PROCESSING else {}
        self.job.end("Failed", "Failed", "Training job failed", FailureReason=reason, **members)

    def _train(self, s3: Any) -> None:
        request = self.job.request
        self.job.enter("Downloading", "Downloading input data")
        contract.write_training_files(self.opt_ml, request)
        for channel in request.get("InputDataConfig", ()):
            source = channel["DataSource"]["S3DataSource"]["S3Uri"]
            folder = self.opt_ml / "input/data" / channel["ChannelName"]
            download_prefix(s3, source, folder)
        self.job.enter("Training", "Training image download completed. Training in progress.")
        specification = request["AlgorithmSpecification"]
        outcome = self._run_container(
            specification["TrainingImage"],
            [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", ())],
            {"TRAINING_JOB_NAME": self.job.name, "TRAINING_JOB_ARN": self.job.arn},
            request["StoppingCondition"].get("MaxRuntimeInSeconds", DEFAULT_LIMIT_SECONDS),
        )
        stopped = self.job.stop_requested.is_set() or outcome.timed_out
        self.job.enter("Uploading", "Uploading generated training model")
        members = self._upload_training_outputs(s3, model=stopped or not outcome.exit_code)
        metrics = contract.final_metrics(
            outcome.log_path.read_text(errors="replace"),
            specification.get("MetricDefinitions", ()),
        )
        self.job.update(**members, **({"FinalMetricDataList": metrics} if metrics else {}))
        if self.job.stop_requested.is_set():
            self.job.end("Stopped", "Stopped", "Training job stopped")
        elif outcome.timed_out:
            message = "Training job runtime exceeded MaxRuntimeInSeconds provided"
            self.job.end("Stopped", "MaxRuntimeExceeded", message)
        else:
            self._check(outcome)
            self.job.end("Completed", "Completed", "Training job completed")

    def _upload_training_outputs(self, s3: Any, *, model: bool) -> Mapping[str, Any]:
        """Store the model and what is in output/data; members of the description."""
        config = self.job.request["OutputDataConfig"]
        place = f"{config['S3OutputPath'].rstrip('/')}/{self.job.name}/output"
        key = config.get("KmsKeyId", "")
        compressed = config.get("CompressionType", "GZIP") == "GZIP"
        members: dict[str, Any] = {}
        for folder, name in (
            (self.opt_ml / "output/data", "output"),
            (self.opt_ml / "model", "model"),
        ):
            if (name == "model" and not model) or (name == "output" and not any(folder.iterdir())):
                continue
            uri = f"{place}/{name}.tar.gz" if compressed else f"{place}/{name}/"
            if compressed:
                upload_archive(s3, folder, uri, self.root, key)
            else:
                upload_folder(s3, folder, uri, key)
            if name == "model":
                members["ModelArtifacts"] = {"S3ModelArtifacts": uri}
        return members

    def _process(self, s3: Any) -> None:
        request = self.job.request
        contract.write_processing_files(self.opt_ml, request, self.job.arn)
        for entry in request.get("ProcessingInputs", ()):
            source = entry["S3Input"]
            folder = contract.local_folder(self.root, source["LocalPath"])
            download_prefix(s3, source["S3Uri"], folder)
        output_config = request.get("ProcessingOutputConfig", {})
        outputs = [entry["S3Output"] for entry in output_config.get("Outputs", ())]
        for output in outputs:
            contract.local_folder(self.root, output["LocalPath"]).mkdir(parents=True, exist_ok=True)
        specification = request["AppSpecification"]
        condition = request.get("StoppingCondition", {})
        limit_seconds = condition.get("MaxRuntimeInSeconds", DEFAULT_LIMIT_SECONDS)
        outcome = self._run_container(
            specification["ImageUri"],
            [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", ())],
            {},
            limit_seconds,
        )
        message = contract.read_start(self.opt_ml / "output/message")
        if self.job.stop_requested.is_set():
            self.job.end("Stopped", "", "", ExitMessage=message)
            return
        if outcome.timed_out:
            reason = f"MaxRuntimeExceeded: the job ran longer than {limit_seconds} s"
            self.job.end("Stopped", "", "", ExitMessage=message, FailureReason=reason)
            return
        self._check(outcome)
        for output in outputs:
            folder = contract.local_folder(self.root, output["LocalPath"])
            upload_folder(s3, folder, output["S3Uri"], output_config.get("KmsKeyId", ""))
        self.job.end("Completed", "", "", ExitMessage=message)

    def _check(self, outcome: ContainerOutcome) -> None:
        """Raise JobFailedError unless the container ended well."""
        if outcome.exit_code:
            text = contract.failure_text(self.opt_ml, self.root / "env" / FAILURE)
            end = f", exit code: {outcome.exit_code}"
            room = contract.REASON_LENGTH - len("AlgorithmError: ") - len(end)
            raise JobFailedError(f"AlgorithmError: {(text or NO_FAILURE_FILE)[:room]}{end}")

    def _run_container(
        self,
        image_uri: str,
        argv: Sequence[str],
        variables: Mapping[str, str],
        limit_seconds: float,
    ) -> ContainerOutcome:
        role_arn = self.job.request["RoleArn"]
        image = self.images.find(image_uri, role_arn)
        environment = self.images.prepare(image, None, self.root)
        log_path = self.own.state_dir / "logs" / f"{self.job.name}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log_path.write_bytes(b"")
        stream = LogStream(
            self.own.client("logs", role_arn),
            self.job.kind.log_group,
            f"{self.job.name}/algo-1-{int(time.time())}",
            log_path,
        )
        if self.job.stop_requested.is_set():
            return ContainerOutcome(0, False, log_path)
        process = start_container(
            environment,
            argv,
            root=self.root,
            environment={
                **self.own.credentials_environment(role_arn),
                **variables,
                **self.job.request.get("Environment", {}),
            },
            log_path=log_path,
            limit_seconds=limit_seconds,
        )
        self.job.started()
        self.job.run(process)
        while True:
            try:
                code = process.wait(LOG_INTERVAL_SECONDS)
                break
            except TimeoutError:
                stream.send()
        stream.send(to_the_end=True)
        return ContainerOutcome(code, process.timed_out, log_path)
