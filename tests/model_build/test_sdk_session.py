"""The session reports nothing, creates nothing, asks nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Build = Callable[..., dict[str, Any]]


def test_offline_session_answers_without_sending(build_definition: Build) -> None:
    from model_build.sdk_session import open_session

    session = open_session("no-such-bucket", "us-east-1", offline=True)
    session.s3_client.put_object(Bucket="no-such-bucket", Key="x", Body=b"x")
    assert session.default_bucket() == "no-such-bucket"


def test_telemetry_is_off_for_the_sdk(build_definition: Build) -> None:
    from sagemaker.core.common_utils import resolve_value_from_config
    from sagemaker.core.config.config_schema import TELEMETRY_OPT_OUT_PATH

    from model_build.sdk_session import open_session

    session = open_session("bucket", "us-east-1", offline=True)
    assert (
        resolve_value_from_config(
            config_path=TELEMETRY_OPT_OUT_PATH, default_value=False, sagemaker_session=session
        )
        is True
    )


def test_uploads_are_all_that_compiling_asks_of_aws(build_definition: Build) -> None:
    from botocore.awsrequest import AWSPreparedRequest

    from model_build import sdk_session

    session = sdk_session.open_session("bucket", "us-east-1", offline=True)
    seen: set[tuple[str, str]] = set()

    def record(request: AWSPreparedRequest, **_: object) -> None:
        seen.add((request.method, request.url.split("/")[2].split(".")[-3]))

    session.boto_session.events.register_first("before-send", record)
    session.s3_client.meta.events.register_first("before-send", record)
    session.s3_resource.meta.client.meta.events.register_first("before-send", record)
    build_definition(sagemaker_session=session)
    assert seen == {("PUT", "s3")}
