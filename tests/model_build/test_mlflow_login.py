"""The login to MLflow: from the secret, once, unless there is another; nobody is told it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from model_build.mlflow_login import (
    LoginError,
    explain_refused_login,
    find_problem,
    log_in,
    read_secret_arn,
)

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/mlflow-client-a1b2c3"
MLFLOW = "https://mlflow.example.com"
PASSWORD = "open-sesame"


@pytest.fixture
def secrets_manager(stub_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Secrets Manager that holds a login; tests may let it answer otherwise."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", stub_server.url)
    hold(stub_server, json.dumps({"username": "client", "password": PASSWORD}))
    return stub_server


def hold(secrets_manager: Any, text: str) -> None:
    secrets_manager.body = json.dumps({"ARN": ARN, "SecretString": text}).encode()


def refuse(secrets_manager: Any, code: str, message: str) -> None:
    secrets_manager.status = 400
    secrets_manager.body = json.dumps({"__type": code, "message": message}).encode()


def test_user_and_password_are_put_where_mlflow_looks(secrets_manager: Any) -> None:
    environment: dict[str, str] = {}
    log_in(MLFLOW, ARN, environment)
    assert environment == {
        "MLFLOW_TRACKING_USERNAME": "client",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }
    ((_, headers, body),) = secrets_manager.received
    assert json.loads(body) == {"SecretId": ARN}
    # Signed for the ARN's region, whatever the process's own is.
    assert "/eu-west-1/secretsmanager/" in headers["Authorization"]


@pytest.mark.parametrize(
    ("tracking_uri", "secret_arn", "environment"),
    [
        (MLFLOW, "", {}),
        ("arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/own", ARN, {}),
        ("sqlite:///mlflow.db", ARN, {}),
        (MLFLOW, ARN, {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "x"}),
        (MLFLOW, ARN, {"MLFLOW_TRACKING_TOKEN": "x"}),
    ],
    ids=["no secret", "managed", "no server", "own user", "own token"],
)
def test_nothing_is_read_where_no_login_is_wanted(
    secrets_manager: Any, tracking_uri: str, secret_arn: str, environment: dict[str, str]
) -> None:
    before = dict(environment)
    log_in(tracking_uri, secret_arn, environment)
    assert environment == before
    assert secrets_manager.received == []


@pytest.mark.parametrize("text", [None, "", "none", " none ", " "])
def test_no_secret_has_several_spellings(text: str | None) -> None:
    assert read_secret_arn(text) == ""
    assert find_problem("") is None


def test_what_is_no_arn_of_a_secret_is_refused(secrets_manager: Any) -> None:
    assert read_secret_arn(f" {ARN}\n") == ARN
    assert find_problem(ARN) is None
    message = (
        "MLFLOW_CREDENTIALS_SECRET is 'mlflow/client'; it should look like "
        "'arn:aws:secretsmanager:eu-west-1:123456789012:secret:mlflow-client-a1b2c3', or be 'none'"
    )
    assert find_problem("mlflow/client") == message
    with pytest.raises(LoginError) as caught:
        log_in(MLFLOW, "mlflow/client", {})
    assert str(caught.value) == message
    assert secrets_manager.received == []


def test_a_secret_that_is_not_there_says_where_its_name_stands(secrets_manager: Any) -> None:
    refuse(secrets_manager, "ResourceNotFoundException", "Secrets Manager can't find it.")
    with pytest.raises(LoginError) as caught:
        log_in(MLFLOW, ARN, {})
    assert str(caught.value) == (
        f"MLFLOW_CREDENTIALS_SECRET: {ARN} can't be read: ResourceNotFoundException: Secrets "
        "Manager can't find it. Take the ARN from the parameter "
        "/sagemaker-mlflow/credentials-secret; 'none' where MLflow asks for no login"
    )


def test_a_secret_that_may_not_be_read_says_which_right_is_missing(secrets_manager: Any) -> None:
    refuse(secrets_manager, "AccessDeniedException", "User: role/x is not authorized.")
    with pytest.raises(LoginError) as caught:
        log_in(MLFLOW, ARN, {})
    assert str(caught.value) == (
        f"MLFLOW_CREDENTIALS_SECRET: {ARN} can't be read: AccessDeniedException: User: role/x is "
        "not authorized. Let the role do secretsmanager:GetSecretValue on it, and kms:Decrypt with "
        "its key: the policy named in /sagemaker-mlflow/reader-policy-arn allows both"
    )


def test_secrets_manager_out_of_reach_names_the_ways_there(
    secrets_manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(LoginError) as caught:
        log_in(MLFLOW, ARN, {})
    assert "Could not connect to the endpoint URL" in str(caught.value)
    assert "a NAT gateway or the endpoint com.amazonaws.eu-west-1.secretsmanager" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        json.dumps([PASSWORD]),
        json.dumps({"username": "client", "Password": PASSWORD}),
        json.dumps({"username": "", "password": PASSWORD}),
        json.dumps({"username": "client", "password": [PASSWORD]}),
    ],
)
def test_a_secret_of_another_form_is_refused_and_not_shown(secrets_manager: Any, text: str) -> None:
    hold(secrets_manager, text)
    environment: dict[str, str] = {}
    with pytest.raises(LoginError) as caught:
        log_in(MLFLOW, ARN, environment)
    assert str(caught.value) == (
        f"MLFLOW_CREDENTIALS_SECRET: {ARN} doesn't hold what MLflow asks for. Put the JSON object "
        '{"username": "...", "password": "..."} there, both as text'
    )
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert environment == {}


def test_mlflows_refusal_of_a_login_says_what_to_set(
    stub_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    stub_server.status, stub_server.body = 401, b"You are not authenticated."
    with pytest.raises(MlflowException) as caught:
        MlflowClient(stub_server.url, stub_server.url).get_registered_model("houses")
    assert explain_refused_login(caught.value, {}) == (
        "asks for a login, and there is none: set MLFLOW_CREDENTIALS_SECRET to the ARN of the "
        "secret with MLflow's user and password"
    )
    assert explain_refused_login(caught.value, {"MLFLOW_TRACKING_USERNAME": "client"}) == (
        "refuses the login of 'client': no such user, or another password. "
        "Check what MLFLOW_CREDENTIALS_SECRET or MLFLOW_TRACKING_USERNAME names"
    )
    assert explain_refused_login(MlflowException("broken"), {}) is None
