"""The login to an MLflow server that asks for one.

MLFLOW_CREDENTIALS_SECRET names a secret of AWS Secrets Manager: {"username": ..., "password": ...}.
MLflow's client takes both from the environment at each request, so that is where they go; why not
elsewhere is in docs/decisions/0014-login-from-a-secret.md.

model_build, its training step and model_deploy have this file each, word for word: none of the
three can import another's.
"""

import json
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

_VARIABLE = "MLFLOW_CREDENTIALS_SECRET"
_SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):\d{12}:secret:[\w/+=.@-]+")
_EXAMPLE = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mlflow-client-a1b2c3"
# What the Parameter Store holds where MLflow asks for no login: it takes no empty value.
_NONE = "none"


class LoginError(Exception):
    """User and password for MLflow can't be had."""


def read_secret_arn(text: str | None) -> str:
    """The ARN in MLFLOW_CREDENTIALS_SECRET; "" if that is missing, empty or `none`."""
    named = (text or "").strip()
    return "" if named == _NONE else named


def find_problem(secret_arn: str) -> str | None:
    """What the secret should be named like, or None if it is fine."""
    if not secret_arn or _SECRET_ARN.fullmatch(secret_arn):
        return None
    return f"{_VARIABLE} is {secret_arn!r}; it should look like {_EXAMPLE!r}, or be {_NONE!r}"


def log_in(tracking_uri: str, secret_arn: str, environment: MutableMapping[str, str]) -> None:
    """Read the secret once, and put its user and password where MLflow's client looks for them.

    Nothing to do without a secret, for an address that isn't http(s) (SageMaker's managed MLflow
    has signed requests instead), or where the environment has a user or token already: they win.
    Raises LoginError.
    """
    if not secret_arn or not tracking_uri.startswith(("http://", "https://")):
        return
    if environment.get("MLFLOW_TRACKING_USERNAME") or environment.get("MLFLOW_TRACKING_TOKEN"):
        return
    problem = find_problem(secret_arn)
    if problem:
        raise LoginError(problem)
    username, password = _parse(secret_arn, _fetch(secret_arn))
    environment["MLFLOW_TRACKING_USERNAME"] = username
    environment["MLFLOW_TRACKING_PASSWORD"] = password


def explain_refused_login(err: Exception, environment: Mapping[str, str]) -> str | None:
    """What follows "MLflow at ... " if it refused for want of a login; None for another error."""
    if getattr(err, "error_code", "") != "UNAUTHENTICATED":
        return None
    username = environment.get("MLFLOW_TRACKING_USERNAME")
    if not username:
        return (
            f"asks for a login, and there is none: set {_VARIABLE} to the ARN of the secret with "
            "MLflow's user and password"
        )
    return (
        f"refuses the login of {username!r}: no such user, or another password. "
        f"Check what {_VARIABLE} or MLFLOW_TRACKING_USERNAME names"
    )


def _fetch(secret_arn: str) -> str:
    import boto3  # 0.2 s, and most who run this have no secret
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    region = secret_arn.split(":")[3]
    quick = Config(
        connect_timeout=5,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    try:
        client = boto3.client("secretsmanager", region_name=region, config=quick)
        answer = client.get_secret_value(SecretId=secret_arn)
    except ClientError as err:
        code, said = err.response["Error"]["Code"], err.response["Error"].get("Message", "")
        raise LoginError(
            f"{_VARIABLE}: {secret_arn} can't be read: {code}: {said} {_advise(code)}"
        ) from err
    except BotoCoreError as err:
        raise LoginError(
            f"{_VARIABLE}: {secret_arn} can't be read: {err}. Check the AWS credentials, and that "
            f"Secrets Manager in {region} is in reach: from a VPC through a NAT gateway or the "
            f"endpoint com.amazonaws.{region}.secretsmanager"
        ) from err
    return str(answer.get("SecretString", ""))


def _advise(code: str) -> str:
    if code == "AccessDeniedException":
        return (
            "Let the role do secretsmanager:GetSecretValue on it, and kms:Decrypt with its key: "
            "the policy named in /sagemaker-mlflow/reader-policy-arn allows both"
        )
    return (
        "Take the ARN from the parameter /sagemaker-mlflow/credentials-secret; "
        f"{_NONE!r} where MLflow asks for no login"
    )


def _parse(secret_arn: str, text: str) -> tuple[str, str]:
    """Says nothing of what the secret holds: neither here nor in a chained error."""
    try:
        secret: Any = json.loads(text)
    except ValueError:
        secret = None
    if isinstance(secret, dict):
        username, password = secret.get("username"), secret.get("password")
        if isinstance(username, str) and isinstance(password, str) and username and password:
            return username, password
    raise LoginError(
        f"{_VARIABLE}: {secret_arn} doesn't hold what MLflow asks for. Put the JSON object "
        '{"username": "...", "password": "..."} there, both as text'
    )
