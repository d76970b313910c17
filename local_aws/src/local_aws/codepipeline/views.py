"""What the Get and List operations answer of a pipeline and its executions."""

from __future__ import annotations

from typing import Any

from local_aws.codepipeline.execution import ActionRun, Execution
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.codepipeline.stage_queue import StageQueue

View = dict[str, Any]


def pipeline_state(runs: PipelineRuns) -> View:
    """GetPipelineState: each stage with who waits, who is or was last inside, and its actions."""
    with runs.lock:
        return {
            "pipelineName": runs.pipeline.name,
            "pipelineVersion": runs.pipeline.version,
            "created": runs.created,
            "updated": runs.updated,
            "stageStates": [
                {
                    "stageName": stage.name,
                    "actionStates": [
                        _action_state(action.name, queue.latest_runs.get(action.name))
                        for action in stage.actions
                    ],
                    **_stage_state(queue),
                }
                for stage in runs.pipeline.stages
                for queue in (runs.queues[stage.name],)
            ],
        }


def pipeline_execution(execution: Execution) -> View:
    """GetPipelineExecution."""
    revisions = [
        _filled(
            name=name,
            revisionId=revision.id,
            revisionSummary=revision.summary,
            revisionUrl=revision.url,
        )
        for name, revision in execution.artifact_revisions.items()
    ]
    return {
        "pipelineName": execution.pipeline.name,
        "pipelineVersion": execution.pipeline.version,
        "artifactRevisions": revisions,
        "variables": [],
        **_execution(execution),
    }


def execution_summary(execution: Execution) -> View:
    """One entry of ListPipelineExecutions."""
    stop = {} if execution.stop_reason is None else {"reason": execution.stop_reason}
    return {
        "startTime": execution.started,
        "lastUpdateTime": execution.updated,
        "sourceRevisions": [
            _filled(
                actionName=name,
                revisionId=revision.id,
                revisionSummary=revision.summary,
                revisionUrl=revision.url,
            )
            for name, revision in execution.revisions.items()
        ],
        **({"stopTrigger": stop} if stop else {}),
        **_execution(execution),
    }


def action_execution(run: ActionRun) -> View:
    """One entry of ListActionExecutions."""
    action = run.action
    result = _filled(
        externalExecutionId=run.external_id,
        externalExecutionSummary=run.summary,
        externalExecutionUrl=run.external_url,
        errorDetails=_error(run),
        logStreamARN=run.log_stream_arn,
    )
    return {
        "pipelineExecutionId": run.execution_id,
        "actionExecutionId": run.id,
        "pipelineVersion": run.pipeline_version,
        "stageName": run.stage_name,
        "actionName": action.name,
        "startTime": run.started,
        "lastUpdateTime": run.changed,
        "updatedBy": run.updated_by,
        "status": run.status,
        "input": {
            "actionTypeId": action.declaration["actionTypeId"],
            "configuration": action.configuration,
            "resolvedConfiguration": run.configuration,
            "region": run.region,
            "inputArtifacts": [place.described(name) for name, place in run.inputs.items()],
            **_filled(roleArn=action.role_arn, namespace=action.namespace),
        },
        "output": {
            "outputArtifacts": [place.described(name) for name, place in run.outputs.items()],
            "executionResult": result,
            "outputVariables": run.variables,
        },
    }


def _stage_state(queue: StageQueue) -> View:
    transition = queue.transition
    state: View = {
        "inboundExecutions": [_stage_execution(e, "InProgress") for e in queue.waiting],
        "inboundTransitionState": {
            "enabled": transition.enabled,
            **_filled(
                lastChangedBy=transition.changed_by,
                lastChangedAt=transition.changed_at,
                disabledReason=transition.reason,
            ),
        },
    }
    if queue.waiting:
        state["inboundExecution"] = state["inboundExecutions"][0]
    if queue.latest is not None and queue.latest_execution is not None:
        latest = queue.latest
        state["latestExecution"] = _stage_execution(queue.latest_execution, latest.status)
        if latest.manual_retries:
            state["retryStageMetadata"] = {
                "manualStageRetryAttempt": latest.manual_retries,
                "latestRetryTrigger": "ManualStageRetry",
            }
    return state


def _stage_execution(execution: Execution, status: str) -> View:
    return {"pipelineExecutionId": execution.id, "status": status, "type": execution.type}


def _action_state(name: str, run: ActionRun | None) -> View:
    if run is None:
        return {"actionName": name}
    state: View = {
        "actionName": name,
        "latestExecution": {
            "actionExecutionId": run.id,
            "status": run.status,
            "lastStatusChange": run.changed,
            **_filled(
                # A token opens the approval that waits for it; afterwards AWS shows none.
                token=run.token if run.status == "InProgress" else "",
                summary=run.summary,
                lastUpdatedBy=run.updated_by,
                externalExecutionId=run.external_id,
                externalExecutionUrl=run.external_url,
                errorDetails=_error(run),
                logStreamARN=run.log_stream_arn,
            ),
        },
    }
    link = run.configuration.get("ExternalEntityLink") or run.external_url
    if link:
        state["entityUrl"] = link
    if run.revision:
        state["currentRevision"] = {
            "revisionId": run.revision.id,
            "revisionChangeId": run.revision.id,
            "created": run.changed,
        }
        state["revisionUrl"] = run.revision.url
    return state


def _execution(execution: Execution) -> View:
    trigger = {"triggerType": execution.trigger.type, "triggerDetail": execution.trigger.detail}
    view: View = {
        "pipelineExecutionId": execution.id,
        "status": execution.status,
        "trigger": trigger,
        "executionMode": execution.pipeline.execution_mode,
        "executionType": execution.type,
        **_filled(statusSummary=execution.status_summary),
    }
    if execution.rollback_target:
        view["rollbackMetadata"] = {"rollbackTargetPipelineExecutionId": execution.rollback_target}
    return view


def _error(run: ActionRun) -> View:
    return _filled(code=run.error_code, message=run.error_message)


def _filled(**members: Any) -> View:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value}
