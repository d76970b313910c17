"""MLflow as its clients reach it: address, login, plain requests, and the real client.

The real client proves that MLflow works; it hides why it does not behind one exception text. So a
failed proof is followed by the same request made plainly, whose status and words tell the reason.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from mlops.account import error_code
from mlops.platform.doctor.account_view import AccountView
from mlops.platform.doctor.finding import failed, skipped
from mlops.platform.doctor.patient import CannotLook, Patient
from mlops.platform.doctor.refusal import is_denied, one_line

# MySQL's driver gives up a connection after 10 seconds: a server whose database is gone needs them
# to say so.
REQUEST_TIMEOUT_SECONDS = 14
_CONNECT_TIMEOUT_SECONDS = 5
_CLIENT_LOCK = threading.Lock()
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


@dataclass(frozen=True, kw_only=True)
class Login:
    """What a client sends along; `source` is the secret's ARN, or the variable's name."""

    username: str = ""
    password: str = ""
    source: str = ""


class Obstacle(enum.Enum):
    """Why there was no answer at all."""

    NAME = "its name does not resolve"
    REFUSED = "the connection is refused"
    TIMEOUT = "it does not answer in time"
    CERTIFICATE = "its certificate is not accepted"
    OTHER = "the connection breaks"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer, or the obstacle to one; `text` is the body, or the error."""

    status: int = 0
    text: str = ""
    server: str = ""
    obstacle: Obstacle | None = None


def require_uri(patient: Patient) -> str:
    """MLflow's address; raises CannotLook when nothing says it."""
    uri = patient.tracking_uri()
    if not uri:
        raise CannotLook(
            skipped("MLflow's address is unknown: see the check `parameters` (or --tracking-uri)")
        )
    return uri


def is_managed(uri: str) -> bool:
    """Whether it is SageMaker's own MLflow."""
    return uri.startswith("arn:")


def read_login(account: AccountView, environment: Mapping[str, str]) -> Login:
    """The login that jobs and builds use; empty where MLflow asks for none.

    A username in the environment wins, as with every client here. Raises CannotLook when the secret
    cannot be read.
    """
    if environment.get("MLFLOW_TRACKING_USERNAME"):
        return Login(
            username=environment["MLFLOW_TRACKING_USERNAME"],
            password=environment.get("MLFLOW_TRACKING_PASSWORD", ""),
            source="MLFLOW_TRACKING_USERNAME",
        )
    secret = account.parameters().get("credentials-secret", "none")
    if secret in ("", "none"):
        return Login()
    try:
        text = account.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    except ClientError as err:
        raise CannotLook(_secret_finding(secret, err)) from err
    try:
        login = json.loads(text)
        return Login(username=login["username"], password=login["password"], source=secret)
    except (ValueError, KeyError, TypeError) as err:
        raise CannotLook(
            failed(
                f'the secret {secret} is not JSON with "username" and "password"',
                f"aws secretsmanager put-secret-value --secret-id {secret} --secret-string "
                '\'{"username": "...", "password": "..."}\'',
            )
        ) from err


def ask(
    uri: str,
    path: str,
    login: Login | None = None,
    host: str = "",
    seconds: float = REQUEST_TIMEOUT_SECONDS,
) -> Answer:
    """One plain GET, never repeated; `host` is sent in place of the address's own name."""
    import requests  # with MLflow's client

    try:
        response = requests.get(
            uri.rstrip("/") + path,
            auth=(login.username, login.password) if login and login.username else None,
            headers={"Host": host} if host else None,
            timeout=(min(seconds, _CONNECT_TIMEOUT_SECONDS), seconds),
            verify=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True,
            allow_redirects=True,
        )
    except requests.RequestException as err:
        return Answer(obstacle=_obstacle(err), text=one_line(err))
    return Answer(
        status=response.status_code,
        text=response.text[:2000].strip(),
        server=response.headers.get("Server", ""),
    )


@contextlib.contextmanager
def real_client(uri: str, login: Login) -> Iterator[Any]:
    """An MlflowClient that answers or fails within seconds; one check at a time has it.

    MLflow takes login, retries and timeout from the environment, and SageMaker's plugin the ARN:
    for as long as the client is used they are in this process's own.
    """
    changed = {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_SECONDS),
        **(
            {
                "MLFLOW_TRACKING_USERNAME": login.username,
                "MLFLOW_TRACKING_PASSWORD": login.password,
            }
            if login.username
            else {}
        ),
    }
    # SageMaker's plugin, where it is installed, complains of each request to any other MLflow.
    logging.getLogger("mlflow.tracking.request_header.registry").setLevel(logging.ERROR)
    with _CLIENT_LOCK:
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            from mlflow import MlflowClient  # seconds

            yield MlflowClient(tracking_uri=uri, registry_uri=uri)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def host_of(uri: str) -> str:
    """The name in an address, without the port."""
    return urlsplit(uri).hostname or uri


def _secret_finding(secret: str, err: ClientError) -> Any:
    code = error_code(err)
    if code == "ResourceNotFoundException":
        return failed(
            f"/sagemaker-mlflow/credentials-secret names {secret}, which does not exist",
            "`mlops platform deploy --stack mlflow --parameter mlflow.BasicAuth=false`, then the "
            "same with true, which makes a new one",
        )
    if code == "InvalidRequestException":
        return failed(
            f"the secret {secret} is marked for deletion",
            f"aws secretsmanager restore-secret --secret-id {secret}",
        )
    if is_denied(err):
        return failed(
            f"you may not read MLflow's login in {secret} ({code})",
            "attach to yourself the managed policy that "
            "`aws ssm get-parameter --name /sagemaker-mlflow/reader-policy-arn` names",
        )
    raise err


def _obstacle(error: Exception) -> Obstacle:
    """What stood in the way, read from the chain of causes that requests leaves."""
    import requests
    from urllib3 import exceptions as urllib3

    causes = list(_causes(error))
    if isinstance(error, requests.exceptions.SSLError):
        return Obstacle.CERTIFICATE
    if any(isinstance(cause, urllib3.NameResolutionError) for cause in causes):
        return Obstacle.NAME
    if isinstance(error, requests.Timeout):
        return Obstacle.TIMEOUT
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Obstacle.REFUSED
    return Obstacle.OTHER


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.append(current)
        yield current
        linked = (current.__cause__, current.__context__, getattr(current, "reason", None))
        waiting += [cause for cause in (*linked, *current.args) if isinstance(cause, BaseException)]
