"""boto3 clients of a local_aws that serves in another process.

From the environment it announced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config


def client_of(environment: Mapping[str, str], service: str) -> Any:
    """A client as a program would get it after `eval "$(local-aws env)"`."""
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}),  # it is on this machine: no way leads through a proxy
    )
