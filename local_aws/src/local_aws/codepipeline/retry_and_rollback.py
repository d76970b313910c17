"""What people may do about a stage that failed, or succeeded wrongly: retry it, roll it back.

Sources: "Retry a failed stage" and "Stage rollback" in the CodePipeline user guide.
"""

from __future__ import annotations

from local_aws.codepipeline.execution import (
    FAILED,
    STOPPED,
    SUCCEEDED,
    Execution,
    Trigger,
)
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.errors import AwsError


def retry_stage(runs: PipelineRuns, execution: Execution, stage_name: str, mode: str) -> None:
    """Run the stage's failed actions, or all, once more; raises AwsError if that can't be."""
    with runs.lock:
        stage = execution.stages.get(stage_name)
        queue = runs.queues[stage_name]
        if stage is None or not execution.is_over or stage.status not in (FAILED, STOPPED):
            shown = stage.status if stage else "not reached"
            raise AwsError(
                "StageNotRetryableException",
                f"Stage {stage_name} of pipeline execution {execution.id} cannot be retried: "
                f"the stage contains no failed actions (it is {shown})",
            )
        if queue.latest_execution is not execution:
            assert queue.latest_execution is not None
            raise AwsError(
                "NotLatestPipelineExecutionException",
                f"Pipeline execution {execution.id} is not the latest one in stage {stage_name}: "
                f"{queue.latest_execution.id} is",
            )
        if runs.pipeline.stages != execution.pipeline.stages:
            raise AwsError(
                "StageNotRetryableException",
                f"Pipeline {runs.pipeline.name} was changed since pipeline execution "
                f"{execution.id} ran in stage {stage_name}. Start a new execution.",
            )
        stage.manual_retries += 1
        actions = stage.stage.actions if mode == "ALL_ACTIONS" else stage.unfinished()
        runs.resume(execution, stage_name, actions)


def roll_back_stage(
    runs: PipelineRuns, stage_name: str, target: Execution, caller_arn: str
) -> Execution:
    """Run the stage with what `target` had there, as a new execution; raises AwsError."""
    with runs.lock:
        reason = _why_not(runs, stage_name, target)
        if reason:
            raise AwsError(
                "UnableToRollbackStageException",
                f"Stage {stage_name} cannot be rolled back to pipeline execution {target.id}: "
                f"{reason}",
            )
        trigger = Trigger(type="ManualRollback", detail=caller_arn)
        return runs.roll_back(stage_name, target, trigger)


def _why_not(runs: PipelineRuns, stage_name: str, target: Execution) -> str:
    pipeline, queue = runs.pipeline, runs.queues[stage_name]
    stage = target.stages.get(stage_name)
    if pipeline.type != "V2":
        return "only pipelines of type V2 have rollbacks"
    if pipeline.index(stage_name) == 0:
        return "it is the source stage"
    if queue.inside:
        return f"the stage is in progress, in pipeline execution {queue.inside[0].id}"
    if target.rollback_target:
        return "that execution is a rollback itself"
    if stage is None or stage.status != SUCCEEDED:
        return "that execution did not succeed in it"
    if target.pipeline.version != pipeline.version:
        return (
            f"it ran version {target.pipeline.version} of the pipeline, "
            f"which is at version {pipeline.version} now"
        )
    return ""
