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
from local_aws.errors import AwsError
from local_aws.events.delivery import Deliveries, Delivery, Outcome
from local_aws.events.invocation_log import log_invocation
from local_aws.events.schedule import Schedule, read_schedule
from local_aws.events.schedule_groups import DEFAULT_GROUP, ScheduleGroups
from local_aws.events.targets import SCHEDULER, Invocation
from local_aws.events.timer import Clock, SystemClock, Timer
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of


class Schedules:
    """The service: handlers for the gateway, and the thread that waits."""

    kept = ("_schedules", "_groups._groups")

    def __init__(self, own: OwnAws, clock: Clock | None = None) -> None:
        self._own = own
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._groups = ScheduleGroups(own)
        self._schedules: dict[tuple[str, str], Schedule] = {}
        self._tokens: dict[str, str] = {}
        self._timer = Timer("schedules-timer", self._clock)
        self._deliveries = Deliveries(own, "schedules-delivery")

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """The operations of EventBridge Scheduler, all of them."""
        handlers: dict[str, Handler] = {
            "CreateSchedule": self.create,
            "GetSchedule": self.get,
            "UpdateSchedule": self.update,
            "DeleteSchedule": self.delete,
            "ListSchedules": self.list,
            "CreateScheduleGroup": self._locked(self._groups.create),
            "GetScheduleGroup": self._locked(self._groups.get),
            "ListScheduleGroups": self._locked(self._groups.list),
            "DeleteScheduleGroup": self.delete_group,
            "TagResource": self._locked(self._groups.tag),
            "UntagResource": self._locked(self._groups.untag),
            "ListTagsForResource": self._locked(self._groups.list_tags),
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
        with self._lock:
            if token in self._tokens:
                return {"ScheduleArn": self._tokens[token]}
            self._groups.require(call.params.get("GroupName", DEFAULT_GROUP))
        schedule = read_schedule(self._own, call.params, self._clock.now())
        with self._lock:
            if schedule.key in self._schedules:
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
        """ListSchedules, by group and name."""
        params = call.params
        with self._lock:
            if "GroupName" in params:
                self._groups.require(params["GroupName"])
            found = [
                schedule.summary()
                for _, schedule in sorted(self._schedules.items())
                if params.get("GroupName") in (None, schedule.group)
                and params.get("State") in (None, schedule.given["State"])
                and schedule.name.startswith(params.get("NamePrefix", ""))
            ]
        page, more = page_of(found, lambda item: str(item["Arn"]), params)
        return {"Schedules": page, **more}

    def delete_group(self, call: Call) -> Mapping[str, Any]:
        """DeleteScheduleGroup, with its schedules."""
        name = call.params["Name"]
        with self._lock:
            self._groups.delete(name)
            for schedule in [each for each in self._schedules.values() if each.group == name]:
                self._forget(schedule)
        return {}

    def _locked(self, handler: Handler) -> Handler:
        def answer(call: Call) -> Any:
            with self._lock:
                return handler(call)

        return answer

    def _find(self, call: Call) -> Schedule:
        group = call.params.get("GroupName", DEFAULT_GROUP)
        schedule = self._schedules.get((group, call.params["Name"]))
        if schedule is None:
            self._groups.require(group)
            raise AwsError(
                "ResourceNotFoundException", f"Schedule {call.params['Name']} does not exist.", 404
            )
        return schedule

    def _put(self, schedule: Schedule, moment: datetime.datetime) -> None:
        self._schedules[schedule.key] = schedule
        self._wait_for_next(schedule, moment)

    def _forget(self, schedule: Schedule) -> None:
        del self._schedules[schedule.key]
        # A token stands for this schedule, not for a later one of the same name.
        self._tokens = {t: arn for t, arn in self._tokens.items() if arn != schedule.arn}
        self._timer.cancel(schedule.arn)

    def _wait_for_next(self, schedule: Schedule, moment: datetime.datetime) -> bool:
        """Whether there is a next time."""
        due = schedule.next_after(moment)
        if due is None or schedule.given["State"] != "ENABLED":
            self._timer.cancel(schedule.arn)
        else:
            self._timer.set(schedule.arn, due, lambda due: self._on_due(schedule, due))
        return due is not None

    def _on_due(self, schedule: Schedule, due: datetime.datetime) -> None:
        with self._lock:
            if self._schedules.get(schedule.key) is not schedule:
                return  # deleted or updated since
            more = self._wait_for_next(schedule, max(due, self._clock.now()))
        self._deliver(schedule, due, is_last=not more)

    def _deliver(self, schedule: Schedule, due: datetime.datetime, *, is_last: bool) -> None:
        execution_id = str(uuid.uuid4())
        invocation = self._invocation(schedule, due, execution_id)

        def done(outcome: Outcome) -> None:
            log_invocation(self._own, schedule, due, outcome)
            if is_last and schedule.deletes_itself:
                with self._lock:
                    if self._schedules.get(schedule.key) is schedule:
                        self._forget(schedule)

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
