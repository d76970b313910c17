"""EventBridge Scheduler: schedules that invoke their targets when they are due.

    Create, Update ─▶ Schedule ─▶ Timer ─▶ Deliveries ─▶ target ─▶ invocation log
                                    ▲ the next time, until there is none

A time that passes while the machine sleeps is invoked once when it wakes, however often it came.
"""

from __future__ import annotations

import datetime
import json
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.clock import Clock, SystemClock
from local_aws.errors import AwsError
from local_aws.events.delivery import Deliveries, Delivery, Outcome
from local_aws.events.targets import SCHEDULER, Invocation
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.scheduler.invocation_log import log_invocation
from local_aws.scheduler.schedule import (
    Schedule,
    read_schedule,
    require_default_group,
)
from local_aws.scheduler.timer import Timer


class Schedules:
    """The service: handlers for the gateway, and the thread that waits."""

    kept = ("_schedules",)

    def __init__(self, own: OwnAws, clock: Clock | None = None) -> None:
        self._own = own
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._schedules: dict[str, Schedule] = {}
        self._tokens: dict[str, str] = {}
        self._timer = Timer("schedules-timer", self._clock)
        self._deliveries = Deliveries(own, "schedules-delivery")

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """The operations of EventBridge Scheduler on schedules; there is one group."""
        handlers: dict[str, Handler] = {
            "CreateSchedule": self.create,
            "GetSchedule": self.get,
            "UpdateSchedule": self.update,
            "DeleteSchedule": self.delete,
            "ListSchedules": self.list,
        }
        return {("scheduler", operation): handler for operation, handler in handlers.items()}

    def close(self) -> None:
        """End the threads."""
        self._timer.close()
        self._deliveries.close()

    def resume(self) -> list[str]:
        """Wait for their next times; what passed meanwhile is not made up for."""
        with self._lock:
            for schedule in self._schedules.values():
                self._wait_for_next(schedule, self._clock.now())
        return []

    def create(self, call: Call) -> Mapping[str, Any]:
        """CreateSchedule. The same ClientToken again is the same schedule."""
        token = call.params.get("ClientToken")
        require_default_group(call.params.get("GroupName"))
        with self._lock:
            if token in self._tokens:
                return {"ScheduleArn": self._tokens[token]}
        schedule = read_schedule(self._own, call.params, self._clock.now())
        with self._lock:
            if schedule.name in self._schedules:
                raise AwsError(
                    "ConflictException", f"Schedule {schedule.name} already exists.", 409
                )
            # A rate without a StartDate is due at once.
            self._put(schedule, schedule.created - datetime.timedelta(microseconds=1))
            if token is not None:
                self._tokens[token] = schedule.arn
        return {"ScheduleArn": schedule.arn}

    def get(self, call: Call) -> Mapping[str, Any]:
        """GetSchedule."""
        with self._lock:
            return self._find(call).describe()

    def update(self, call: Call) -> Mapping[str, Any]:
        """UpdateSchedule: what isn't given gets its default back."""
        with self._lock:
            before = self._find(call)
        schedule = read_schedule(self._own, call.params, self._clock.now(), before.created)
        with self._lock:
            self._find(call)  # it may have been deleted meanwhile
            self._put(schedule, schedule.modified)
        return {"ScheduleArn": schedule.arn}

    def delete(self, call: Call) -> Mapping[str, Any]:
        """DeleteSchedule."""
        with self._lock:
            self._forget(self._find(call))
        return {}

    def list(self, call: Call) -> Mapping[str, Any]:
        """ListSchedules, by name."""
        params = call.params
        require_default_group(params.get("GroupName"))
        with self._lock:
            found = [
                schedule.summary()
                for _, schedule in sorted(self._schedules.items())
                if params.get("State") in (None, schedule.given["State"])
                and schedule.name.startswith(params.get("NamePrefix", ""))
            ]
        page, more = page_of(found, lambda item: str(item["Arn"]), params)
        return {"Schedules": page, **more}

    def _find(self, call: Call) -> Schedule:
        require_default_group(call.params.get("GroupName"))
        schedule = self._schedules.get(call.params["Name"])
        if schedule is None:
            raise AwsError(
                "ResourceNotFoundException", f"Schedule {call.params['Name']} does not exist.", 404
            )
        return schedule

    def _put(self, schedule: Schedule, moment: datetime.datetime) -> None:
        self._schedules[schedule.name] = schedule
        self._wait_for_next(schedule, moment)

    def _forget(self, schedule: Schedule) -> None:
        del self._schedules[schedule.name]
        # A token stands for this schedule, not for a later one of the same name.
        self._tokens = {t: arn for t, arn in self._tokens.items() if arn != schedule.arn}
        self._timer.cancel(schedule.arn)

    def _wait_for_next(self, schedule: Schedule, moment: datetime.datetime) -> None:
        due = schedule.next_after(moment)
        if due is None or schedule.given["State"] != "ENABLED":
            self._timer.cancel(schedule.arn)
        else:
            self._timer.set(schedule.arn, due, lambda due: self._on_due(schedule, due))

    def _on_due(self, schedule: Schedule, due: datetime.datetime) -> None:
        with self._lock:
            if self._schedules.get(schedule.name) is not schedule:
                return  # deleted or updated since
            self._wait_for_next(schedule, max(due, self._clock.now()))
        self._deliver(schedule, due)

    def _deliver(self, schedule: Schedule, due: datetime.datetime) -> None:
        execution_id = str(uuid.uuid4())
        invocation = self._invocation(schedule, due, execution_id)

        def done(outcome: Outcome) -> None:
            log_invocation(self._own, schedule, due, outcome)

        self._deliveries.submit(
            Delivery(
                label=f"schedule {schedule.name}",
                target=schedule.target,
                invocation=lambda: invocation,
                dead_letter_body=invocation.payload,
                dead_letter_attributes={
                    "SCHEDULE_ARN": schedule.arn,
                    "SCHEDULED_TIME": f"{due:%Y-%m-%dT%H:%M:%SZ}",
                    "EXECUTION_ID": execution_id,
                    "IS_PAYLOAD_TRUNCATED": "false",
                },
                done=done,
            )
        )

    def _invocation(
        self, schedule: Schedule, due: datetime.datetime, execution_id: str
    ) -> Invocation:
        return Invocation(
            arn=schedule.target["Arn"],
            role_arn=schedule.target["RoleArn"],
            principal=SCHEDULER,
            payload=self._payload(schedule, due, execution_id),
            chosen="Input" in schedule.target,
            settings=schedule.target,
        )

    def _payload(self, schedule: Schedule, due: datetime.datetime, execution_id: str) -> str:
        """The target's Input with its context attributes, or the event of a schedule without.

        Source: EventBridge Scheduler user guide, "Adding context attributes".
        """
        time = f"{due:%Y-%m-%dT%H:%M:%SZ}"
        if "Input" not in schedule.target:
            return json.dumps(
                {
                    "version": "0",
                    "id": execution_id,
                    "detail-type": "Scheduled Event",
                    "source": "aws.scheduler",
                    "account": self._own.account,
                    "time": time,
                    "region": self._own.region,
                    "resources": [schedule.arn],
                    "detail": "{}",
                }
            )
        text = str(schedule.target["Input"])
        for name, value in (
            ("schedule-arn", schedule.arn),
            ("scheduled-time", time),
            ("execution-id", execution_id),
            ("attempt-number", "1"),
        ):
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return text
