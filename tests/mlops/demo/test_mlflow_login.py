"""An MLflow server that somebody else runs: asked for on the command line, found by all."""

from __future__ import annotations

import json

import pytest

from local_aws.account import PARAMETER_PREFIX, furnish, publish_parameters
from local_aws.cli import main
from local_aws.mlflow_elsewhere import (
    NO_SECRET,
    Login,
    MlflowElsewhere,
    become_client,
    keep_login,
)
from mlops.errors import InputError, StartFailed

LOGIN = Login(username="client", password="open-sesame")


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"username": "client", "password": "open-sesame"}))
    return path


def test_flags_name_a_server_and_its_login(secret_file):
    assert MlflowElsewhere.from_flags(None, None, None, {}) is None
    url = "https://mlflow.example.com"
    without = MlflowElsewhere.from_flags(f"{url}/", None, None, {})
    assert (without.url, without.login) == (url, None)
    assert MlflowElsewhere.from_flags(url, secret_file, None, {}).login == LOGIN
    environment = {"MLFLOW_TRACKING_PASSWORD": "open-sesame"}
    assert MlflowElsewhere.from_flags(url, None, "client", environment).login == LOGIN
    assert "open-sesame" not in repr(LOGIN)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tracking-username", "client"], "a login without a server: pass --tracking-uri too."),
        (["--tracking-uri", "mlflow:5000"], "'mlflow:5000' is no http:// or https:// address."),
        (
            ["--tracking-uri", "http://127.0.0.1:9", "--tracking-username", "client"],
            "--tracking-username without a password: set MLFLOW_TRACKING_PASSWORD.",
        ),
        (
            ["--tracking-uri", "http://127.0.0.1:9", "--credentials-secret-file", "/none.json"],
            "cannot read /none.json: No such file",
        ),
        (
            ["--tracking-uri", "http://127.0.0.1:9", "--credentials-secret-file", __file__],
            'holds no {"username": "...", "password": "..."}.',
        ),
    ],
)
def test_what_does_not_fit_together_is_told_before_anything_starts(
    flags, message, tmp_path, capsys
):
    assert main(["up", "--state-dir", str(tmp_path / "state"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_a_secret_file_with_an_empty_password_is_refused(secret_file):
    secret_file.write_text('{"username": "client", "password": ""}')
    with pytest.raises(InputError, match="holds no"):
        MlflowElsewhere.from_flags("http://127.0.0.1:9", secret_file, None, {})


def test_it_is_asked_once_as_a_client_asks(stub_server):
    MlflowElsewhere(stub_server.url, LOGIN).wait_until_ready()

    ((path, headers, _),) = stub_server.received
    assert path == "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("login", "status", "told"),
    [
        (None, 401, "asks for a login: HTTP 401. Pass --credentials-secret-file"),
        (LOGIN, 401, "refuses the login of 'client': HTTP 401"),
        (LOGIN, 500, "answers HTTP 500: b'oops'"),
    ],
)
def test_a_server_that_refuses_is_told(stub_server, login, status, told):
    stub_server.status, stub_server.body = status, b"oops"
    with pytest.raises(StartFailed) as caught:
        MlflowElsewhere(stub_server.url, login).wait_until_ready()
    assert f"MLflow at {stub_server.url} {told}" in str(caught.value)
    assert "open-sesame" not in str(caught.value)


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(StartFailed, match=r"127.0.0.1:9 can't be reached.*Check --tracking-uri"):
        MlflowElsewhere("http://127.0.0.1:9", None).wait_until_ready()


def test_the_login_is_where_jobs_builds_and_commands_look(gateway):
    assert keep_login(gateway.own, None) == NO_SECRET
    secret_arn = keep_login(gateway.own, LOGIN)
    environment = {
        **furnish(gateway.own),
        **gateway.own.credentials_environment(None),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "MLFLOW_CREDENTIALS_SECRET": secret_arn,
    }
    publish_parameters(gateway.own, environment)

    name = f"{PARAMETER_PREFIX}/credentials-secret"
    parameter = gateway.own.client("ssm").get_parameter(Name=name)["Parameter"]
    assert parameter["Value"] == secret_arn
    iam = gateway.own.client("iam")
    for policy in iam.list_policies(Scope="Local", PathPrefix="/sagemaker-mlflow/")["Policies"]:
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId="v1")["PolicyVersion"]
        (statement,) = version["Document"]["Statement"]
        assert statement["Action"] == "secretsmanager:GetSecretValue"
        assert statement["Resource"] == secret_arn

    process: dict[str, str] = {"PATH": "/bin"}
    become_client(environment, process)
    assert process["MLFLOW_TRACKING_USERNAME"] == "client"
    assert process["MLFLOW_TRACKING_PASSWORD"] == "open-sesame"
    assert process["AWS_ENDPOINT_URL"] == environment["AWS_ENDPOINT_URL"]
    own = {"MLFLOW_TRACKING_USERNAME": "ada"}
    become_client(environment, own)
    assert own["MLFLOW_TRACKING_USERNAME"] == "ada"
    assert "MLFLOW_TRACKING_PASSWORD" not in own
