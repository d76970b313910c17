"""A model's archive from S3 into /opt/ml/model, as SageMaker does when an endpoint starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.errors import AwsError
from local_aws.sagemaker.endpoints.model_archive import ArchiveError, unpack


class ModelDataError(Exception):
    """The archive could not be fetched or unpacked; the message is for FailureReason."""


def s3_location(url: str) -> tuple[str, str]:
    """(bucket, key) of an s3:// URL. AwsError ValidationException for anything else."""
    parts = urlsplit(url)
    key = parts.path.lstrip("/")
    if parts.scheme != "s3" or not parts.netloc or not key:
        raise AwsError("ValidationException", f"{url!r} is not an S3 location: s3://bucket/key")
    return parts.netloc, key


def fetch_model_data(s3: Any, url: str, folder: Path) -> None:
    """Unpack the archive at `url` into `folder`, read with the client `s3` as it comes.

    Raises ModelDataError when it can't be read, is no tar.gz, or holds anything but files and
    folders inside `folder`.
    """
    bucket, key = s3_location(url)
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
    except (ClientError, BotoCoreError) as err:
        raise ModelDataError(
            f'Failed to download model data for container "container_1" from URL: "{url}". Please '
            "ensure that there is an object located at the URL and that the role passed to "
            f"CreateModel has permissions to download the object. ({err})"
        ) from err
    try:
        # moto answers ranged reads slowly; one stream, unpacked while it is read, is fast.
        unpack(body, folder)
    except ArchiveError as err:
        raise ModelDataError(
            f'Failed to extract model data archive for container "container_1" from URL: "{url}". '
            "Please ensure that the object located at the URL is a valid tar.gz archive. "
            f"({err})"
        ) from err
