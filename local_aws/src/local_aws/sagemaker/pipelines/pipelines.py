"""Pipelines as such: created, updated, described, deleted.

moto keeps them. It gets help where it would do something else than AWS: definitions that lie in
S3 (moto keeps Python's spelling of the JSON), text that is no definition, lookups by ARN, the error
for a pipeline that isn't there, LastModifiedTime, LastRunTime, and tags added a second time.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from moto.core.exceptions import ServiceException
from moto.sagemaker.models import sagemaker_backends

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.pipelines.definition import checked_definition


class Pipelines:
    """Handlers for the operations on pipelines. Safe to use from any thread."""

    def __init__(self, own: OwnAws) -> None:
        self._own = own
        self._lock = threading.Lock()

    def create(self, call: Call) -> Mapping[str, Any]:
        """CreatePipeline."""
        refuse_members(call, "ParallelismConfiguration")
        params = call.params
        definition = self._definition(params)
        if definition is None:
            raise AwsError(
                "ValidationException",
                "Either PipelineDefinition or PipelineDefinitionS3Location must be given",
            )
        with self._lock:
            if params["PipelineName"] in self._moto().pipelines:
                raise AwsError(
                    "ValidationException",
                    "Pipeline names must be unique within an AWS account and region. "
                    f"Pipeline with name ({params['PipelineName']}) already exists.",
                )
            pipeline = self._moto().create_pipeline(
                pipeline_name=params["PipelineName"],
                pipeline_display_name=params.get("PipelineDisplayName"),
                pipeline_definition=definition,
                pipeline_definition_s3_location=None,
                pipeline_description=params.get("PipelineDescription"),
                role_arn=params["RoleArn"],
                tags=params.get("Tags"),
                parallelism_configuration=None,
            )
        return {"PipelineArn": pipeline.arn}

    def update(self, call: Call) -> Mapping[str, Any]:
        """UpdatePipeline: what isn't given stays as it is."""
        refuse_members(call, "ParallelismConfiguration")
        params = call.params
        definition = self._definition(params)
        with self._lock:
            pipeline = self._find(params["PipelineName"])
            for attribute, value in (
                ("pipeline_display_name", params.get("PipelineDisplayName")),
                ("pipeline_definition", definition),
                ("pipeline_description", params.get("PipelineDescription")),
                ("role_arn", params.get("RoleArn")),
            ):
                if value is not None:
                    setattr(pipeline, attribute, value)
            pipeline.last_modified_time = _moto_now()
        return {"PipelineArn": pipeline.arn}

    def describe(self, call: Call) -> Mapping[str, Any]:
        """DescribePipeline, by name or ARN."""
        refuse_members(call, "PipelineVersionId", "PipelineVersionAlias")
        with self._lock:
            pipeline = self._find(call.params["PipelineName"])
            answer = self._moto().describe_pipeline(pipeline.pipeline_name)
        invented = ("CreatedBy", "LastModifiedBy")
        return {name: value for name, value in answer.items() if value and name not in invented}

    def delete(self, call: Call) -> Mapping[str, Any]:
        """DeletePipeline."""
        with self._lock:
            pipeline = self._find(call.params["PipelineName"])
            self._moto().delete_pipeline(pipeline.pipeline_name)
        return {"PipelineArn": pipeline.arn}

    def add_tags(self, call: Call) -> Mapping[str, Any]:
        """AddTags for whatever moto keeps: a tag that is there gets the new value."""
        arn, tags = call.params["ResourceArn"], call.params["Tags"]
        with self._lock:
            try:
                self._moto().delete_tags(arn, [tag["Key"] for tag in tags])
                return {"Tags": self._moto().add_tags(arn, tags)}
            except (ServiceException, AttributeError, ValueError) as err:
                raise AwsError("ValidationException", f"No resource with the ARN {arn}") from err

    def note_run(self, name: str, started: datetime.datetime) -> None:
        """Remember when the pipeline was last started, for LastRunTime."""
        with self._lock:
            self._find(name).last_execution_time = started.replace(tzinfo=None)

    def _definition(self, params: Mapping[str, Any]) -> str | None:
        """The definition that the caller gives, from S3 if it lies there; None if none is given."""
        location = params.get("PipelineDefinitionS3Location")
        text: str | None = params.get("PipelineDefinition")
        if location is not None:
            if text is not None:
                raise AwsError(
                    "ValidationException",
                    "PipelineDefinition and PipelineDefinitionS3Location can't both be given",
                )
            text = self._read(location)
        return None if text is None else checked_definition(text)

    def _read(self, location: Mapping[str, str]) -> str:
        arguments = {"Bucket": location["Bucket"], "Key": location["ObjectKey"]}
        if "VersionId" in location:
            arguments["VersionId"] = location["VersionId"]
        try:
            body: bytes = self._own.client("s3").get_object(**arguments)["Body"].read()
        except ClientError as err:
            uri = f"s3://{location['Bucket']}/{location['ObjectKey']}"
            raise AwsError(
                "ValidationException", f"Unable to read pipeline definition {uri}: {err}"
            ) from err
        return body.decode()

    def _find(self, name_or_arn: str) -> Any:
        name = name_or_arn.rsplit("/", 1)[-1]
        pipeline = self._moto().pipelines.get(name)
        if pipeline is None:
            arn = self._own.arn("sagemaker", f"pipeline/{name}")
            raise AwsError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
        return pipeline

    def _moto(self) -> Any:
        return sagemaker_backends[self._own.account][self._own.region]


def refuse_members(call: Call, *members: str) -> None:
    """Raise AwsError if the call has one of `members`, none of which local_aws supports."""
    for member in members:
        if member in call.params:
            raise AwsError(
                "ValidationException", f"{call.operation}: {member} is not supported by local_aws"
            )


def _moto_now() -> datetime.datetime:
    # moto's timestamps are in UTC without saying so.
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
