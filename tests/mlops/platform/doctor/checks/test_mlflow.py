"""What MLflow's answers mean. That it gives these answers: test_planted_faults.py."""

from __future__ import annotations

import pytest

from mlops.platform.doctor.checks.allowed_hosts import check as check_allowed_hosts
from mlops.platform.doctor.checks.allowed_hosts import judge as judge_allowed_hosts
from mlops.platform.doctor.checks.artifacts import judge_location, judge_refusal
from mlops.platform.doctor.checks.mlflow import check, diagnose, judge_versions
from mlops.platform.doctor.server import Server
from mlops.platform.doctor.tracking import Answer, Login, Obstacle

_URI = "https://mlflow.example.com"
_SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:client"
_LOGIN = Login(username="projects", password="s3cret", source=_SECRET)
_SERVER = Server(visible=True, cluster="main", service="mlflow", database="sagemaker-mlflow-1")


@pytest.mark.parametrize(
    ("answer", "words", "remedy"),
    [
        (Answer(obstacle=Obstacle.NAME), "does not resolve", "inside the VPC"),
        (Answer(obstacle=Obstacle.REFUSED), "is refused", "client-security-group-id"),
        (Answer(obstacle=Obstacle.TIMEOUT), "not answer in time", "client-security-group-id"),
        (
            Answer(obstacle=Obstacle.CERTIFICATE, text="hostname mismatch"),
            "hostname mismatch",
            "mlflow.CertificateArn=...`, of a certificate for mlflow.example.com",
        ),
        (
            Answer(status=403, text="Invalid Host header - possible DNS rebinding attack"),
            "refuses requests to mlflow.example.com",
            "--parameter mlflow.DomainName=mlflow.example.com",
        ),
        (Answer(status=403, text="Permission denied"), "may not look", "DefaultPermission=READ"),
        (Answer(status=401), f"(401) in the secret {_SECRET}", "--force-new-deployment"),
        (
            Answer(status=500, text="(pymysql.err.OperationalError) (2003, 'refused')"),
            "its database does not answer (500)",
            "aws rds start-db-instance --db-instance-identifier sagemaker-mlflow-1",
        ),
        (
            Answer(
                status=503,
                text='{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "(2003, x)"}',
            ),
            "its database does not answer (503): (2003, x)",
            "aws rds",
        ),
        (
            Answer(status=503, text="<html><h1>503 Service Temporarily Unavailable</h1></html>"),
            "no task is healthy",
            "aws ecs describe-services --cluster main --services mlflow",
        ),
        (Answer(status=404, text="<p>nginx</p>"), "404 and is no MLflow: nginx", "tracking-uri"),
    ],
)
def test_each_reason_has_its_own_words_and_remedy(answer, words, remedy):
    finding = diagnose(answer, _URI, _LOGIN, _SERVER)
    assert finding.status == "failed"
    assert words in finding.message
    assert remedy in finding.remedy
    assert "s3cret" not in finding.message + finding.remedy
    assert "\n" not in finding.message + finding.remedy


def test_silence_after_a_sign_of_health_is_the_databases_and_no_matter_of_the_network():
    # A stopped RDS refuses nothing: connections to it are lost, and MLflow waits for them.
    silence = Answer(obstacle=Obstacle.TIMEOUT)
    finding = diagnose(silence, _URI, _LOGIN, _SERVER, is_healthy=True)
    assert "silent when asked for what is in its database" in finding.message
    assert "aws rds start-db-instance" in finding.remedy
    assert "VPC" not in finding.remedy


def test_a_refused_login_of_the_environment_is_not_the_secrets_fault():
    login = Login(username="ada", password="x", source="MLFLOW_TRACKING_USERNAME")
    finding = diagnose(Answer(status=401), _URI, login, _SERVER)
    assert "which the environment gives" in finding.message
    assert finding.remedy.startswith("unset MLFLOW_TRACKING_USERNAME")


@pytest.mark.parametrize(
    ("server", "client", "status", "remedy"),
    [
        ("3.17.2", "3.17.0", "ok", ""),
        ("3.17.2", "3.18.0", "warning", "requirements/mlflow-server.in name mlflow 3.18.0"),
        ("3.17.2", "2.22.0", "warning", "'mlflow-skinny==3.17.2'"),
        ("3.9.0", "3.10.0", "warning", "requirements/mlflow-server.in"),
    ],
)
def test_versions_agree_to_the_minor_one(server, client, status, remedy):
    [finding] = judge_versions(Answer(status=200, text=server), client)
    assert finding.status == status
    assert server in finding.message
    assert client in finding.message
    assert remedy in finding.remedy


def test_a_version_that_is_not_told_is_no_finding():
    assert judge_versions(Answer(status=401), "3.17.2") == []
    assert judge_versions(Answer(status=200, text="<html>"), "3.17.2") == []


def test_what_is_no_mlflow_is_found_by_its_health(patient, stub_server):
    stub_server.status, stub_server.body = 404, b"<h1>It works!</h1>"
    [finding] = check(patient(tracking_uri=stub_server.url))
    assert finding.message == f"{stub_server.url} answers 404 and is no MLflow: It works!"


def test_a_client_that_cannot_read_what_a_plain_request_can_is_told(patient, stub_server):
    stub_server.body = b"OK"  # to everything
    [finding] = check(patient(tracking_uri=stub_server.url))
    assert finding.status == "failed"
    assert "answers a plain request, but not its client" in finding.message


def test_an_address_that_is_unknown_is_not_looked_for(patient):
    from mlops.platform.doctor.patient import CannotLook

    with pytest.raises(CannotLook) as raised:
        list(check(patient()))
    assert raised.value.finding.status == "skipped"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(status=403, text="Invalid Host header"), "ok"),
        (Answer(status=404), "ok"),
        (Answer(status=200), "failed"),
        (Answer(status=401), "failed"),
        (Answer(status=503), "skipped"),
        (Answer(obstacle=Obstacle.TIMEOUT), "skipped"),
    ],
)
def test_a_foreign_host_has_to_be_refused_before_anything_else(answer, status):
    finding = judge_allowed_hosts(answer, _URI)
    assert finding.status == status
    if status == "failed":
        assert "MLFLOW_SERVER_ALLOWED_HOSTS=mlflow.example.com" in finding.remedy


def test_a_server_that_answers_to_any_name_is_found(patient, stub_server):
    [finding] = check_allowed_hosts(patient(tracking_uri=stub_server.url))
    assert (finding.status, stub_server.received[0][1]["Host"]) == ("failed", "doctor.invalid")
    assert "Authorization" not in stub_server.received[0][1]


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("s3://artifacts/mlflow/0", None),
        ("mlflow-artifacts:/0", "skipped"),
        ("./mlruns/0", "failed"),
        ("file:///tmp/mlruns/0", "failed"),
    ],
)
def test_artifacts_have_to_go_to_s3(location, status):
    finding = judge_location(location)
    assert (finding.status.value if finding else None) == status


def test_a_bucket_out_of_reach_names_who_can_change_that():
    assert "reader-policy-arn" in judge_refusal("artifacts", missing=False).remedy
    assert "does not exist" in judge_refusal("artifacts", missing=True).message
