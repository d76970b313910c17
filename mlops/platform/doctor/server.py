"""The resources of mlflow.yml's stack by name, for checks and for the commands of remedies."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from mlops.platform.doctor.account_view import AccountView
from mlops.platform.stacks import MLFLOW


@dataclass(frozen=True, kw_only=True)
class Server:
    """The stack's parts, or nothing that is known: then remedies speak of a server elsewhere."""

    visible: bool = False
    cluster: str = ""
    service: str = ""
    database: str = ""
    log_group: str = ""
    in_maintenance: bool = False

    @property
    def mend_database(self) -> str:
        """Tells the database's status, and starts it if it was stopped."""
        if not self.database:
            return "start that server's database; its log tells why it cannot connect"
        return f"{self.describe_database}; if stopped: {self.start_database}"

    @property
    def read_log(self) -> str:
        """Tells what the server said of late."""
        if not self.log_group:
            return "look at that server's log"
        # The last 15 minutes, in milliseconds.
        return (
            f"`aws logs filter-log-events --log-group-name {self.log_group} "
            "--start-time $(($(date +%s) - 900))000 --query 'events[].[message]' --output text`"
        )

    @property
    def describe_database(self) -> str:
        """Tells the database's status."""
        return (
            f"`aws rds describe-db-instances --db-instance-identifier {self.database} "
            "--query 'DBInstances[0].DBInstanceStatus'`"
        )

    @property
    def start_database(self) -> str:
        """Starts a stopped database."""
        return f"`aws rds start-db-instance --db-instance-identifier {self.database}`"

    @property
    def restart(self) -> str:
        """Starts new tasks, which read image, secrets and environment anew."""
        if not self.service:
            return "restart that server"
        return (
            f"`aws ecs update-service --cluster {self.cluster} --service {self.service} "
            "--force-new-deployment`"
        )

    @property
    def events(self) -> str:
        """Tells why tasks do not start or do not stay."""
        if not self.service:
            return "look whether that server runs, and at its log"
        return (
            f"`aws ecs describe-services --cluster {self.cluster} --services {self.service} "
            "--query 'services[0].events[:5].message'`"
        )


def find_server(account: AccountView) -> Server:
    """The server's parts; raises what boto3 raises."""
    stack = account.stacks().get(MLFLOW.name)
    if stack is None:
        return Server()
    return Server(
        visible=True,
        cluster=stack.outputs.get("ClusterName", ""),
        service=stack.outputs.get("ServiceName", ""),
        database=stack.outputs.get("DatabaseIdentifier", ""),
        log_group=stack.outputs.get("LogGroupName", ""),
        in_maintenance=stack.parameters.get("Maintenance") == "true",
    )


def name_server(account: AccountView) -> Server:
    """The same for remedies, which are worth something without the names too."""
    try:
        return find_server(account)
    except (BotoCoreError, ClientError):
        return Server()
