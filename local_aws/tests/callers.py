"""Those who call the gateway from outside, each with credentials of its own."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_aws.gateway import Gateway
from local_aws.login import git_signature
from local_aws.own_aws import Identity

_HELPER = f"!{sys.executable} -I -S {Path(__file__).with_name('credential_helper.py')}"


def stranger(gateway: Gateway, service: str, **arguments: Any) -> Any:
    """A client as a program makes it after `eval "$(local-aws env)"`."""
    credentials = {**gateway.own.developer.credentials(), **arguments}
    return boto3.client(service, endpoint_url=gateway.url, region_name="us-east-1", **credentials)


def signed(
    gateway: Gateway,
    service: str,
    body: bytes = b"",
    *,
    path: str = "/",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    changed: Mapping[str, Any] | None = None,
) -> urllib3.BaseHTTPResponse:
    """The answer to a request that the developer signed; `changed` is what is sent instead."""
    request = AWSRequest(method, f"{gateway.url}{path}", dict(headers or {}), body)
    developer = gateway.own.developer
    credentials = Credentials(developer.access_key, developer.secret)
    SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    return urllib3.request(
        method,
        f"{gateway.url}{path}",
        body=(changed or {}).get("body", body),
        headers={**dict(request.headers), **(changed or {}).get("headers", {})},
        retries=False,
        timeout=20,
    )


def git_logs_in(helper: str = _HELPER) -> dict[str, str]:
    """Environment in which git asks a credential helper, as CodeCommit's guide sets it up."""
    return {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": helper,
        "GIT_CONFIG_KEY_1": "credential.UseHttpPath",
        "GIT_CONFIG_VALUE_1": "true",
    }


def basic_login(
    gateway: Gateway, path: str, *, identity: Identity | None = None, stamp: str = ""
) -> str:
    """The header Authorization for the repository at `path`."""
    who = identity or gateway.own.developer
    stamp = stamp or f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    signature = git_signature(who, "us-east-1", stamp, "127.0.0.1", path)
    user = f"{who.access_key}%{who.token}" if who.token else who.access_key
    return "Basic " + base64.b64encode(f"{user}:{stamp}Z{signature}".encode()).decode()
