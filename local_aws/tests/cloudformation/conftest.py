"""Stacks driven through boto3, in an account with every service that templates may name."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from local_aws.cloudformation.service import CloudFormation
from local_aws.codebuild.service import Builds
from local_aws.codecommit.service import Repositories
from local_aws.codepipeline.service import CodePipelines
from local_aws.event_bus import EventBus
from local_aws.events.service import Events
from local_aws.gateway import Gateway, Service
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.pipelines.service import PipelineExecutions
from local_aws.scheduler.service import Schedules

IAM = ["CAPABILITY_NAMED_IAM"]


class Account:
    """Clients of a gateway, and short ways to stacks."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.own = gateway.own
        self.cloudformation = self.client("cloudformation")

    def client(self, service: str) -> Any:
        return self.own.client(service)

    def stack(self, resources: Mapping[str, Any] | None = None, **sections: Any) -> Stack:
        """A stack with these resources, not created yet."""
        return Stack(self, {"Resources": resources or {}, **sections})

    def create_role(self, *principals: str) -> str:
        """ARN of a new role that the services may assume."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": list(principals)},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        role = self.client("iam").create_role(
            RoleName=unique("role"), AssumeRolePolicyDocument=json.dumps(trust)
        )
        return str(role["Role"]["Arn"])


class Stack:
    """One stack; `template` may be changed between operations."""

    def __init__(self, account: Account, template: dict[str, Any]) -> None:
        self.name = unique("stack")
        self.template = template
        self._client = account.cloudformation
        self._id = self.name

    @property
    def resources(self) -> Any:
        return self.template["Resources"]

    def create(self, **request: Any) -> str:
        self._id = self._client.create_stack(**self._request(request))["StackId"]
        return self.settled()

    def update(self, **request: Any) -> str:
        self._client.update_stack(**self._request(request))
        return self.settled()

    def delete(self) -> str:
        self._client.delete_stack(StackName=self._id)
        return self.settled()

    def settled(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = str(self.describe()["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.02)
        raise AssertionError(f"{self.name} is in progress for a minute")

    def describe(self) -> dict[str, Any]:
        return self._client.describe_stacks(StackName=self._id)["Stacks"][0]  # type: ignore[no-any-return]

    def events(self) -> list[dict[str, Any]]:
        """Oldest first."""
        found = self._client.describe_stack_events(StackName=self._id)["StackEvents"]
        return list(reversed(found))

    def reasons(self) -> str:
        """What its events say of failures."""
        return "\n".join(
            e.get("ResourceStatusReason", "")
            for e in self.events()
            if e["ResourceStatus"].endswith("FAILED")
        )

    def ids(self) -> dict[str, str]:
        """Physical ids by logical ids."""
        found = self._client.describe_stack_resources(StackName=self._id)["StackResources"]
        return {r["LogicalResourceId"]: r.get("PhysicalResourceId", "") for r in found}

    def statuses(self) -> dict[str, str]:
        found = self._client.describe_stack_resources(StackName=self._id)["StackResources"]
        return {r["LogicalResourceId"]: r["ResourceStatus"] for r in found}

    def outputs(self) -> dict[str, str]:
        return {o["OutputKey"]: o["OutputValue"] for o in self.describe()["Outputs"]}

    def _request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        values = request.get("Parameters", {})
        whole = {
            "StackName": self.name,
            "TemplateBody": json.dumps(self.template),
            "Capabilities": IAM,
            **request,
            "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        }
        return {name: value for name, value in whole.items() if value is not None}


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


def services(own: OwnAws) -> list[Service]:
    bus = EventBus(own)
    return [
        Repositories(own, bus),
        Events(own, bus),
        Schedules(own),
        Builds(own, bus),
        CodePipelines(own, bus),
        PipelineExecutions(own),
        CloudFormation(own),
    ]


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account of its own for a module. Shared: names are unique."""
    gateway = Gateway(tmp_path_factory.mktemp("stacks"), services).start()
    yield Account(gateway)
    gateway.close()
