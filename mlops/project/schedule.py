"""`mlops schedule`: when the model is trained again by itself.

The schedule is set through the stack's parameters, so that the stack says what is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from botocore.exceptions import ClientError

from mlops.account import Account, error_code
from mlops.display import Display
from mlops.errors import InputError
from mlops.platform.deployment import DeployOptions, StackPlan, deploy_stack
from mlops.platform.stacks import PROJECT, deployed_template
from mlops.platform.templates import problem_of_value
from mlops.project.project_stack import ProjectStack

_SHOWN = 3
_RIGHT = "'cron(0 3 ? * MON *)' (Mondays at 3), 'rate(1 day)', 'at(2027-01-31T03:00:00)'"


def set_schedule(
    account: Account,
    project: ProjectStack,
    expression: str | None,
    timezone: str | None,
    display: Display,
) -> bool:
    """Update the stack's parameters, which None leaves as they are; "" is no schedule.

    Returns whether anything changed. Raises InputError for what is no schedule at all; what else
    Scheduler refuses, CloudFormation rolls back.
    """
    template = deployed_template(account.client("cloudformation"), project.stack)
    if expression and problem_of_value(template.parameters["Schedule"], expression):
        raise InputError(f"{expression!r} is no schedule. Right are {_RIGHT}.")
    if timezone:
        require_timezone(timezone)
    given = {"Schedule": expression, "ScheduleTimezone": timezone}
    changes = {name: value for name, value in given.items() if value is not None}
    plan = StackPlan(
        kind=PROJECT,
        name=project.stack.name,
        template=template,
        parameters={**dict.fromkeys(project.parameters), **changes},
        tags=project.stack.tags,
        deployed=project.stack,
        keeps_template=True,
    )
    return deploy_stack(account, plan, DeployOptions(yes=True), display)


def require_timezone(name: str) -> None:
    """Raise InputError unless there is such a timezone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise InputError(
            f"there is no timezone {name!r}. Take a name such as Europe/Paris or UTC."
        ) from err


def read_schedule(account: Account, project: ProjectStack) -> dict[str, Any]:
    """The schedule (None if there is none) and the newest executions that it or others started."""
    name = project.outputs.get("ScheduleName")
    schedule = account.client("scheduler").get_schedule(Name=name) if name else None
    return {
        "project": project.name,
        "schedule": schedule
        and {
            "name": schedule["Name"],
            "expression": schedule["ScheduleExpression"],
            "timezone": schedule.get("ScheduleExpressionTimezone", "UTC"),
            "state": schedule["State"],
            "starts": schedule["Target"]["Arn"],
        },
        "executions": _executions(account, project.outputs["SageMakerPipelineName"]),
    }


def schedule_lines(found: Mapping[str, Any]) -> list[str]:
    """What `read_schedule` found, for a person."""
    schedule = found["schedule"]
    if schedule is None:
        example = "mlops schedule 'cron(0 3 ? * MON *)' --timezone Europe/Paris"
        return [f"no schedule. Set one: `{example}`"]
    return [
        f"{schedule['name']}  {schedule['expression']}  {schedule['timezone']}  "
        + schedule["state"],
        f"  starts      {schedule['starts']}",
        *(
            f"  execution   {each['started']:%F %H:%M:%S}  {each['status']:<10}  {each['id']}"
            + (f"  {each['reason']}" if each["reason"] else "")
            for each in found["executions"]
        ),
    ]


def run_now(account: Account, project: ProjectStack) -> str:
    """Do once what the schedule does, or would do; returns what it started."""
    name = project.outputs.get("ScheduleName")
    target = account.client("scheduler").get_schedule(Name=name)["Target"] if name else {}
    given = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    pipeline = project.outputs["SageMakerPipelineName"]
    try:
        answer = account.client("sagemaker").start_pipeline_execution(
            PipelineName=pipeline, PipelineParameters=given
        )
    except ClientError as err:
        if error_code(err) != "ResourceNotFound":
            raise
        raise InputError(
            f"there is no SageMaker pipeline {pipeline} yet: `mlops push build` makes it."
        ) from err
    return str(answer["PipelineExecutionArn"])


def _executions(account: Account, pipeline_name: str) -> list[dict[str, Any]]:
    """The newest, whoever started them; none before the first push made the pipeline."""
    try:
        found = account.client("sagemaker").list_pipeline_executions(
            PipelineName=pipeline_name, MaxResults=_SHOWN
        )
    except ClientError as err:
        if error_code(err) != "ResourceNotFound":
            raise
        return []
    return [
        {
            "id": row["PipelineExecutionArn"].rpartition("/")[2],
            "status": row["PipelineExecutionStatus"],
            "started": row["StartTime"].astimezone(),
            "reason": _reason(account, row),
        }
        for row in found["PipelineExecutionSummaries"]
    ]


def _reason(account: Account, row: Mapping[str, Any]) -> str:
    """Why the execution failed, as its step says: of itself it only says that it did."""
    if row["PipelineExecutionStatus"] != "Failed":
        return ""
    steps = account.client("sagemaker").list_pipeline_execution_steps(
        PipelineExecutionArn=row["PipelineExecutionArn"]
    )["PipelineExecutionSteps"]
    reasons = [
        f"{step['StepName']}: {step['FailureReason']}" for step in steps if "FailureReason" in step
    ]
    return "; ".join(reasons)
