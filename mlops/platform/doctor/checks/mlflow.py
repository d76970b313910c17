"""MLflow, as a client sees it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from mlops.platform.doctor.finding import Finding, failed, ok, warning
from mlops.platform.doctor.patient import CannotLook, Patient
from mlops.platform.doctor.refusal import one_line
from mlops.platform.doctor.server import Server, name_server
from mlops.platform.doctor.tracking import (
    SEARCH,
    Answer,
    Login,
    Obstacle,
    ask,
    host_of,
    is_managed,
    read_login,
    real_client,
    require_uri,
)

INVALID_HOST = "Invalid Host header"
_DEPLOY = "mlops platform deploy --stack mlflow --parameter mlflow."
_INSIDE = (
    "run it inside the VPC, or through the tunnel of docs/mlflow-server.md with --tracking-uri "
    "http://localhost:8080"
)
_DATABASE_WORDS = re.compile(
    r"OperationalError|pymysql|MySQL|sqlalchemy|database|TEMPORARILY_UNAVAILABLE|QueuePool", re.I
)


def check(patient: Patient) -> Iterator[Finding]:
    """MLflow answers its real client: experiments and the registry, with the login of the jobs.

    If not: whether name, network, certificate, host name, login, database or version is to blame.
    """
    uri = require_uri(patient)
    try:
        login = read_login(patient.account, patient.choices.environment)
    except CannotLook as err:
        yield err.finding
        return
    if is_managed(uri):
        yield _look_at_managed(uri)
        return
    server = name_server(patient.account)
    patient.say("asking whether MLflow is healthy")
    health = ask(uri, "/health")
    if health.obstacle or health.status >= 500:
        yield diagnose(health, uri, login, server)
        return
    if health.status != 200:  # MLflow asks nobody for a login or a name there
        yield _stranger(health, uri)
        return
    patient.say("asking through MLflow's client")
    problem = _use(uri, login)
    if problem:
        answer = ask(uri, SEARCH, login)
        well = answer.status == 200
        yield (
            _client_only(uri, problem)
            if well
            else diagnose(answer, uri, login, server, is_healthy=True)
        )
        return
    as_whom = f" as {login.username}" if login.username else ", which asks for no login"
    yield ok(f"MLflow at {uri} answers the client{as_whom}: experiments and registry")
    yield from judge_versions(ask(uri, "/version", login), _client_version())


def diagnose(
    answer: Answer, uri: str, login: Login, server: Server, *, is_healthy: bool = False
) -> Finding:
    """Why MLflow did not answer as it should, and who can change that.

    `is_healthy`: it answered a moment ago, where it needs no database for that.
    """
    if is_healthy and answer.obstacle is Obstacle.TIMEOUT:
        return failed(
            "MLflow runs, but is silent when asked for what is in its database",
            server.mend_database,
        )
    if answer.obstacle:
        return _diagnose_obstacle(answer, answer.obstacle, uri, server)
    if answer.status == 401:
        return _diagnose_login(login, uri, server)
    if answer.status == 403 and INVALID_HOST in answer.text:
        return failed(
            f"MLflow refuses requests to {host_of(uri)} (403, {INVALID_HOST})",
            f"`{_DEPLOY}DomainName={host_of(uri)}`; for a server without that template, add "
            f"{host_of(uri)} to MLFLOW_SERVER_ALLOWED_HOSTS and restart it",
        )
    if answer.status == 403:
        return failed(
            f"{login.username or 'a client without login'} may not look into MLflow (403): "
            f"{_start(answer.text)}",
            f"`{_DEPLOY}DefaultPermission=READ`, or let MLflow's administrator grant it",
        )
    if answer.status in (502, 503, 504) and not _DATABASE_WORDS.search(answer.text):
        return failed(
            f"a proxy answers in MLflow's place ({answer.status}): no task is healthy",
            f"{server.events}; then {server.mend_database}",
        )
    if answer.status >= 500:
        return failed(
            f"MLflow runs, but its database does not answer ({answer.status}): "
            f"{_start(answer.text)}",
            f"{server.mend_database}; otherwise {server.read_log}",
        )
    return _stranger(answer, uri)


def judge_versions(answer: Answer, client: str) -> list[Finding]:
    """A server of another minor version may lack what the client calls, or answer otherwise."""
    server = answer.text.strip('" \n')
    if answer.status != 200 or not re.match(r"\d+\.\d+", server):
        return []
    if _minor(server) == _minor(client):
        return [ok(f"versions agree: server {server}, client {client}")]
    newer = "image" if _number(client) > _number(server) else "client"
    remedy = (
        f"let requirements/mlflow-server.in name mlflow {client} and `make lock`; `mlops "
        "platform deploy --stack images --rebuild-images`; then upgrade by docs/mlflow-server.md"
        if newer == "image"
        else f"`uv pip install 'mlflow-skinny=={server}'` here, and in requirements/*.in"
    )
    return [warning(f"MLflow's server is {server}, the client here {client}", remedy)]


def _stranger(answer: Answer, uri: str) -> Finding:
    return failed(
        f"{uri} answers {answer.status} and is no MLflow: {_start(answer.text)}",
        "aws ssm put-parameter --cli-input-json '"
        '{"Name": "/sagemaker-mlflow/tracking-uri", "Type": "String", "Overwrite": true, '
        '"Value": "https://..."}\'',
    )


def _diagnose_obstacle(answer: Answer, obstacle: Obstacle, uri: str, server: Server) -> Finding:
    host = host_of(uri)
    if obstacle is Obstacle.NAME:
        return failed(
            f"MLflow at {uri}: {obstacle.value}",
            f"{_INSIDE}; if the record of {host} is missing: `{_DEPLOY}HostedZoneId=Z...`",
        )
    if obstacle is Obstacle.CERTIFICATE:
        return failed(
            f"MLflow at {uri}: {obstacle.value}: {_start(answer.text)}",
            f"`{_DEPLOY}CertificateArn=...`, of a certificate for {host}; if a private authority "
            "signed it: export MLFLOW_TRACKING_SERVER_CERT_PATH=<its PEM file>",
        )
    if obstacle in (Obstacle.REFUSED, Obstacle.TIMEOUT):
        return failed(
            f"MLflow at {uri}: {obstacle.value}",
            f"{_INSIDE}, in the security group that /sagemaker-mlflow/client-security-group-id "
            f"names; if you are: {server.events}",
        )
    return failed(f"MLflow at {uri}: {obstacle.value}: {_start(answer.text)}", server.events)


def _diagnose_login(login: Login, uri: str, server: Server) -> Finding:
    if not login.username:
        return failed(
            f"MLflow at {uri} asks for a login (401), and /sagemaker-mlflow/credentials-secret "
            "names none",
            "`aws ssm put-parameter --overwrite --name /sagemaker-mlflow/credentials-secret "
            "--type String --value ARN`, of the client's secret; or export "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if login.source == "MLFLOW_TRACKING_USERNAME":
        return failed(
            f"MLflow refuses the login of {login.username} (401), which the environment gives",
            "unset MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD, to take the jobs' login",
        )
    return failed(
        f"MLflow refuses the login of {login.username} (401) in the secret {login.source}",
        f"{server.restart}: the server takes the secret's password over when it starts "
        "(docs/mlflow-server.md, Passwords)",
    )


def _use(uri: str, login: Login) -> str:
    """What the real client says when it cannot work; empty when it can."""
    with real_client(uri, login) as client:
        try:
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
        except Exception as err:  # noqa: BLE001  # whatever MLflow, requests or a plugin raise
            return one_line(err) or type(err).__name__
    return ""


def _look_at_managed(uri: str) -> Finding:
    try:
        import sagemaker_mlflow  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        return failed(
            f"MLflow is SageMaker's ({uri}), and the client's plugin for it is not installed",
            "uv pip install sagemaker-mlflow",
        )
    try:
        problem = _use(uri, Login())
    except (BotoCoreError, ClientError) as err:
        problem = one_line(err)
    if not problem:
        return ok(f"SageMaker's MLflow {uri} answers the client: experiments and registry")
    return failed(
        f"SageMaker's MLflow {uri} does not answer: {_start(problem)}",
        f"{_describe_managed(uri)} tells whether it runs; the managed policy that "
        "/sagemaker-mlflow/reader-policy-arn names lets you in",
    )


def _describe_managed(arn: str) -> str:
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    if kind == "mlflow-tracking-server":
        return f"aws sagemaker describe-mlflow-tracking-server --tracking-server-name {name}"
    return f"aws sagemaker describe-mlflow-app --arn {arn}"


def _client_only(uri: str, problem: str) -> Finding:
    return failed(
        f"MLflow at {uri} answers a plain request, but not its client: {_start(problem)}",
        "compare versions: curl $MLFLOW_TRACKING_URI/version; python -m mlflow --version",
    )


def _client_version() -> str:
    from mlflow.version import VERSION

    return str(VERSION)


def _minor(version: str) -> tuple[int, ...]:
    return _number(version)[:2]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _start(text: str) -> str:
    """The first words of an answer, in one line; of MLflow's own errors the message."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        text = str(json.loads(text)["message"])
    words = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    return f"{words[:160]}..." if len(words) > 160 else words or "(no text)"
