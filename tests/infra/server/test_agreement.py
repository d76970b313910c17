"""The image, the stack that runs it and what they are built from say the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import server_settings as settings
import tracking_server
import yaml

from tests.tracking_server import ROOT, SOURCES, ContainerDefinition, dockerfile, of_dockerfile

_OPTIONAL = {*settings.DEFAULTS}


@pytest.mark.parametrize("basic_auth", [True, False])
def test_container_definition_gives_what_the_image_takes(basic_auth: bool) -> None:
    definition = ContainerDefinition.of(basic_auth=basic_auth)
    environment = {*settings.ENVIRONMENT, *(settings.LOGIN_ENVIRONMENT if basic_auth else ())}
    secrets = {*settings.SECRETS, *(settings.LOGIN_SECRETS if basic_auth else ())}
    assert environment <= definition.environment.keys() <= environment | _OPTIONAL
    assert set(definition.secrets) == secrets
    assert definition.environment["BASIC_AUTH"] == str(basic_auth).lower()


def test_health_check_is_the_image_s_own() -> None:
    definition = ContainerDefinition.of(basic_auth=False)
    entry_point = of_dockerfile("ENTRYPOINT")
    assert [*definition.health_command] == [*entry_point, "check"]
    assert f"CMD {json.dumps([*entry_point, 'check'])}" in dockerfile()
    assert entry_point == ["python", "/opt/mlflow-server/tracking_server.py"]


def test_health_check_may_take_as_long_as_its_two_questions(render) -> None:
    [task] = render("mlflow.yml").of_type("AWS::ECS::TaskDefinition").values()
    [container] = task["ContainerDefinitions"]
    assert container["HealthCheck"]["Timeout"] > 2 * tracking_server.CHECK_SECONDS


def test_alarm_looks_for_what_the_check_writes(render) -> None:
    filters = render("mlflow.yml").of_type("AWS::Logs::MetricFilter").values()
    patterns = [properties["FilterPattern"] for properties in filters]
    assert any(tracking_server.DATABASE_CHECK_FAILED in pattern for pattern in patterns)


def test_server_keeps_connections_longer_than_the_load_balancer(render) -> None:
    rendered = render("mlflow.yml")
    [balancer] = rendered.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    attributes = {row["Key"]: row["Value"] for row in balancer["LoadBalancerAttributes"]}
    assert int(attributes["idle_timeout.timeout_seconds"]) < tracking_server.KEEP_ALIVE_SECONDS


def test_permissions_of_the_template_are_the_image_s() -> None:
    text = (ROOT / "infra/platform/mlflow.yml").read_text()
    [allowed] = re.findall(r"DefaultPermission:.*?AllowedValues: (\[.*?\])", text, re.DOTALL)
    assert set(yaml.safe_load(allowed)) == set(settings.PERMISSIONS)


def test_port_of_the_image_is_the_stack_s(render) -> None:
    [task] = render("mlflow.yml").of_type("AWS::ECS::TaskDefinition").values()
    [container] = task["ContainerDefinitions"]
    [mapping] = container["PortMappings"]
    assert str(mapping["ContainerPort"]) == settings.DEFAULTS["PORT"]
    assert "\nEXPOSE 5000\n" in dockerfile()


def test_image_belongs_to_a_user_without_rights_and_declares_its_one_writable_folder() -> None:
    text = dockerfile()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert of_dockerfile("VOLUME") == ["/tmp"]
    [installation] = re.findall(r"pip install .*", text)
    for option in ("--require-hashes", "--only-binary :all:", "--compile", "--no-deps"):
        assert option in installation


def test_arguments_of_mlflow_have_nothing_secret(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    given = settings.Settings.from_environment(
        {
            **dict.fromkeys((*settings.SECRETS, *settings.LOGIN_SECRETS), "hidden-and-long-enough"),
            "CLIENT_PASSWORD": "hidden-as-well",
            "CLIENT_USERNAME": "projects",
            "DATABASE_HOST": "db.example.com",
            "DATABASE_USER": "mlflow",
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://artifacts",
            "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.com",
            "MLFLOW_MYSQL_SSL_CA": str(authority),
            "BASIC_AUTH": "true",
        }
    )
    arguments = tracking_server.mlflow_arguments(given)
    assert "hidden" not in " ".join(arguments)
    assert arguments[: 1 + 4] == ["server", "--host", "0.0.0.0", "--port", "5000"]
    assert "--no-serve-artifacts" in arguments
    assert arguments[arguments.index("--app-name") + 1] == "basic-auth"


def test_mlflow_gets_what_keeps_it_from_telling_and_from_refusing_its_own_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    environ = {
        "DATABASE_HOST": "db.example.com",
        "DATABASE_USER": "mlflow",
        "DATABASE_PASSWORD": "hidden",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://artifacts",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.com",
        "MLFLOW_MYSQL_SSL_CA": str(authority),
        "BASIC_AUTH": "false",
    }
    tracking_server.configure_mlflow(settings.Settings.from_environment(environ), environ)
    assert environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == (
        "https://mlflow.example.com,http://mlflow.example.com"
    )
    assert environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    # PyMySQL would take ssl_ca from it and then verify nothing.
    assert "MLFLOW_MYSQL_SSL_CA" not in environ
    assert "DATABASE_PASSWORD" not in environ
    assert environ["MLFLOW_BACKEND_STORE_URI"].startswith("mysql+pymysql://mlflow:hidden@db.")


@pytest.mark.parametrize(("required", "exit_code"), [("", 0), ("1", 1)])
def test_without_apt_mariadb_is_left_out_or_demanded(
    tmp_path: Path, required: str, exit_code: int
) -> None:
    script = tmp_path / "requirements/mariadb.sh"
    script.parent.mkdir()
    script.write_text((ROOT / "requirements/mariadb.sh").read_text())
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    answer = subprocess.run(
        ["bash", script],
        env={**os.environ, "PATH": str(tools), "REQUIRE_MARIADB": required},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == exit_code
    [line] = (answer.stdout + answer.stderr).splitlines()
    assert "there is no apt-get" in line
    assert not (tmp_path / ".venv-mariadb").exists()


def test_all_modules_of_the_image_are_copied_into_it() -> None:
    assert "COPY infra/images/server/*.py /opt/mlflow-server/" in dockerfile()
    assert {path.name for path in SOURCES.glob("*.py")} == {
        "server_database.py",
        "server_schema.py",
        "server_settings.py",
        "tracking_server.py",
    }
