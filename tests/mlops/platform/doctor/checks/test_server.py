from __future__ import annotations

import pytest
from botocore.stub import Stubber

from mlops.platform.doctor.checks.server import check, judge_database, judge_service
from mlops.platform.doctor.server import Server, name_server

_SERVER = Server(visible=True, cluster="main", service="mlflow", database="sagemaker-mlflow-1")
_SERVICE = {
    "status": "ACTIVE",
    "runningCount": 2,
    "desiredCount": 2,
    "deployments": [{"rolloutState": "COMPLETED"}],
    "events": [{"message": "(service mlflow) was unable to place a task."}],
}
_STACK = {
    "Parameters": {"Maintenance": {"Type": "String", "Default": "false"}},
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {
        "ClusterName": {"Value": "main"},
        "ServiceName": {"Value": "mlflow"},
        "DatabaseIdentifier": {"Value": "sagemaker-mlflow-1"},
    },
}


@pytest.mark.parametrize(
    ("changes", "status", "words", "remedy"),
    [
        ({}, "ok", "2 of 2 tasks run", ""),
        ({"runningCount": 0}, "failed", "0 of 2 tasks run. (service mlflow) was", "describe-serv"),
        ({"runningCount": 1}, "warning", "1 of 2 tasks run", "describe-services"),
        ({"runningCount": 0, "desiredCount": 0}, "failed", "stopped it", "--desired-count 1"),
        ({"deployments": [{"rolloutState": "FAILED"}]}, "failed", "deployment failed", "describe"),
        ({"status": "INACTIVE"}, "failed", "is gone", "mlops platform deploy --stack mlflow"),
    ],
)
def test_the_service_runs_what_is_wanted(changes, status, words, remedy):
    [finding] = judge_service({**_SERVICE, **changes}, _SERVER)
    assert finding.status == status
    assert words in finding.message
    assert remedy in finding.remedy


def test_maintenance_is_ended_by_the_stacks_parameter():
    stopped = {**_SERVICE, "runningCount": 0, "desiredCount": 0}
    server = Server(visible=True, in_maintenance=True)
    [finding] = judge_service(stopped, server)
    assert (
        finding.remedy
        == "mlops platform deploy --stack mlflow --parameter mlflow.Maintenance=false"
    )


@pytest.mark.parametrize(
    ("status", "verdict", "remedy"),
    [
        ("available", "ok", ""),
        ("stopped", "failed", "aws rds start-db-instance --db-instance-identifier sagemaker-ml"),
        ("storage-full", "failed", "--allocated-storage 40 --apply-immediately"),
        ("backing-up", "warning", "aws rds describe-db-instances"),
        ("incompatible-parameters", "failed", "aws rds describe-events"),
    ],
)
def test_the_database_has_to_take_connections(status, verdict, remedy):
    database = {"DBInstanceStatus": status, "AllocatedStorage": 20}
    [finding] = judge_database(database, _SERVER)
    assert finding.status == verdict
    assert f"the database sagemaker-mlflow-1 is {status}" in finding.message
    assert remedy in finding.remedy


def test_the_outputs_are_those_of_the_template(render):
    assert {"ClusterName", "ServiceName", "DatabaseIdentifier"} <= render(
        "mlflow.yml"
    ).outputs.keys()
    assert "Maintenance" in render("mlflow.yml").template.parameters


def test_service_and_database_are_found_by_the_stacks_outputs(patient, account, deploy):
    deploy("sagemaker-mlflow-server", _STACK)
    with Stubber(account.client("ecs")) as ecs, Stubber(account.client("rds")) as rds:
        ecs.add_response(
            "describe_services",
            {"services": [_SERVICE]},
            {"cluster": "main", "services": ["mlflow"]},
        )
        rds.add_response(
            "describe_db_instances",
            {"DBInstances": [{"DBInstanceStatus": "stopped"}]},
            {"DBInstanceIdentifier": "sagemaker-mlflow-1"},
        )
        findings = list(check(patient()))
    assert [finding.status for finding in findings] == ["ok", "failed"]


def test_a_server_that_somebody_else_runs_is_not_looked_at(patient):
    [finding] = check(patient())
    assert finding.status == "skipped"


def test_remedies_do_without_names_that_cannot_be_read(account):
    with Stubber(account.client("cloudformation")) as stub:
        stub.add_client_error("describe_stacks", "AccessDenied")
        assert name_server(account).restart == "restart that server"
