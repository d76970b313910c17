"""An MLflow server that somebody else runs: asked for on the command line, found by all."""

from __future__ import annotations

import json

import pytest

from mlops.cli import main
from mlops.demo.mlflow_login import Login, keep_login, read_login, require_answer
from mlops.display import Display
from mlops.errors import AwsRefused, InputError
from mlops.platform.commands import deploy_platform
from mlops.platform.settings import read_settings, size_file, with_parameters
from tests.mlops.conftest import HOW

LOGIN = Login(username="client", password="open-sesame")


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"username": "client", "password": "open-sesame"}))
    return path


def test_flags_name_a_server_and_its_login(secret_file):
    url = "https://mlflow.example.com"
    assert read_login(None, None, None, {}) is None
    assert read_login(url, None, None, {}) is None
    assert read_login(url, secret_file, None, {}) == LOGIN
    environment = {"MLFLOW_TRACKING_PASSWORD": "open-sesame"}
    assert read_login(url, None, "client", environment) == LOGIN
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
    flags, message, tmp_path, caplog
):
    state = tmp_path / "state"
    assert main(["demo", "--yes", "--exit", "--state-dir", str(state), *flags]) == 2
    assert message in caplog.text
    assert not state.exists()


def test_a_secret_file_with_an_empty_password_is_refused(secret_file):
    secret_file.write_text('{"username": "client", "password": ""}')
    with pytest.raises(InputError, match="holds no"):
        read_login("http://127.0.0.1:9", secret_file, None, {})


def test_it_is_asked_once_as_a_client_asks(stub_server):
    require_answer(stub_server.url, LOGIN)

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
    with pytest.raises(AwsRefused) as caught:
        require_answer(stub_server.url, login)
    assert f"MLflow at {stub_server.url} {told}" in str(caught.value)
    assert "open-sesame" not in str(caught.value)


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(AwsRefused, match=r"127.0.0.1:9 can't be reached.*Check --tracking-uri"):
        require_answer("http://127.0.0.1:9", None)


def test_the_login_is_where_jobs_builds_and_commands_look(local_account):
    assert keep_login(local_account, None) == "none"
    secret_arn = keep_login(local_account, LOGIN)
    assert keep_login(local_account, LOGIN) == secret_arn  # a second demo in the same account
    given = ["laptop.TrackingUri=http://127.0.0.1:9", f"laptop.CredentialsSecret={secret_arn}"]
    settings = with_parameters(read_settings(size_file("laptop")), given)

    deploy_platform(local_account, settings, ["laptop"], HOW, Display())

    name = "/sagemaker-mlflow/credentials-secret"
    parameter = local_account.client("ssm").get_parameter(Name=name)["Parameter"]
    assert parameter["Value"] == secret_arn
    iam = local_account.client("iam")
    policies = iam.list_policies(Scope="Local")["Policies"]
    assert len(policies) == 2
    for policy in policies:
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId="v1")["PolicyVersion"]
        (statement,) = version["Document"]["Statement"]
        assert statement["Action"] == "secretsmanager:GetSecretValue"
        assert statement["Resource"] == secret_arn
