"""Manual approval: the action waits for a person, at most seven days or timeoutInMinutes.

Sources: "Add a manual approval action" and "JSON data format for manual approval notifications" in
the CodePipeline user guide.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from local_aws.codepipeline.actions.action import (
    ActionAbandoned,
    ActionFailed,
    ActionJob,
    Outcome,
)
from local_aws.codepipeline.definition import Action

_DEFAULT_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class ManualApproval:
    """Approval/Manual."""

    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset({"CustomData", "NotificationArn", "ExternalEntityLink"})
    inputs: tuple[int, int] = (0, 0)
    outputs: tuple[int, int] = (0, 0)

    def problems(self, action: Action) -> list[str]:
        topic = action.configuration.get("NotificationArn", "")
        if topic and not topic.startswith("arn:") and "#{" not in topic:
            return [f"NotificationArn {topic!r} is not the ARN of an SNS topic"]
        return []

    def run(self, job: ActionJob) -> Outcome:
        """Ask, then wait for PutApprovalResult."""
        minutes = job.action.timeout_minutes or _DEFAULT_MINUTES
        job.report(token=job.token)
        if job.get("NotificationArn"):
            _notify(job, datetime.now(UTC) + timedelta(minutes=minutes))
        approval = job.approval.wait(minutes * job.minute_seconds)
        if approval is None:
            if job.ended.is_set():
                raise ActionAbandoned
            raise ActionFailed(
                f"Nobody answered the approval within {minutes} minutes; it expired.",
                "ApprovalExpired",
            )
        job.report(summary=approval.summary, updated_by=approval.caller_arn)
        if not approval.approved:
            raise ActionFailed(
                f"Rejected by {approval.caller_arn}: {approval.summary or 'no comment'}",
                "ApprovalRejected",
            )
        return Outcome(summary=approval.summary)


def _notify(job: ActionJob, expires: datetime) -> None:
    region = job.own.region
    console = f"https://console.aws.amazon.com/codepipeline/home?region={region}"
    link = f"{console}#/view/{job.pipeline_name}"
    approval = {
        "pipelineName": job.pipeline_name,
        "stageName": job.stage_name,
        "actionName": job.action.name,
        "token": job.token,
        "expires": f"{expires:%Y-%m-%dT%H:%MZ}",
        "externalEntityLink": job.get("ExternalEntityLink") or None,
        "approvalReviewLink": f"{link}/{job.stage_name}/{job.action.name}/approve/{job.token}",
        "customData": job.get("CustomData") or None,
    }
    message = {"region": region, "consoleLink": link, "approval": approval}
    subject = f"APPROVAL NEEDED: AWS CodePipeline {job.pipeline_name} for action {job.action.name}"
    try:
        job.client("sns").publish(
            TopicArn=job.get("NotificationArn"), Subject=subject[:100], Message=json.dumps(message)
        )
    except ClientError as err:
        raise ActionFailed(
            f"The approval could not be announced to {job.get('NotificationArn')}: {err}",
            "ConfigurationError",
        ) from err
