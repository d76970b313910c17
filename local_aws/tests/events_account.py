"""EventBridge and Scheduler behind a gateway, with queues to read back what they deliver."""

from __future__ import annotations

import datetime
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from aws_cli import run_aws

from local_aws.event_bus import EventBus
from local_aws.events.service import Events
from local_aws.gateway import Gateway
from local_aws.own_aws import OwnAws
from local_aws.scheduler.service import Schedules

START = datetime.datetime(2026, 11, 2, 12, 0, tzinfo=datetime.UTC)


class HandClock:
    """A clock that somebody moves; all who wait on it wake then."""

    def __init__(self) -> None:
        self._now = START
        self._waiting: set[threading.Condition] = set()

    def now(self) -> datetime.datetime:
        return self._now

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        self._waiting.add(condition)
        condition.wait(0.5)  # the hand may have moved before the first wait

    def advance(self, **delta: float) -> datetime.datetime:
        self._now += datetime.timedelta(**delta)
        for condition in list(self._waiting):
            with condition:
                condition.notify_all()
        return self._now


class StartedElsewhere:
    """Services of others that only note how they were called; `refuse` says how they fail."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.refuse: Callable[[], None] = lambda: None

    def operations(self) -> Mapping[tuple[str, str], Callable[[Any], Any]]:
        return {
            ("codepipeline", "StartPipelineExecution"): self._answer(
                {"pipelineExecutionId": "e-1"}
            ),
            ("sagemaker", "StartPipelineExecution"): self._answer(
                {"PipelineExecutionArn": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/e"}
            ),
            ("codebuild", "StartBuild"): self._answer({"build": {"id": "project:1"}}),
        }

    def close(self) -> None:
        pass

    def _answer(self, answer: Mapping[str, Any]) -> Callable[[Any], Mapping[str, Any]]:
        def handle(call: Any) -> Mapping[str, Any]:
            self.calls.append(call)
            self.refuse()
            return answer

        return handle


class EventsAccount:
    """A gateway with both services, and short ways to queues and roles."""

    def __init__(self, folder: Any) -> None:
        self.clock = HandClock()
        self.elsewhere = StartedElsewhere()

        def services(own: OwnAws) -> list[Any]:
            self.bus = EventBus(own)
            return [
                Events(own, self.bus),
                Schedules(own, self.clock),
                self.elsewhere,
            ]

        self.gateway = Gateway(folder, services).start()
        self.own = self.gateway.own
        self.events = self.own.client("events")
        self.scheduler = self.own.client("scheduler")
        self.sqs = self.own.client("sqs")
        self.events_role = self.create_role("events.amazonaws.com")
        self.role = self.create_role("scheduler.amazonaws.com")

    def arn(self, service: str, resource: str) -> str:
        return self.own.arn(service, resource)

    def create_role(self, principal: str) -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": principal},
            "Action": "sts:AssumeRole",
        }
        role = self.own.client("iam").create_role(
            RoleName=unique("role"),
            AssumeRolePolicyDocument=json.dumps({"Statement": [statement]}),
        )
        return str(role["Role"]["Arn"])

    def create_queue(self) -> str:
        """ARN of a new queue."""
        name = unique("queue")
        self.sqs.create_queue(QueueName=name)
        return self.arn("sqs", name)

    def receive(self, queue_arn: str, seconds: float = 10.0) -> dict[str, Any]:
        """The next message of the queue, waited for."""
        message = self._next(queue_arn, seconds)
        assert message is not None, f"nothing came to {queue_arn}"
        return message

    def is_silent(self, queue_arn: str) -> bool:
        """Whether nothing comes for a moment."""
        return self._next(queue_arn, 0.4) is None

    def put_rule(self, targets: list[dict[str, Any]], **rule: Any) -> str:
        """Name of a new rule with these targets."""
        name = unique("rule")
        self.events.put_rule(Name=name, **rule)
        self.events.put_targets(Rule=name, Targets=targets)
        return name

    def put_event(self, source: str, detail: dict[str, Any]) -> str:
        """Id of the event, told as a service tells it."""
        return str(self.bus.publish(source, "Tested", detail=detail).document["id"])

    def create_schedule(self, expression: str, target: dict[str, Any], **schedule: Any) -> str:
        """Name of a new schedule."""
        name = unique("schedule")
        self.scheduler.create_schedule(
            Name=name,
            ScheduleExpression=expression,
            Target={"RoleArn": self.role, **target},
            **{"FlexibleTimeWindow": {"Mode": "OFF"}, **schedule},
        )
        return name

    def aws(self, *arguments: str) -> str:
        """What the `aws` command prints."""
        done = run_aws(self.own, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def invocations(self, schedule_name: str) -> list[dict[str, Any]]:
        """What the log says of the schedule."""
        logs = self.own.client("logs")
        group = f"/aws/scheduler/{schedule_name}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return []
        # Not get_log_events: the stream comes after its group.
        events = logs.filter_log_events(logGroupName=group)["events"]
        return [json.loads(event["message"]) for event in events]

    def _next(self, queue_arn: str, seconds: float) -> dict[str, Any] | None:
        url = self.sqs.get_queue_url(QueueName=queue_arn.rpartition(":")[2])["QueueUrl"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            messages = self.sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get(
                "Messages", []
            )
            if messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
                return dict(messages[0])
            time.sleep(0.03)
        return None


def unique(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:10]}"


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventsAccount]:
    """Shared in a module: names are unique."""
    account = EventsAccount(tmp_path_factory.mktemp("events"))
    yield account
    account.gateway.close()


@pytest.fixture
def elsewhere(account: EventsAccount) -> Iterator[StartedElsewhere]:
    """The other services, which have been called by nobody yet and refuse nothing."""
    account.elsewhere.calls.clear()
    yield account.elsewhere
    account.elsewhere.refuse = lambda: None
