"""local_aws as its own AWS client.

What it does inside is an API call under the role that AWS would use.
"""

from __future__ import annotations

import getpass
import json
import secrets
import string
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from local_aws.errors import AwsError
from local_aws.shell import without_proxy

REGION = "us-east-1"
ACCOUNT = "123456789012"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who may sign with an access key, and the secrets that go with it."""

    access_key: str
    secret: str
    token: str = ""
    arn: str
    expires: datetime | None = None

    def credentials(self) -> dict[str, str]:
        """As boto3 names them."""
        token = {"aws_session_token": self.token} if self.token else {}
        return {
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret,
            **token,
        }


class OwnAws:
    """boto3 clients of the gateway itself, by role. Safe to use from any thread.

    `url` is set when the gateway listens. The developer's credentials, of the person at the
    terminal, who may do everything, are new for each instance.
    """

    def __init__(self, state_dir: Path, region: str = REGION) -> None:
        self.url = ""
        self.region = region
        self.account = ACCOUNT
        self.state_dir = state_dir
        self._lock = threading.RLock()
        self._session = boto3.Session(region_name=region)
        self._clients: dict[tuple[str, str | None, str], Any] = {}
        self._sessions: dict[tuple[str, str], Identity] = {}
        self.developer = Identity(
            access_key="AKIA" + _random(string.ascii_uppercase + "234567", 16),
            secret=_random(string.ascii_letters + string.digits, 40),
            arn=f"arn:aws:iam::{self.account}:user/{getpass.getuser()}",
        )

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
        credentials = self.acting(role_arn, principal).credentials()
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
        credentials = self.acting(role_arn, principal).credentials()
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **without_proxy({}),
            **{name.upper(): value for name, value in credentials.items()},
        }

    def identity(self, access_key: str) -> Identity | None:
        """Who signs with that key: the developer, a role's session, or a user of IAM.

        None if nobody does. The sessions of `client()` last: AWS renews what a container finds,
        the environment of a process can't be.
        """
        # Without the lock: who holds it may be waiting for the answer to a request of its own.
        for known in (self.developer, *list(self._sessions.values())):
            if known.access_key == access_key:
                return known
        key = iam_backends[self.account]["aws"].access_keys.get(access_key)
        if key is None or key.status != "Active":
            return None
        if key.user_name is not None:
            arn = f"arn:aws:iam::{self.account}:user/{key.user_name}"
            return Identity(access_key=access_key, secret=key.secret_access_key, arn=arn)
        session = sts_backends[self.account]["aws"].get_assumed_role_from_access_key(access_key)
        if session is None:
            return None
        return Identity(
            access_key=access_key,
            secret=session.secret_access_key,
            token=session.session_token,
            arn=session.arn,
            expires=session.expiration.replace(tzinfo=UTC),
        )

    def arn(self, service: str, resource: str) -> str:
        """`arn:aws:<service>:<region>:<account>:<resource>`."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def acting(self, role_arn: str | None, principal: str) -> Identity:
        """The session of the service `principal` under that role; None is the developer's."""
        if role_arn is None:
            return self.developer
        with self._lock:
            if (role_arn, principal) not in self._sessions:
                self._require_trust(role_arn, principal)
                answer = self.client("sts").assume_role(
                    RoleArn=role_arn, RoleSessionName=principal.partition(".")[0]
                )
                self._sessions[role_arn, principal] = Identity(
                    access_key=answer["Credentials"]["AccessKeyId"],
                    secret=answer["Credentials"]["SecretAccessKey"],
                    token=answer["Credentials"]["SessionToken"],
                    arn=answer["AssumedRoleUser"]["Arn"],
                )
            return self._sessions[role_arn, principal]

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


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
