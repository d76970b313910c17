"""SageMaker's training and processing jobs: Create, Describe, List, Stop; the jobs really run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.containers.images import Images
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.sagemaker.jobs.job_limits import check_processing, check_training
from local_aws.sagemaker.jobs.job_record import ENDED, PROCESSING, TRAINING, JobKind, JobRecord
from local_aws.sagemaker.jobs.job_run import JobRun
from local_aws.workers import start_worker

CLOSE_GRACE_SECONDS = 2.0
CLOSE_SECONDS = 20.0
SUMMARY_MEMBERS = (
    "CreationTime",
    "LastModifiedTime",
    "SecondaryStatus",
    "FailureReason",
    "ExitMessage",
)


class Jobs:
    """The jobs of one local_aws, in memory; each runs in a thread of its own."""

    def __init__(self, own: OwnAws, images: Images) -> None:
        self._own = own
        self._images = images
        self._lock = threading.Lock()
        self._jobs: dict[tuple[JobKind, str], JobRecord] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("sagemaker", "CreateTrainingJob"): self.create_training_job,
            ("sagemaker", "DescribeTrainingJob"): lambda call: self._describe(TRAINING, call),
            ("sagemaker", "ListTrainingJobs"): lambda call: self._list(TRAINING, call),
            ("sagemaker", "StopTrainingJob"): lambda call: self._stop(TRAINING, call),
            ("sagemaker", "CreateProcessingJob"): self.create_processing_job,
            ("sagemaker", "DescribeProcessingJob"): lambda call: self._describe(PROCESSING, call),
            ("sagemaker", "ListProcessingJobs"): lambda call: self._list(PROCESSING, call),
            ("sagemaker", "StopProcessingJob"): lambda call: self._stop(PROCESSING, call),
        }

    def close(self) -> None:
        """Stop every running job and wait until its processes are gone."""
        with self._lock:
            self._closed = True
            jobs, threads = list(self._jobs.values()), list(self._threads)
        for job in jobs:
            job.stop(CLOSE_GRACE_SECONDS)
        for thread in threads:
            thread.join(CLOSE_SECONDS)

    def create_training_job(self, call: Call) -> Mapping[str, Any]:
        check_training(call.params)
        image_uri = call.params["AlgorithmSpecification"]["TrainingImage"]
        return self._create(TRAINING, call.params, image_uri)

    def create_processing_job(self, call: Call) -> Mapping[str, Any]:
        check_processing(call.params)
        return self._create(PROCESSING, call.params, call.params["AppSpecification"]["ImageUri"])

    def _create(
        self, kind: JobKind, request: Mapping[str, Any], image_uri: str
    ) -> Mapping[str, Any]:
        self._images.find(image_uri, request["RoleArn"])
        self._own.credentials_environment(request["RoleArn"])  # refused unless SageMaker may use it
        name = request[kind.name]
        resource = f"{kind.words.replace(' ', '-')}/{name}"
        job = JobRecord(kind, request, self._own.arn("sagemaker", resource))
        run = JobRun(self._own, self._images, job)
        with self._lock:
            if self._closed:
                raise AwsError("ServiceUnavailable", "local_aws is shutting down", 503)
            if (kind, name) in self._jobs:
                raise AwsError(
                    "ResourceInUse",
                    f"{kind.words.capitalize()} names must be unique within an AWS account and "
                    f"region, and a {kind.words} with this name already exists ({job.arn})",
                )
            self._jobs[kind, name] = job
            self._threads = [other for other in self._threads if other.is_alive()]
            self._threads.append(start_worker(name, run.run, run.fail))
        return {kind.arn: job.arn}

    def _describe(self, kind: JobKind, call: Call) -> Mapping[str, Any]:
        return self._find(kind, call).describe()

    def _stop(self, kind: JobKind, call: Call) -> None:
        job = self._find(kind, call)
        status = job.status
        if status in ENDED:
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the {kind.words} is in status {status}.",
            )
        job.stop()

    def _list(self, kind: JobKind, call: Call) -> Mapping[str, Any]:
        params = call.params
        with self._lock:
            found = [job.describe() for (of, _), job in self._jobs.items() if of is kind]
        found = [job for job in found if _wanted(job, kind, params)]
        sort_members = {"Name": kind.name, "Status": kind.status}
        member = sort_members.get(params.get("SortBy", ""), "CreationTime")
        descending = params.get("SortOrder", "Descending") == "Descending"
        found.sort(key=lambda job: job[member], reverse=descending)
        page, token = page_of(found, lambda job: str(job[kind.name]), params)
        kept = (kind.name, kind.arn, kind.status, kind.end, *SUMMARY_MEMBERS)
        return {
            f"{kind.noun}Summaries": [
                {name: job[name] for name in kept if name in job} for job in page
            ],
            **token,
        }

    def _find(self, kind: JobKind, call: Call) -> JobRecord:
        name = call.params[kind.name]
        with self._lock:
            job = self._jobs.get((kind, name))
        if job is None:
            message = (
                "Requested resource not found."
                if kind is TRAINING
                else f"Could not find requested job with name: {name}"
            )
            raise AwsError("ValidationException", message)
        return job


def _wanted(job: Mapping[str, Any], kind: JobKind, params: Mapping[str, Any]) -> bool:
    created, modified = job["CreationTime"], job["LastModifiedTime"]
    return (
        params.get("NameContains", "") in job[kind.name]
        and params.get("StatusEquals", job[kind.status]) == job[kind.status]
        and created >= params.get("CreationTimeAfter", created)
        and created <= params.get("CreationTimeBefore", created)
        and modified >= params.get("LastModifiedTimeAfter", modified)
        and modified <= params.get("LastModifiedTimeBefore", modified)
    )
