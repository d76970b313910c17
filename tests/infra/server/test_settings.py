from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from server_settings import DEFAULTS, PERMISSIONS, Database, Settings, SettingsError
from sqlalchemy import make_url

_WITHOUT_LOGIN = {
    "DATABASE_HOST": "db.example.com",
    "DATABASE_USER": "mlflow",
    "DATABASE_PASSWORD": "secret",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://artifacts",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "Internal-1A.elb.amazonaws.com, localhost:*",
    "MLFLOW_MYSQL_SSL_CA": __file__,
    "BASIC_AUTH": "false",
}
_WITH_LOGIN = {
    **_WITHOUT_LOGIN,
    "BASIC_AUTH": "true",
    "ADMIN_PASSWORD": "admin's password",
    "CLIENT_USERNAME": "projects",
    "CLIENT_PASSWORD": "client's password",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "key",
}


def _problems(environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment(environ)
    assert raised.value.exit_code == 2
    head, *problems = str(raised.value).splitlines()
    assert head == "wrong environment:"
    return [problem.strip() for problem in problems]


def test_an_empty_environment_is_told_all_that_it_lacks() -> None:
    missing = [line for line in _problems({}) if line.endswith(" is missing")]
    assert sorted(missing) == [
        "BASIC_AUTH is missing",
        "DATABASE_HOST is missing",
        "DATABASE_PASSWORD is missing",
        "DATABASE_USER is missing",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT is missing",
        "MLFLOW_SERVER_ALLOWED_HOSTS is missing",
    ]


def test_login_needs_its_secrets_and_an_empty_one_is_missing() -> None:
    environ = {**_WITHOUT_LOGIN, "BASIC_AUTH": "true", "CLIENT_PASSWORD": ""}
    assert _problems(environ) == [
        "CLIENT_USERNAME is missing",
        "ADMIN_PASSWORD is missing",
        "CLIENT_PASSWORD is missing",
        "MLFLOW_FLASK_SERVER_SECRET_KEY is missing",
    ]


def test_secrets_of_a_login_that_is_off_are_a_contradiction() -> None:
    assert _problems({**_WITHOUT_LOGIN, "ADMIN_PASSWORD": "admin's password"}) == [
        "ADMIN_PASSWORD is given, but BASIC_AUTH is false: nobody would have to log in"
    ]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("BASIC_AUTH", "yes", "BASIC_AUTH is 'yes'; it is true or false"),
        ("WORKERS", "0", "WORKERS is '0'; it is a number from 1 to 64"),
        ("DATABASE_PORT", "x", "DATABASE_PORT is 'x'; it is a number from 1 to 65535"),
        ("MLFLOW_DEFAULT_ARTIFACT_ROOT", "/mnt", "MLFLOW_DEFAULT_ARTIFACT_ROOT is '/mnt'; clients"),
        ("MLFLOW_SERVER_ALLOWED_HOSTS", "a.com,*", "MLFLOW_SERVER_ALLOWED_HOSTS has *, which"),
        ("MLFLOW_MYSQL_SSL_CA", "/ca", "MLFLOW_MYSQL_SSL_CA is /ca, which is no file here"),
        ("DEFAULT_PERMISSION", "ALL", "DEFAULT_PERMISSION is 'ALL'; it is one of NO_PERMISSIONS,"),
        ("CLIENT_USERNAME", "admin", "CLIENT_USERNAME is admin, the administrator's; jobs and"),
        ("CLIENT_PASSWORD", "short", "CLIENT_PASSWORD has fewer than 12 characters, which MLflow"),
        ("CLIENT_PASSWORD", "admin's password", "ADMIN_PASSWORD and CLIENT_PASSWORD are the same"),
    ],
)
def test_each_wrong_value_is_told(name: str, value: str, problem: str) -> None:
    [found] = _problems({**_WITH_LOGIN, name: value})
    assert found.startswith(problem)


def test_no_message_has_a_password() -> None:
    secrets = {"ADMIN_PASSWORD": "hunter2", "CLIENT_PASSWORD": "hunter2"}
    problems = " ".join(_problems({**_WITH_LOGIN, **secrets, "DATABASE_HOST": ""}))
    assert "hunter2" not in problems
    assert "secret" not in problems.lower().replace("secret_key", "")


def test_hosts_are_allowed_as_given_and_in_lower_case() -> None:
    assert Settings.from_environment(_WITHOUT_LOGIN).allowed_hosts == (
        "Internal-1A.elb.amazonaws.com",
        "localhost:*",
        "internal-1a.elb.amazonaws.com",
    )


def test_only_a_login_that_is_on_has_users() -> None:
    assert Settings.from_environment(_WITHOUT_LOGIN).login is None
    login = Settings.from_environment(_WITH_LOGIN).login
    assert login is not None
    assert login.default_permission == DEFAULTS["DEFAULT_PERMISSION"] == "READ"


def test_permissions_are_those_of_mlflow() -> None:
    """Read, not imported: MLflow's module opens its configuration."""
    import mlflow

    source = Path(mlflow.__file__).parent / "server/auth/permissions.py"
    names = set(re.findall(r'^    name="([A-Z_]+)",$', source.read_text(), re.MULTILINE))
    assert set(PERMISSIONS) == names - {"DENY"}  # a grant's, not a default's


@pytest.mark.parametrize("password", ["p@ss/w%rd:'\"#?&;\\", "plain", "%40", "a b+c"])
def test_any_password_survives_the_uri(password: str) -> None:
    database = Database(
        host="db.example.com",
        port=3306,
        name="mlflow",
        user="ml@flow",
        password=password,
        ca_path=Path("/opt/mlflow-server/rds-ca.pem"),
    )
    url = make_url(database.uri())
    assert (url.username, url.password, url.host) == ("ml@flow", password, "db.example.com")
    assert url.query["ssl_ca"] == "/opt/mlflow-server/rds-ca.pem"
    assert url.query["ssl_check_hostname"] == "true"
    assert int(url.query["read_timeout"]) == 60
    assert "read_timeout" not in make_url(database.uri(query_seconds=None)).query
