"""The server's tasks and its database, as AWS sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops.platform.doctor.finding import Finding, failed, ok, skipped, warning
from mlops.platform.doctor.patient import Patient
from mlops.platform.doctor.server import Server, find_server
from mlops.platform.stacks import MLFLOW

# On the way to `available` by themselves ("DB instance status", RDS user guide).
_PASSING = frozenset(
    {
        "backing-up",
        "configuring-enhanced-monitoring",
        "configuring-log-exports",
        "creating",
        "maintenance",
        "modifying",
        "rebooting",
        "renaming",
        "resetting-master-credentials",
        "starting",
        "storage-config-upgrade",
        "storage-initialization",
        "storage-optimization",
        "upgrading",
    }
)


def check(patient: Patient) -> Iterator[Finding]:
    """As many tasks run as are wanted, the last deployment succeeded, the database is available."""
    server = find_server(patient.account)
    if not server.visible:
        yield skipped(f"no stack {MLFLOW.name} here: MLflow is run by something else")
        return
    if server.service:
        services = patient.account.client("ecs").describe_services(
            cluster=server.cluster, services=[server.service]
        )["services"]
        yield from judge_service(services[0] if services else {}, server)
    if server.database:
        databases = patient.account.client("rds").describe_db_instances(
            DBInstanceIdentifier=server.database
        )["DBInstances"]
        yield from judge_database(databases[0], server)


def judge_service(service: Mapping[str, Any], server: Server) -> list[Finding]:
    """Whether the ECS service runs what it should."""
    if not service or service.get("status") != "ACTIVE":
        return [failed("the ECS service of MLflow is gone", "mlops platform deploy --stack mlflow")]
    running, desired = service["runningCount"], service["desiredCount"]
    said = f"MLflow: {running} of {desired} tasks run"
    events = service.get("events", ())
    last = events[0]["message"] if events else ""
    if server.in_maintenance:
        start = "mlops platform deploy --stack mlflow --parameter mlflow.Maintenance=false"
        return [failed(f"{said}: the stack's Maintenance is true", start)]
    if desired == 0:
        start = (
            f"aws ecs update-service --cluster {server.cluster} --service {server.service} "
            "--desired-count 1"
        )
        return [failed(f"{said}: somebody stopped it", start)]
    if running == 0:
        return [failed(f"{said}. {last}".strip(), server.events)]
    states = [deployment.get("rolloutState") for deployment in service.get("deployments", ())]
    if "FAILED" in states:
        return [failed(f"{said}, and the last deployment failed. {last}".strip(), server.events)]
    if running < desired:
        return [warning(f"{said}. {last}".strip(), server.events)]
    return [ok(said)]


def judge_database(database: Mapping[str, Any], server: Server) -> list[Finding]:
    """Whether the database takes connections."""
    status = database["DBInstanceStatus"]
    said = f"the database {server.database} is {status}"
    if status == "available":
        return [ok(said)]
    if status == "stopped":
        return [failed(said, server.start_database)]
    if status == "storage-full":
        larger = int(database.get("AllocatedStorage", 20)) * 2
        return [
            failed(
                said,
                f"aws rds modify-db-instance --db-instance-identifier {server.database} "
                f"--allocated-storage {larger} --apply-immediately",
            )
        ]
    if status in _PASSING:
        return [warning(f"{said}: that passes", server.describe_database)]
    return [
        failed(
            said,
            "aws rds describe-events --source-type db-instance --source-identifier "
            f"{server.database} --duration 1440",
        )
    ]
