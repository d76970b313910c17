"""An MLflow server that somebody else runs, in place of `local-aws up`'s own: address and login.

The login goes into the gateway's Secrets Manager, so that jobs, builds and commands find it as
they do on AWS: MLFLOW_CREDENTIALS_SECRET names it, and each reads it for itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import urllib3

from local_aws.errors import StartFailed, UsageError
from local_aws.own_aws import OwnAws
from local_aws.remote import client_of

NO_SECRET = "none"  # noqa: S105 - the word that says that there is none
SECRET_NAME = "sagemaker-mlflow/client"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class Login:
    """What MLflow's basic-auth asks for."""

    username: str
    password: str = field(repr=False)


class Mlflow(Protocol):
    """What LocalAws needs of an MLflow server, its own or another."""

    url: str

    @property
    def login(self) -> Login | None:
        """What to log in with; None where nobody is asked."""

    def start(self) -> Mlflow:
        """Begin to serve; returns before it is ready."""

    def wait_until_ready(self) -> None:
        """Return when it answers; raises StartFailed if it doesn't."""

    def stop(self) -> None:
        """End what start() began."""


class MlflowElsewhere:
    """A server at `url` that runs already, and is left running."""

    def __init__(self, url: str, login: Login | None) -> None:
        self.url = url.rstrip("/")
        self.login = login

    @classmethod
    def from_flags(
        cls,
        url: str | None,
        secret_file: Path | None,
        username: str | None,
        environment: Mapping[str, str],
    ) -> MlflowElsewhere | None:
        """What the command line says; None if it names no server. Raises UsageError."""
        if url is None:
            if secret_file or username:
                raise UsageError("a login without a server: pass --tracking-uri too.")
            return None
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"--tracking-uri {url!r} is no http:// or https:// address.")
        return cls(url, _read_login(secret_file, username, environment))

    def start(self) -> MlflowElsewhere:
        """Nothing to start."""
        return self

    def wait_until_ready(self) -> None:
        """Ask it once, as a client does; raises StartFailed if it doesn't answer or refuses."""
        headers = {}
        if self.login:
            headers = urllib3.make_headers(
                basic_auth=f"{self.login.username}:{self.login.password}"
            )
        address = f"{self.url}/api/2.0/mlflow/experiments/get?experiment_id=0"
        try:
            answer = urllib3.request(
                "GET", address, headers=headers, timeout=10.0, retries=urllib3.Retry(2)
            )
        except urllib3.exceptions.HTTPError as err:
            raise StartFailed(
                f"MLflow at {self.url} can't be reached: {err}. Check --tracking-uri."
            ) from err
        if answer.status == 401:
            user = repr(self.login.username) if self.login else ""
            said = f"refuses the login of {user}" if user else "asks for a login"
            raise StartFailed(
                f"MLflow at {self.url} {said}: HTTP 401. Pass --credentials-secret-file, or "
                "--tracking-username with MLFLOW_TRACKING_PASSWORD in the environment."
            )
        if answer.status not in (200, 403, 404):
            raise StartFailed(
                f"MLflow at {self.url} answers HTTP {answer.status}: {answer.data[:200]!r}"
            )

    def stop(self) -> None:
        """It isn't ours to end."""


def keep_login(own: OwnAws, login: Login | None) -> str:
    """Put the login into Secrets Manager; the secret's ARN, or `none`."""
    if login is None:
        return NO_SECRET
    secret = {"username": login.username, "password": login.password}
    made = own.client("secretsmanager").create_secret(
        Name=SECRET_NAME, Description="Login to MLflow", SecretString=json.dumps(secret)
    )
    return str(made["ARN"])


def become_client(announced: Mapping[str, str], environment: MutableMapping[str, str]) -> None:
    """Let this very process ask an MLflow elsewhere, as one does after `local-aws env`.

    It may keep artifacts in the gateway's S3, which MLflow's client finds by the AWS variables.
    """
    environment.update({k: v for k, v in announced.items() if k.startswith("AWS_")})
    secret_arn = announced.get("MLFLOW_CREDENTIALS_SECRET", NO_SECRET)
    if secret_arn == NO_SECRET or environment.get("MLFLOW_TRACKING_USERNAME"):
        return
    answer = client_of(announced, "secretsmanager").get_secret_value(SecretId=secret_arn)
    secret = json.loads(answer["SecretString"])
    environment["MLFLOW_TRACKING_USERNAME"] = secret["username"]
    environment["MLFLOW_TRACKING_PASSWORD"] = secret["password"]


def _read_login(
    secret_file: Path | None, username: str | None, environment: Mapping[str, str]
) -> Login | None:
    if secret_file is not None:
        return _parse(secret_file)
    if username is None:
        return None
    password = environment.get("MLFLOW_TRACKING_PASSWORD")
    if not password:
        raise UsageError(
            "--tracking-username without a password: set MLFLOW_TRACKING_PASSWORD. "
            "There is no flag for it, as others see a command's arguments."
        )
    return Login(username=username, password=password)


def _parse(path: Path) -> Login:
    try:
        secret: Any = json.loads(path.read_text())
    except OSError as err:
        raise UsageError(f"cannot read {path}: {err.strerror}") from err
    except ValueError:
        secret = None
    if isinstance(secret, dict):
        username, password = secret.get("username"), secret.get("password")
        if isinstance(username, str) and isinstance(password, str) and username and password:
            return Login(username=username, password=password)
    raise UsageError(f'{path} holds no {{"username": "...", "password": "..."}}.')
