"""A person's answer to the deployment that waits: `mlops approve`, `mlops reject`."""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import ClientError

from mlops.account import Account
from mlops.errors import InputError
from mlops.project.executions import Approval, waiting_approvals

_SUMMARY_CHARACTERS = 512  # PutApprovalResult's limit


def find_approval(account: Account, pipeline_names: Sequence[str]) -> Approval:
    """The approval that waits in one of the pipelines; raises InputError if none does."""
    for name in pipeline_names:
        waiting = waiting_approvals(account, name)
        if waiting:
            return waiting[0]
    raise InputError(
        f"nothing waits for approval in {', '.join(pipeline_names)}. "
        "`mlops pipeline` shows how far they are."
    )


def describe(approval: Approval) -> list[str]:
    """What is to be approved, as lines for a person."""
    return [
        f"{approval.pipeline}  {approval.execution_id[:8]}  {approval.stage}/{approval.action}",
        *(f"  {line}" for line in approval.message.splitlines()),
        *([f"  {approval.link}"] if approval.link else []),
    ]


def answer(account: Account, approval: Approval, *, approve: bool, comment: str) -> None:
    """Tell CodePipeline; raises InputError if somebody else answered first, or the comment is too
    long."""
    if len(comment) > _SUMMARY_CHARACTERS:
        raise InputError(
            f"the comment has {len(comment)} characters; CodePipeline takes {_SUMMARY_CHARACTERS}."
        )
    codepipeline = account.client("codepipeline")
    gone = (
        codepipeline.exceptions.ApprovalAlreadyCompletedException,
        codepipeline.exceptions.InvalidApprovalTokenException,
    )
    try:
        codepipeline.put_approval_result(
            pipelineName=approval.pipeline,
            stageName=approval.stage,
            actionName=approval.action,
            token=approval.token,
            result={"status": "Approved" if approve else "Rejected", "summary": comment},
        )
    except gone as err:
        raise InputError(
            f"{approval.action} waits no longer: {_message(err)} `mlops pipeline` shows it."
        ) from err


def _message(err: ClientError) -> str:
    return str(err.response["Error"].get("Message", "")).strip()
