"""The environment that commands find."""

from __future__ import annotations

import uuid
from pathlib import Path
from urllib.parse import urlsplit


def _plain(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in values.items()]


def test_start_build_wins_over_the_project_and_the_project_over_the_buildspec(account):
    name = account.create_project(
        """
        version: 0.2
        env:
          variables: {A: spec, B: spec, C: "1.10", D: yes}
        phases:
          build:
            commands: ['echo "$A $B $C $D"']
        """,
        variables=_plain(A="project", B="project"),
    )
    build = account.finished(account.start(name, environmentVariablesOverride=_plain(A="override")))

    assert "override project 1.10 yes" in account.log(build).splitlines()
    listed = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    assert listed == {"A": "override", "B": "project"}


def test_codebuild_says_which_build_this_is(account):
    name = account.create_project(
        """
        version: 0.2
        phases:
          build:
            commands:
              - env | grep -E '^(CODEBUILD|AWS_REGION|HOME|TMPDIR)'
              - aws_is_here=$AWS_ENDPOINT_URL; echo "token ${AWS_SESSION_TOKEN:+set}"
        """
    )
    account.finished(account.start(name))
    build = account.finished(account.start(name, sourceVersion="v1"))
    lines = account.log(build).splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "[")

    assert found["CODEBUILD_BUILD_ID"] == build["id"]
    assert found["CODEBUILD_BUILD_ARN"] == build["arn"]
    assert found["CODEBUILD_BUILD_NUMBER"] == "2" == str(build["buildNumber"])
    assert found["CODEBUILD_RESOLVED_SOURCE_VERSION"] == "v1"
    assert found["CODEBUILD_SOURCE_VERSION"] == "v1"
    assert found["CODEBUILD_BUILD_IMAGE"] == build["environment"]["image"]
    assert found["CODEBUILD_BUILD_SUCCEEDING"] == "1"
    assert found["CODEBUILD_INITIATOR"] == build["initiator"]
    assert found["CODEBUILD_LOG_PATH"] == build["logs"]["streamName"]
    assert found["CODEBUILD_PROJECT_ARN"].endswith(f":project/{name}")
    assert int(found["CODEBUILD_START_TIME"]) == round(build["startTime"].timestamp() * 1000)
    assert found["CODEBUILD_SRC_DIR"].endswith("/src")
    assert found["AWS_REGION"] == "us-east-1"
    assert "token set" in lines


def test_commands_inherit_nothing_from_the_developer(account, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://developers.example")
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands: ['echo "<$PYTHONDONTWRITEBYTECODE$MLFLOW_TRACKING_URI$VIRTUAL_ENV>"', env]
        """
    )

    assert "<>" in account.log(build).splitlines()


def test_parameters_are_fetched_hidden_and_not_exported(account):
    unique = uuid.uuid4().hex
    account.own.client("ssm").put_parameter(
        Name=f"/p/{unique}", Value="parameter-value", Type="SecureString"
    )
    build = account.run(
        """
        version: 0.2
        env:
          exported-variables: [FROM_STORE, LENGTHS]
        phases:
          build:
            commands:
              - export LENGTHS="${#FROM_STORE} ${#OTHER}"
              - echo "store <$FROM_STORE> other <$OTHER>"
        """,
        variables=[
            {"name": "FROM_STORE", "value": f"/p/{unique}", "type": "PARAMETER_STORE"},
            {"name": "OTHER", "value": f"/p/{unique}", "type": "PARAMETER_STORE"},
        ],
    )

    assert build["buildStatus"] == "SUCCEEDED", account.log(build)
    assert build["exportedEnvironmentVariables"] == [{"name": "LENGTHS", "value": "15 15"}]
    assert "store <***> other <***>" in account.log(build).splitlines()
    assert "parameter-value" not in Path(urlsplit(build["logs"]["deepLink"]).path).read_text()


def test_a_parameter_that_does_not_exist_fails_download_source(account, phase):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands: ["true"]
        """,
        variables=[{"name": "GONE", "value": "/no/such/parameter", "type": "PARAMETER_STORE"}],
    )

    assert phase(build, "DOWNLOAD_SOURCE")["contexts"] == [
        {
            "statusCode": "Decrypted Variables Error",
            "message": "parameter does not exist: /no/such/parameter",
        }
    ]
