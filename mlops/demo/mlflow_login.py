"""The login of an MLflow that somebody else runs: from the command line into Secrets Manager.

There jobs, builds and commands find it as they do on AWS: the platform's parameter names the
secret, and each reads it for itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.account import Account
from mlops.errors import AwsRefused, InputError

SECRET_NAME = "sagemaker-mlflow/client"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class Login:
    """What MLflow's basic-auth asks for."""

    username: str
    password: str = field(repr=False)


def read_login(
    url: str | None, secret_file: Path | None, username: str | None, environment: Mapping[str, str]
) -> Login | None:
    """What the command line says; None if it names no login. Raises InputError."""
    if url is None:
        if secret_file or username:
            raise InputError("a login without a server: pass --tracking-uri too.")
        return None
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--tracking-uri {url!r} is no http:// or https:// address.")
    if secret_file is not None:
        return _parse(secret_file)
    if username is None:
        return None
    password = environment.get("MLFLOW_TRACKING_PASSWORD")
    if not password:
        raise InputError(
            "--tracking-username without a password: set MLFLOW_TRACKING_PASSWORD. "
            "There is no flag for it, as others see a command's arguments."
        )
    return Login(username=username, password=password)


def require_answer(url: str, login: Login | None) -> None:
    """Ask MLflow once, as a client does; raises AwsRefused if it doesn't answer or refuses."""
    import urllib3  # with boto3

    user = f"{login.username}:{login.password}" if login else None
    address = f"{url.rstrip('/')}/api/2.0/mlflow/experiments/get?experiment_id=0"
    try:
        answer = urllib3.request(
            "GET",
            address,
            headers=urllib3.make_headers(basic_auth=user) if user else {},
            timeout=10.0,
            retries=urllib3.Retry(2),
        )
    except urllib3.exceptions.HTTPError as err:
        raise AwsRefused(f"MLflow at {url} can't be reached: {err}. Check --tracking-uri.") from err
    if answer.status == 401:
        said = f"refuses the login of {login.username!r}" if login else "asks for a login"
        raise AwsRefused(
            f"MLflow at {url} {said}: HTTP 401. Pass --credentials-secret-file, or "
            "--tracking-username with MLFLOW_TRACKING_PASSWORD in the environment."
        )
    if answer.status not in (200, 403, 404):
        raise AwsRefused(f"MLflow at {url} answers HTTP {answer.status}: {answer.data[:200]!r}")


def keep_login(account: Account, login: Login | None) -> str:
    """Put the login into Secrets Manager; the secret's ARN, or `none`."""
    if login is None:
        return "none"
    text = json.dumps({"username": login.username, "password": login.password})
    secrets = account.client("secretsmanager")
    try:
        made = secrets.create_secret(
            Name=SECRET_NAME, Description="Login to MLflow", SecretString=text
        )
    except secrets.exceptions.ResourceExistsException:
        made = secrets.put_secret_value(SecretId=SECRET_NAME, SecretString=text)
    return str(made["ARN"])


def _parse(path: Path) -> Login:
    try:
        secret: Any = json.loads(path.read_text())
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror}") from err
    except ValueError:
        secret = None
    if isinstance(secret, dict):
        username, password = secret.get("username"), secret.get("password")
        if isinstance(username, str) and isinstance(password, str) and username and password:
            return Login(username=username, password=password)
    raise InputError(f'{path} holds no {{"username": "...", "password": "..."}}.')
