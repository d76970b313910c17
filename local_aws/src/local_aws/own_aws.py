"""local_aws as its own AWS client.

What it does inside is an API call under the role that AWS would use.
"""

from __future__ import annotations

import getpass
import json
import threading
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local_aws.errors import AwsError
from local_aws.shell import without_proxy

REGION = "us-east-1"
ACCOUNT = "123456789012"
# The person at the terminal, who may do everything. Not a secret: it opens nothing but this
# gateway.
DEVELOPER_KEY = "LOCALAWSDEVELOPER000"
DEVELOPER_SECRET = "local-aws"  # noqa: S105


class OwnAws:
    """boto3 clients of the gateway itself, by role. Safe to use from any thread.

    `url` is set when the gateway listens.
    """

    def __init__(self, state_dir: Path, region: str = REGION) -> None:
        self.url = ""
        self.region = region
        self.account = ACCOUNT
        self.state_dir = state_dir
        self._lock = threading.RLock()
        self._session = boto3.Session(region_name=region)
        self._clients: dict[tuple[str, str | None, str], Any] = {}
        self._credentials: dict[tuple[str, str], dict[str, str]] = {}

    def client(
        self,
        service: str,
        role_arn: str | None = None,
        *,
        principal: str = "sagemaker.amazonaws.com",
    ) -> Any:
        """A boto3 client under `role_arn` (None.

        The developer), which must trust the service `principal`.
        """
        credentials = self._credentials_of(role_arn, principal)
        with self._lock:
            key = (service, role_arn, principal)
            if key not in self._clients:
                self._clients[key] = self._session.client(
                    service,
                    endpoint_url=self.url,
                    config=Config(
                        s3={"addressing_style": "path"},
                        retries={"total_max_attempts": 2},
                        max_pool_connections=50,
                        proxies={},
                    ),
                    **credentials,
                )
            return self._clients[key]

    def credentials_environment(
        self, role_arn: str | None, *, principal: str = "sagemaker.amazonaws.com"
    ) -> dict[str, str]:
        """What a container that runs under `role_arn` finds in its environment.

        Endpoint, region, credentials.
        """
        credentials = self._credentials_of(role_arn, principal)
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **without_proxy({}),
            **{name.upper(): value for name, value in credentials.items()},
        }

    def caller_arn(self, access_key: str) -> str:
        """Who signs with that key: the person at the terminal, or a service in an assumed role."""
        if access_key == DEVELOPER_KEY:
            return f"arn:aws:iam::{self.account}:user/{getpass.getuser()}"
        with self._lock:
            credentials = dict(self._credentials)
        for (role_arn, principal), values in credentials.items():
            if values["aws_access_key_id"] == access_key:
                role, session = role_arn.rpartition("/")[2], principal.partition(".")[0]
                return f"arn:aws:sts::{self.account}:assumed-role/{role}/{session}"
        return f"arn:aws:iam::{self.account}:user/{access_key or 'anonymous'}"

    def arn(self, service: str, resource: str) -> str:
        """`arn:aws:<service>:<region>:<account>:<resource>`."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def _credentials_of(self, role_arn: str | None, principal: str) -> dict[str, str]:
        if role_arn is None:
            return {
                "aws_access_key_id": DEVELOPER_KEY,
                "aws_secret_access_key": DEVELOPER_SECRET,
            }
        with self._lock:
            if (role_arn, principal) not in self._credentials:
                self._require_trust(role_arn, principal)
                answer = self.client("sts").assume_role(
                    RoleArn=role_arn, RoleSessionName=principal.partition(".")[0]
                )["Credentials"]
                self._credentials[role_arn, principal] = {
                    "aws_access_key_id": answer["AccessKeyId"],
                    "aws_secret_access_key": answer["SecretAccessKey"],
                    "aws_session_token": answer["SessionToken"],
                }
            return self._credentials[role_arn, principal]

    def _require_trust(self, role_arn: str, principal: str) -> None:
        """Raise AwsError unless the role exists and its trust policy names the service."""
        name = role_arn.rsplit("/", 1)[-1]
        try:
            role = self.client("iam").get_role(RoleName=name)["Role"]
        except ClientError as err:
            if err.response["Error"]["Code"] != "NoSuchEntity":
                raise
            raise AwsError("ValidationException", f"Role {role_arn} does not exist") from err
        policy = role["AssumeRolePolicyDocument"]
        if principal not in json.dumps(policy):
            raise AwsError(
                "ValidationException",
                f"Could not assume role {role_arn}. "
                "Please ensure that the role exists and allows principal "
                f"'{principal}' to assume the role.",
            )
