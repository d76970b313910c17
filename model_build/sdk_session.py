"""The SageMaker SDK, doing only what it was asked to do.

Left alone, the SDK reports usage to AWS, creates buckets, simulates IAM policies, asks STS who is
calling and looks for an instance's credentials. None of that is needed to compile a pipeline.
See docs/decisions/0012-quiet-sagemaker-sdk.md.
"""

import os
from collections.abc import Callable
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from sagemaker.core.config.config_manager import SageMakerConfig
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.train import ModelTrainer

_TELEMETRY_OFF = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


def open_session(bucket: str, region: str, *, offline: bool = False) -> PipelineSession:
    """A session that uploads what steps need to `bucket`, and takes no other liberty.

    `offline`: no request leaves the process; every upload "succeeds". For looking at a definition.
    """
    # Read by the SDK while it compiles; with it on, a training role needs rights it never uses.
    os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"
    if offline:
        boto_session = boto3.Session("offline", "offline", region_name=region)
        boto_session.events.register("before-send", _answer_without_sending)
    else:
        boto_session = boto3.Session(region_name=region)
    session = PipelineSession(
        boto_session=boto_session, default_bucket=bucket, sagemaker_config=_TELEMETRY_OFF
    )
    # The constructor has validated the configuration. The SDK would validate it again at each of
    # some thirty lookups, 0.1 s each. If this attribute ever goes, compiling is slow, not wrong.
    SageMakerConfig.validate_sagemaker_config = staticmethod(_accept)
    # Known already: the SDK would otherwise list buckets and create this one if it isn't there.
    session._default_bucket = bucket
    return session


class QuietModelTrainer(ModelTrainer):  # type: ignore[misc]
    """A ModelTrainer that uploads to its session's bucket, without simulating whether it may.

    If the SDK ever stops asking this method, it simulates again: slower, not wrong.
    """

    def _resolve_staging_bucket(self) -> tuple[str, str | None]:
        return self.sagemaker_session.default_bucket(), None


def _accept(sagemaker_config: dict[str, Any] | None = None) -> None:
    """The configuration is ours and was validated when the session was made."""


def _answer_without_sending(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    return AWSResponse(request.url, 200, {"ETag": '"offline"'}, _EmptyBody())


class _EmptyBody:
    """What botocore reads a response from."""

    def stream(self, **_: Any) -> Any:
        yield b""

    def read(self, *_: Any) -> bytes:
        return b""

    release_conn: Callable[[], None] = staticmethod(lambda: None)
