"""What became of a schedule's invocations: a JSON line each, in CloudWatch Logs.

{"time", "scheduled", "schedule", "target", "outcome": "Succeeded"|"Failed", "retries", and "answer"
or "code" and "reason"}
"""

from __future__ import annotations

import datetime
import json
import logging
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.events.delivery import Outcome
from local_aws.own_aws import OwnAws
from local_aws.scheduler.schedule import Schedule

logger = logging.getLogger(__name__)

LOG_STREAM = "invocations"


def log_invocation(
    own: OwnAws, schedule: Schedule, scheduled: datetime.datetime, outcome: Outcome
) -> None:
    """Write the line. Never raises: a log doesn't fail an invocation."""
    entry: dict[str, Any] = {
        "time": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "scheduled": f"{scheduled:%Y-%m-%dT%H:%M:%SZ}",
        "schedule": schedule.arn,
        "target": schedule.target["Arn"],
        "outcome": "Succeeded" if outcome.succeeded else "Failed",
        "retries": outcome.retries,
    }
    if outcome.succeeded:
        entry["answer"] = outcome.answer
        logger.info("schedule %s: %s: %s", schedule.name, schedule.target["Arn"], outcome.answer)
    else:
        entry.update(code=outcome.code, reason=outcome.reason)
    names = {"logGroupName": f"/aws/scheduler/{schedule.name}", "logStreamName": LOG_STREAM}
    try:
        logs = own.client("logs")
        _create(logs.create_log_group, logGroupName=names["logGroupName"])
        _create(logs.create_log_stream, **names)
        event = {"timestamp": int(time.time() * 1000), "message": json.dumps(entry, default=str)}
        logs.put_log_events(**names, logEvents=[event])
    except (ClientError, BotoCoreError) as err:
        logger.warning("no CloudWatch Logs for schedule %s: %s", schedule.name, err)


def _create(create: Any, **names: str) -> None:
    try:
        create(**names)
    except ClientError as err:
        if err.response["Error"]["Code"] != "ResourceAlreadyExistsException":
            raise
