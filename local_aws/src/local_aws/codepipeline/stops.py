"""StopPipelineExecution: what may be stopped, and how often."""

from __future__ import annotations

from local_aws.codepipeline.execution import STOPPING, Execution
from local_aws.codepipeline.pipeline_runs import PipelineRuns
from local_aws.errors import AwsError


def stop_execution(runs: PipelineRuns, execution: Execution, *, abandon: bool, reason: str) -> None:
    """Stop it, now or after its running actions; raises AwsError if that can't be asked for."""
    with runs.lock:
        if execution.status == STOPPING and not abandon:
            raise AwsError(
                "DuplicatedStopRequestException",
                f"Pipeline execution {execution.id} is already in a Stopping state. "
                "To stop it now, abandon its actions.",
            )
        if execution.is_over:
            raise AwsError(
                "PipelineExecutionNotStoppableException",
                f"Pipeline execution {execution.id} cannot be stopped: "
                f"its status is {execution.status}",
            )
        runs.stop(execution, abandon=abandon, reason=reason)
