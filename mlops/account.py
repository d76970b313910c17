"""The AWS account that the command works in, and what its errors mean to a person."""

from __future__ import annotations

import functools
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from mlops.errors import AwsRefused, InputError
from model_deploy.command_line import explain_stale_shell

# What a local-aws that runs in this folder leaves there, and the line that uses it.
RUNNING = Path(".local") / "running.json"
USE_LOCAL = 'eval "$(local-aws env)"'
# The AWS CLI that is installed here (1) knows no `aws sso login`.
LOG_IN = "`aws configure`, or log in by the AWS CLI 2 (aws sso login)"
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN_CREDENTIALS = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
}


@dataclass(frozen=True)
class Account:
    """An AWS account and region, with clients of its services."""

    session: boto3.session.Session
    id: str
    partition: str
    caller: str
    # Where requests go: AWS's own address, or that of what stands for it.
    endpoint: str = ""

    @property
    def region(self) -> str:
        """The region that every client works in."""
        return str(self.session.region_name)

    def client(self, service: str) -> Any:
        """The boto3 client of a service; botocore repeats what AWS throttles."""
        return _client(self.session, service)

    @property
    def is_local(self) -> bool:
        """Something on this machine stands for AWS."""
        return is_loopback(self.endpoint)

    def describe(self) -> str:
        """Which AWS it is, in one line: what every command says first."""
        if self.is_local:
            return f"local {urlsplit(self.endpoint).netloc}"
        profile = self.session.profile_name
        by = f", profile {profile}" if profile != "default" else ""
        return f"account {self.id}, region {self.region}{by}, as {self.caller}"

    def environment(self) -> dict[str, str]:
        """What another program needs to reach the same account: address, region, credentials."""
        frozen = self.session.get_credentials().get_frozen_credentials()
        token = {"AWS_SESSION_TOKEN": frozen.token} if frozen.token else {}
        return {
            **({"AWS_ENDPOINT_URL": self.endpoint} if self.is_local else {}),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": frozen.access_key,
            "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
            **token,
        }


def say_which(account: Account) -> None:
    """What every command says first, on stderr: which AWS it talks to."""
    print(f"AWS: {account.describe()}", file=sys.stderr, flush=True)


def is_loopback(url: str) -> bool:
    """Whether the address is one of this machine only."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def open_account(region: str | None, profile: str | None) -> Account:
    """The account that the credentials belong to; AWS is asked for it.

    Raises InputError without a region or with an unknown profile, AwsRefused without credentials
    that AWS takes, and at once where the shell names an AWS of this machine that has ended.
    """
    try:
        session = open_session(region, profile)
        if session.region_name is None:
            raise NoRegionError
        # MLflow's address is the project's, whatever the shell says.
        named = {"AWS_ENDPOINT_URL": os.environ.get("AWS_ENDPOINT_URL", "")}
        stale = explain_stale_shell(named)
        if stale:
            raise AwsRefused(stale)
        sts = _client(session, "sts")
        identity = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as err:
        raise explained(err) from err
    return Account(
        session=session,
        id=identity["Account"],
        partition=identity["Arn"].split(":")[1],
        caller=identity["Arn"],
        endpoint=sts.meta.endpoint_url,
    )


def open_session(region: str | None, profile: str | None) -> boto3.Session:
    """A session in that region, else in AWS_REGION, else in the one that boto3 finds.

    boto3 itself reads AWS_DEFAULT_REGION only, where other SDKs and the `aws` of today read both.
    Raises ProfileNotFound.
    """
    named = region or os.environ.get("AWS_REGION") or None
    return boto3.Session(profile_name=profile, region_name=named)


def explained(err: BotoCoreError | ClientError) -> InputError | AwsRefused:
    """One message for a person: what AWS refused, and what to do about it."""
    if isinstance(err, ProfileNotFound):
        return InputError(f"{err}; ~/.aws/config and ~/.aws/credentials name those there are")
    if isinstance(err, (NoRegionError, *_NO_CREDENTIALS)) and RUNNING.is_file():
        return InputError(
            f"no AWS is named, but a local-aws runs in this folder. Type: {USE_LOCAL}"
        )
    if isinstance(err, NoRegionError):
        return InputError(
            "no AWS region is set; pass --region, name it in the settings file's `region`, "
            "or set AWS_REGION"
        )
    if isinstance(err, _NO_CREDENTIALS):
        return AwsRefused(
            f"no AWS credentials to sign requests with ({err}); "
            f"run {LOG_IN}, and name a profile by --profile"
        )
    if isinstance(err, ConnectionError):
        url = str(err.kwargs.get("endpoint_url", ""))
        if is_loopback(url):
            place = f"nothing answers at {urlsplit(url).netloc}, where a local-aws was"
            return AwsRefused(f"{place}; start one by `local-aws up`, then type: {USE_LOCAL}")
        return AwsRefused(f"AWS can not be reached: {err}; check the network and AWS_ENDPOINT_URL")
    if isinstance(err, ClientError):
        return _explained_answer(err)
    return AwsRefused(f"AWS: {err}")


def error_code(err: ClientError) -> str:
    """AWS's name of the error."""
    return str(err.response["Error"].get("Code", ""))


def error_message(err: ClientError) -> str:
    """AWS's sentence about the error."""
    return str(err.response["Error"].get("Message", ""))


def _explained_answer(err: ClientError) -> AwsRefused:
    code, message = error_code(err), error_message(err)
    if code in _EXPIRED:
        return AwsRefused(f"the AWS credentials have expired ({message}); log in again")
    if code in _UNKNOWN_CREDENTIALS and is_loopback(os.environ.get("AWS_ENDPOINT_URL", "")):
        return AwsRefused(
            f"AWS on this machine refuses the credentials ({code}): they are an earlier one's. "
            f"Type: {USE_LOCAL}"
        )
    if code in _UNKNOWN_CREDENTIALS:
        return AwsRefused(
            f"AWS does not know the credentials: {code}: {message}; "
            "look at `aws sts get-caller-identity` and --profile"
        )
    if code in _DENIED:
        named = re.search(r"not authorized to perform: ([\w-]+:\w+)", message)
        action = named[1] if named else err.operation_name
        return AwsRefused(f"AWS does not allow you {action}: {message}")
    return AwsRefused(f"AWS refused {err.operation_name}: {code}: {message}")


@functools.lru_cache(maxsize=32)
def _client(session: boto3.session.Session, service: str) -> Any:
    # Loopback never goes to a proxy, whatever HTTP_PROXY says.
    url = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}")
    local = is_loopback(url or os.environ.get("AWS_ENDPOINT_URL", ""))
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 5}, **({"proxies": {}} if local else {})
    )
    return session.client(service, config=config)
