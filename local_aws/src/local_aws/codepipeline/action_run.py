"""One action, executed: its inputs and variables found, the provider's work done, the end noted."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.codepipeline.actions.action import (
    PRINCIPAL,
    ActionAbandoned,
    ActionFailed,
    ActionJob,
    Outcome,
)
from local_aws.codepipeline.actions.providers import PROVIDERS
from local_aws.codepipeline.artifacts import ArtifactLocation, ArtifactStore
from local_aws.codepipeline.execution import (
    ABANDONED,
    FAILED,
    IN_PROGRESS,
    SUCCEEDED,
    ActionRun,
    Execution,
    now,
)
from local_aws.codepipeline.state_changes import StateChanges
from local_aws.codepipeline.variables import (
    EXECUTION_VARIABLES,
    UnresolvedVariable,
    resolve,
)
from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws

_MESSAGE_LENGTH = 5000


@dataclass(frozen=True, kw_only=True)
class ActionRunner:
    """Runs actions of one pipeline; `lock` guards all its records."""

    own: OwnAws
    changes: StateChanges
    # How long a minute of timeoutInMinutes lasts: tests have shorter ones.
    minute_seconds: float
    lock: threading.RLock = field(default_factory=threading.RLock)
    # Set when the pipeline is deleted or local_aws closes: nothing begins any more.
    closing: threading.Event = field(default_factory=threading.Event)

    def run(self, execution: Execution, run: ActionRun) -> None:
        """Execute, wait, and note how it ended. `fail` is due when it raises."""
        try:
            job = self._job(execution, run)
            outcome = PROVIDERS[run.action.category, run.action.provider].run(job)
        except ActionAbandoned:
            self.fail(execution, run, "", "", ABANDONED)
        except ActionFailed as err:
            self.fail(execution, run, err.code, str(err))
        except AwsError as err:
            self.fail(execution, run, "PermissionError", err.message)
        except (ClientError, BotoCoreError) as err:
            self.fail(execution, run, "ConfigurationError", str(err))
        else:
            self._succeed(execution, run, outcome)

    def _job(self, execution: Execution, run: ActionRun) -> ActionJob:
        action, pipeline = run.action, execution.pipeline
        role_arn = action.role_arn or pipeline.role_arn
        with self.lock:
            run.inputs = _inputs(execution, run)
            run.configuration = _configuration(execution, run)
            revisions = {name: found.id for name, found in execution.artifact_revisions.items()}

        def report(**members: str) -> None:
            with self.lock:
                if run.status == IN_PROGRESS:
                    for name, value in members.items():
                        setattr(run, name, value)
                    run.changed = now()

        return ActionJob(
            own=self.own,
            action=action,
            configuration=run.configuration,
            pipeline_name=pipeline.name,
            stage_name=run.stage_name,
            execution_id=execution.id,
            role_arn=role_arn,
            store=ArtifactStore(
                s3=self.own.client("s3", role_arn, principal=PRINCIPAL),
                bucket=pipeline.bucket,
                pipeline_name=pipeline.name,
                kms_key=pipeline.kms_key,
            ),
            inputs=run.inputs,
            revisions=revisions,
            wanted=execution.wanted.get(action.name),
            ended=run.ended,
            approval=run.approval,
            token=str(uuid.uuid4()),
            minute_seconds=self.minute_seconds,
            report=report,
        )

    def _succeed(self, execution: Execution, run: ActionRun, outcome: Outcome) -> None:
        with self.lock:
            if run.status != IN_PROGRESS:
                return
            run.outputs, run.variables = outcome.artifacts, outcome.variables
            run.summary = outcome.summary or run.summary
            run.revision = outcome.revision
            execution.artifacts.update(outcome.artifacts)
            if outcome.revision:
                execution.revisions[run.action.name] = outcome.revision
                for artifact in outcome.artifacts:
                    execution.artifact_revisions[artifact] = outcome.revision
                run.external_id, run.external_url = outcome.revision.id, outcome.revision.url
                run.summary = outcome.revision.summary
            if run.action.namespace:
                execution.outputs[run.action.namespace] = outcome.variables
            run.become(SUCCEEDED)
            execution.updated = now()
            self.changes.action(execution, run, "SUCCEEDED")

    def fail(
        self, execution: Execution, run: ActionRun, code: str, message: str, status: str = FAILED
    ) -> None:
        """The action is over, unless it was before."""
        with self.lock:
            if run.status != IN_PROGRESS:
                return
            run.error_code, run.error_message = code, message[:_MESSAGE_LENGTH]
            run.become(status)
            execution.updated = now()
            self.changes.action(execution, run, status.upper())


def _inputs(execution: Execution, run: ActionRun) -> Mapping[str, ArtifactLocation]:
    missing = [name for name in run.action.inputs if name not in execution.artifacts]
    if missing:
        raise ActionFailed(
            f"Input artifact {', '.join(missing)} of action {run.action.name} is not there: the "
            "action that declares it as its output artifact put nothing into it.",
            "ConfigurationError",
        )
    return {name: execution.artifacts[name] for name in run.action.inputs}


def _configuration(execution: Execution, run: ActionRun) -> Mapping[str, str]:
    values = {
        **execution.outputs,
        EXECUTION_VARIABLES: {"PipelineExecutionId": execution.id},
    }
    try:
        return {key: resolve(text, values) for key, text in run.action.configuration.items()}
    except UnresolvedVariable as err:
        raise ActionFailed(
            "An action in this pipeline failed because one or more variables could not be "
            f"resolved: Action name=[{run.action.name}], variable=[#{{{err}}}]. This can result "
            "when a variable is referenced that does not exist. Validate the configuration for "
            "this action.",
            "ConfigurationError",
        ) from err
