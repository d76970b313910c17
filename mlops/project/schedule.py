"""`mlops schedule`: when the model is trained again by itself.

The schedule is set through the stack's parameters, so that the stack says what is true.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from botocore.exceptions import ClientError

from local_aws.errors import UsageError
from local_aws.events.cron import ExpressionError
from local_aws.events.expressions import Expression, parse_expression
from mlops.project.clients import Clients
from mlops.project.project_stack import ProjectStack, require_project_stack
from mlops.project.stack_change import StackChange, change_stack
from mlops.project.stack_events import StackEvent

_SHOWN = 3
_INVOCATIONS = "/aws/scheduler/"


def set_schedule(
    clients: Clients,
    expression: str | None,
    timezone: str | None,
    on_event: Callable[[StackEvent], None] = lambda _: None,
) -> bool:
    """Update the stack's parameters, which None leaves as they are; "" is no schedule.

    Returns whether anything changed. Raises UsageError for what Scheduler would refuse.
    """
    stack = require_project_stack(clients)
    wanted = stack.parameters.get("Schedule", "") if expression is None else expression
    zone = timezone or stack.parameters.get("ScheduleTimezone") or "UTC"
    if wanted:
        require_expression(wanted, zone)
    parameters = {"Schedule": wanted, **({"ScheduleTimezone": timezone} if timezone else {})}
    change = StackChange(stack_name=stack.name, parameters=parameters)
    return change_stack(clients, change, bucket="", on_event=on_event).changed


def show_schedule(clients: Clients) -> list[str]:
    """The schedule, its next times, what it did last and the executions there are, as lines."""
    stack = require_project_stack(clients)
    schedule = _schedule(clients, stack)
    if schedule is None:
        return ["no schedule. Set one: mlops schedule 'cron(0 3 ? * MON *)' --timezone TZ"]
    zone = schedule.get("ScheduleExpressionTimezone", "UTC")
    text = schedule["ScheduleExpression"]
    lines = [
        f"{schedule['Name']}  {text}  {zone}  {schedule['State']}",
        f"  starts      {schedule['Target']['Arn']}",
    ]
    times = islice(_times(require_expression(text, zone), schedule["CreationDate"]), _SHOWN)
    lines += [f"  next        {time.astimezone(ZoneInfo(zone)):%a %F %H:%M %Z}" for time in times]
    lines += [f"  invocation  {line}" for line in _invocations(clients, schedule["Name"])]
    lines += [
        f"  execution   {line}"
        for line in _executions(clients, stack.outputs["SageMakerPipelineName"])
    ]
    return lines


def run_now(clients: Clients) -> str:
    """Do once what the schedule does, or would do; returns what it started."""
    stack = require_project_stack(clients)
    target = (_schedule(clients, stack) or {}).get("Target", {})
    name = stack.outputs["SageMakerPipelineName"]
    given = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    try:
        answer = clients("sagemaker").start_pipeline_execution(
            PipelineName=name, PipelineParameters=given
        )
    except ClientError as err:
        if err.response["Error"]["Code"] != "ResourceNotFound":
            raise
        raise UsageError(
            f"there is no SageMaker pipeline {name} yet: `mlops push build` makes it."
        ) from err
    return str(answer["PipelineExecutionArn"])


def require_expression(text: str, zone: str) -> Expression:
    """The expression; raises UsageError with what is right for one that Scheduler refuses."""
    try:
        return parse_expression(text, ZoneInfo(zone))
    except ExpressionError as err:
        raise UsageError(
            f"{text!r} is no schedule: {err}. Right are 'cron(0 3 ? * MON *)' (Mondays at 3), "
            "'rate(1 day)', 'at(2027-01-31T03:00:00)'."
        ) from err
    except (ZoneInfoNotFoundError, ValueError) as err:
        raise UsageError(
            f"there is no timezone {zone!r}. Take a name such as Europe/Paris or UTC."
        ) from err


def _schedule(clients: Clients, stack: ProjectStack) -> dict[str, Any] | None:
    name = stack.outputs.get("ScheduleName")
    return dict(clients("scheduler").get_schedule(Name=name)) if name else None


def _times(expression: Expression, first: datetime) -> Iterator[datetime]:
    moment: datetime | None = datetime.now(UTC)
    while moment is not None:
        moment = expression.next_after(moment, first=first)
        if moment is not None:
            yield moment


def _invocations(clients: Clients, schedule_name: str) -> list[str]:
    """The last ones, as local_aws notes them in CloudWatch Logs; AWS has metrics in their place."""
    logs = clients("logs")
    noted: list[dict[str, Any]] = []
    for group in logs.describe_log_groups(logGroupNamePrefix=_INVOCATIONS)["logGroups"]:
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"]
        ):
            noted += [json.loads(event["message"]) for event in page["events"]]
    own = [each for each in noted if each["schedule"].endswith(f"/{schedule_name}")]
    latest = sorted(own, key=lambda each: str(each["time"]))[-_SHOWN:]
    return [
        f"{_local(each['time'])}  {each['outcome']}  {each.get('reason', '')}" for each in latest
    ]


def _executions(clients: Clients, pipeline_name: str) -> list[str]:
    """The newest, whoever started them; none before the first push made the pipeline."""
    try:
        found = clients("sagemaker").list_pipeline_executions(PipelineName=pipeline_name)
    except ClientError as err:
        if err.response["Error"]["Code"] != "ResourceNotFound":
            raise
        return []
    return [
        f"{row['StartTime'].astimezone():%F %H:%M:%S}  {row['PipelineExecutionStatus']:<10}  "
        + row["PipelineExecutionArn"].rpartition("/")[2]
        + _reason(clients, row)
        for row in found["PipelineExecutionSummaries"][:_SHOWN]
    ]


def _reason(clients: Clients, row: Mapping[str, Any]) -> str:
    """Why the execution failed, as its step says: of itself it only says that it did."""
    if row["PipelineExecutionStatus"] != "Failed":
        return ""
    steps = clients("sagemaker").list_pipeline_execution_steps(
        PipelineExecutionArn=row["PipelineExecutionArn"]
    )["PipelineExecutionSteps"]
    reasons = [
        f"{step['StepName']}: {step['FailureReason']}" for step in steps if "FailureReason" in step
    ]
    return f"  {'; '.join(reasons)}" if reasons else ""


def _local(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone():%F %H:%M:%S}"
