"""Each fault planted into a working MLflow and its account is found, and its remedy named.

MLflow runs as its container would, with its login, on a MySQL-compatible database; the account is
local_aws. The doctor is the command that people type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mlops.cli import main
from tests.mariadb import Mariadb, mariadb  # noqa: F401  # a fixture
from tests.tracking_server import MlflowContainer

_DIGEST_THAT_IS_NOWHERE = "sha256:" + "0" * 64
_BUCKET = "artifacts"
_REPOSITORY = "sagemaker-mlflow/server"
_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 2,
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        },
        "layers": [],
    }
)
_THING = {"Thing": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}}}
_SERVER_STACK = {
    "Resources": _THING,
    "Outputs": {
        "ClusterName": {"Value": "mlflow-cluster"},
        "ServiceName": {"Value": "mlflow"},
        "DatabaseIdentifier": {"Value": "sagemaker-mlflow-1"},
    },
}
_PROJECT_STACK = {
    "Parameters": {
        name: {"Type": "String"}
        for name in ("SageMakerProjectName", "SageMakerProjectId", "Branch")
    },
    "Resources": _THING,
}
_PROJECT = "housing"
_TAGS = {"sagemaker:project-name": _PROJECT, "sagemaker:project-id": "p-housing", "team": "ml"}

Doctor = Callable[..., tuple[int, list[dict[str, str]]]]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What works until a test plants a fault; the parameters are put again before each test."""

    container: MlflowContainer
    database: Mariadb
    own: Any
    secret: str

    def put(self, name: str, value: str) -> None:
        self.own.client("ssm").put_parameter(
            Name=f"/sagemaker-mlflow/{name}", Value=value, Type="String", Overwrite=True
        )

    def put_login(self, password: str) -> None:
        login = {"username": self.container.client_username, "password": password}
        self.own.client("secretsmanager").put_secret_value(
            SecretId=self.secret, SecretString=json.dumps(login)
        )

    def change_project(self, tags: dict[str, str]) -> None:
        cloudformation = self.own.client("cloudformation")
        cloudformation.update_stack(
            StackName="sagemaker-project-housing",
            UsePreviousTemplate=True,
            Parameters=_project_parameters(),
            Tags=_tags(tags),
        )
        cloudformation.get_waiter("stack_update_complete").wait(
            StackName="sagemaker-project-housing", WaiterConfig={"Delay": 0.2}
        )


@pytest.fixture(scope="module")
def container(
    mariadb: Mariadb,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MlflowContainer]:
    """Launched, not ready: meanwhile the account is furnished."""
    database = mariadb.create_database("doctor")
    container = MlflowContainer(
        database,
        tmp_path_factory.mktemp("mlflow"),
        basic_auth=True,
        artifact_root=f"s3://{_BUCKET}/mlflow",
    )
    container.launch()
    yield container
    container.stop()


@pytest.fixture(scope="module")
def installation(
    container: MlflowContainer,
    mariadb: Mariadb,  # noqa: F811
    gateway: Any,
) -> Installation:
    own = gateway.own
    own.client("ecr").create_repository(repositoryName=_REPOSITORY)
    own.client("ecr").put_image(repositoryName=_REPOSITORY, imageTag="1", imageManifest=_MANIFEST)
    own.client("s3").create_bucket(Bucket=_BUCKET)
    made = own.client("secretsmanager").create_secret(Name="client", SecretString="{}")
    cloudformation = own.client("cloudformation")
    for name, template, more in (
        ("sagemaker-mlflow-server", _SERVER_STACK, {}),
        (
            "sagemaker-project-housing",
            _PROJECT_STACK,
            {"Parameters": _project_parameters(), "Tags": _tags(_TAGS)},
        ),
    ):
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), **more)
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 0.2}
        )
    container.wait_until_healthy()
    return Installation(container=container, database=mariadb, own=own, secret=made["ARN"])


@pytest.fixture
def working(installation: Installation) -> Installation:
    """Nothing is wrong with it."""
    ecr = installation.own.client("ecr")
    [image] = ecr.list_images(repositoryName=_REPOSITORY)["imageIds"]
    installation.put("tracking-uri", installation.container.url)
    installation.put("credentials-secret", installation.secret)
    installation.put("images/server", _address(installation, image["imageDigest"]))
    installation.put_login(installation.container.secrets["CLIENT_PASSWORD"])
    return installation


@pytest.fixture
def doctor(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """doctor("mlflow"): exit code and findings of `mlops platform doctor --only mlflow --json`."""
    for name, value in gateway.own.credentials_environment(None).items():
        monkeypatch.setenv(name, value)

    def examine(*checks: str) -> tuple[int, list[dict[str, str]]]:
        arguments = [word for check in checks for word in ("--only", check)]
        code = main(["platform", "doctor", "--json", *arguments])
        report = json.loads(capsys.readouterr().out)
        return code, [finding for check in report["checks"] for finding in check["findings"]]

    return examine


def test_a_working_installation_has_nothing_to_remedy(working, doctor):
    code, findings = doctor("stacks", "images", "mlflow", "allowed-hosts", "artifacts")
    assert [finding["status"] for finding in findings] == ["ok"] * 6, findings
    assert code == 0
    told = "\n".join(finding["message"] for finding in findings)
    assert f"answers the client as {working.container.client_username}" in told
    assert "refuses other host names" in told
    assert "artifacts go to s3://artifacts/mlflow/0, which you reach" in told
    assert working.container.secrets["CLIENT_PASSWORD"] not in told


def test_a_wrong_host_header_names_the_setting_that_allows_it(working, doctor):
    # Another name for the same server, which it has not been told of.
    working.put("tracking-uri", f"http://127.0.0.2:{working.container.port}")
    code, [finding] = doctor("mlflow")
    assert (code, finding["status"]) == (1, "failed")
    assert "refuses requests to 127.0.0.2" in finding["message"]
    assert (
        "mlops platform deploy --stack mlflow --parameter mlflow.DomainName=127.0.0.2"
        in (finding["remedy"])
    )
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in finding["remedy"]


def test_a_wrong_password_names_the_secret_and_how_the_server_takes_it_over(working, doctor):
    working.put_login("not the password")
    code, [finding] = doctor("mlflow")
    assert (code, finding["status"]) == (1, "failed")
    assert f"401) in the secret {working.secret}" in finding["message"]
    assert "aws ecs update-service --cluster mlflow-cluster --service mlflow" in finding["remedy"]
    assert "not the password" not in json.dumps(finding)


def test_a_login_that_nobody_named_is_asked_for(working, doctor):
    working.put("credentials-secret", "none")
    code, [finding] = doctor("mlflow")
    assert (code, finding["status"]) == (1, "failed")
    assert "asks for a login (401)" in finding["message"]
    assert "/sagemaker-mlflow/credentials-secret" in finding["remedy"]


def test_a_missing_image_names_the_command_that_builds_it(working, doctor):
    working.put("images/server", _address(working, _DIGEST_THAT_IS_NOWHERE))
    code, [finding] = doctor("images")
    assert (code, finding["status"]) == (1, "failed")
    assert f"{_REPOSITORY}@{_DIGEST_THAT_IS_NOWHERE}, which is not in ECR" in finding["message"]
    assert finding["remedy"] == "mlops platform deploy --stack images --rebuild-images"


def test_a_stopped_database_names_the_database_and_how_to_start_it(working, doctor):
    working.database.stop()
    try:
        code, [finding] = doctor("mlflow")
    finally:
        working.database.start()
    assert (code, finding["status"]) == (1, "failed")
    assert "its database does not answer" in finding["message"]
    assert "OperationalError" in finding["message"], finding
    assert (
        "aws rds start-db-instance --db-instance-identifier sagemaker-mlflow-1"
        in (finding["remedy"])
    )
    code, findings = doctor("mlflow")
    assert code == 0, findings  # the server came back with its database


def test_artifacts_that_have_no_bucket_are_told(working, doctor):
    working.own.client("s3").delete_bucket(Bucket=_BUCKET)
    try:
        code, [finding] = doctor("artifacts")
    finally:
        working.own.client("s3").create_bucket(Bucket=_BUCKET)
    assert (code, finding["status"]) == (1, "failed")
    assert f"the bucket {_BUCKET}, which does not exist" in finding["message"]


def test_a_missing_tag_names_the_command_that_sets_it(working, doctor):
    working.change_project({"sagemaker:project-id": "p-housing", "team": "ml"})
    try:
        code, [finding] = doctor("stacks")
    finally:
        working.change_project(_TAGS)
    assert (code, finding["status"]) == (1, "failed")
    assert finding["message"] == (
        "the stack sagemaker-project-housing lacks the tag sagemaker:project-name=housing"
    )
    assert finding["remedy"] == "mlops project deploy housing"


def _address(installation: Installation, digest: str) -> str:
    own = installation.own
    return f"{own.account}.dkr.ecr.{own.region}.amazonaws.com/{_REPOSITORY}@{digest}"


def _project_parameters() -> list[dict[str, str]]:
    values = {
        "SageMakerProjectName": _PROJECT,
        "SageMakerProjectId": "p-housing",
        "Branch": "main",
    }
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
