"""Who let a version into production: what CodePipeline keeps of the execution's approval.

execution ─ListActionExecutions─▶ the approval that succeeded: by whom, when, with which words
    └─ a rollback's: that of the execution whose artifacts it deployed again
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

logger = logging.getLogger(__name__)

# "codepipeline/<pipeline>", which CodeBuild tells a build that CodePipeline started.
_INITIATOR = "codepipeline/"


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Empty where nobody approved; where that could not be found out, `comment` says why.

    `rolled_back_to` is the execution that a rollback deploys again.
    """

    approved_by: str = ""
    approved_at: str = ""
    comment: str = ""
    rolled_back_to: str = ""


def find_approval(codepipeline: Any, initiator: str, execution_id: str) -> Approval:
    """The approval of a pipeline's execution; never raises for AWS's refusal, which is told.

    `initiator` is CODEBUILD_INITIATOR. Of a test that no pipeline started there is none.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if not execution_id or not initiator.startswith(_INITIATOR):
        return Approval()
    pipeline = initiator.removeprefix(_INITIATOR)
    try:
        target = _rollback_target(codepipeline, pipeline, execution_id)
        approval = _approved(codepipeline, pipeline, target or execution_id)
    except (ClientError, BotoCoreError) as err:
        # The endpoint has passed: that nobody may look is no reason to call it unproven.
        logger.warning("who approved is not known: %s", err)
        return Approval(comment=f"not known: {err}")
    if not target:
        return approval
    return replace(
        approval,
        comment=f"rolled back to execution {target}. {approval.comment}".strip(),
        rolled_back_to=target,
    )


def _rollback_target(codepipeline: Any, pipeline: str, execution_id: str) -> str:
    answer = codepipeline.get_pipeline_execution(
        pipelineName=pipeline, pipelineExecutionId=execution_id
    )
    metadata = answer["pipelineExecution"].get("rollbackMetadata", {})
    return str(metadata.get("rollbackTargetPipelineExecutionId", ""))


def _approved(codepipeline: Any, pipeline: str, execution_id: str) -> Approval:
    pages = codepipeline.get_paginator("list_action_executions").paginate(
        pipelineName=pipeline, filter={"pipelineExecutionId": execution_id}
    )
    # The newest first.
    for page in pages:
        for run in page["actionExecutionDetails"]:
            kind = run.get("input", {}).get("actionTypeId", {}).get("category")
            if kind != "Approval" or run.get("status") != "Succeeded":
                continue
            result = run.get("output", {}).get("executionResult", {})
            return Approval(
                approved_by=str(run.get("updatedBy", "")),
                approved_at=run["lastUpdateTime"].isoformat(timespec="seconds"),
                comment=str(result.get("externalExecutionSummary", "")),
            )
    return Approval()
