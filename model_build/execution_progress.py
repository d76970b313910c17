"""A pipeline execution's steps, seen live until it has ended.

observe() ─▶ Observation ─▶ display ─▶ ended? ─▶ the last Observation
    ▲                                   │no
    └───────────── pause ◀──────────────┘
"""

import contextlib
import logging
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from botocore.exceptions import BotoCoreError, ClientError

from model_build.errors import ExecutionError, GateNotMetError, ModelBuildError, ServiceError

logger = logging.getLogger(__name__)

ENDED = frozenset({"Succeeded", "Failed", "Stopped"})

SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
# The pause is this share of the time since anything changed: what is seen late is late by 5 %.
_PAUSE_SHARE = 0.05
_FAILED_LOOKS_IN_A_ROW = 5

_THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})

# What the training job says when its model is not good enough: reason, then where its run is. AWS
# cuts the end off where the reason is long.
_GATE_NOT_MET = re.compile(
    r".*?QualityGateNotMet: (?P<reason>.*?)"
    r"(; nothing was registered(; (?P<run_url>.+?))?)?(, exit code: \d+)?\s*",
    re.DOTALL,
)

# What says no more than how a job's program ended: by AWS, and by the SDK's driver that started it.
_WITHOUT_CAUSE = re.compile(
    r"AlgorithmError|InternalServerError|ClientError|See job logs for more information"
    r"|exit code:? \d+"
)
_OF_DRIVER = re.compile(r"subprocess\.CalledProcessError: ")
# What the driver's own shell script traces, and says when it ends.
_OF_SCRIPT = re.compile(r"\++ |An error occurred with exit code|Command failed with exit code")
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?")
_ENDED_BY_KILL = re.compile(
    r"exit code: 137\b|returned non-zero exit status 137|died with .*SIGKILL"
)
_EXIT_STATUS = re.compile(r"returned non-zero exit status (\d+)")
_KILLED = "killed (exit code 137), as by the system when memory runs out"
_LINES_SEARCHED = 200

_LOG_GROUPS: Mapping[str, str] = {
    "ProcessingJob": "/aws/sagemaker/ProcessingJobs",
    "TrainingJob": "/aws/sagemaker/TrainingJobs",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step as AWS describes it. `job_kind` is "ProcessingJob" or "TrainingJob" or ""."""

    name: str
    status: str
    started: datetime | None
    ended: datetime | None
    job_kind: str
    job_name: str
    failure_reason: str
    from_cache: bool
    attempt: int

    def measure_seconds(self, now: datetime) -> float:
        """How long it has run, up to `now` if it still does."""
        if self.started is None:
            return 0.0
        return max(0.0, ((self.ended or now) - self.started).total_seconds())

    def find_logs(self) -> str | None:
        """The command that prints its log, if it has one."""
        group = _LOG_GROUPS.get(self.job_kind)
        if group is None or not self.job_name:
            return None
        # A clone of the unit's repository alone has no mlops.
        if shutil.which("mlops", path=str(Path(sys.executable).parent)):
            return f"mlops logs {self.job_name}"
        return (
            f"aws logs filter-log-events --log-group-name {group} --log-stream-name-prefix "
            f"{self.job_name}/ --query 'events[].[message]' --output text"
        )


@dataclass(frozen=True, kw_only=True)
class Observation:
    """An execution at one moment; its steps in the order they started."""

    arn: str
    status: str
    failure_reason: str
    steps: tuple[Step, ...]


class Display(Protocol):
    """Where a person sees what happens."""

    def show(self, observation: Observation) -> None: ...


def follow(
    client: Any,
    execution_arn: str,
    display: Display,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Observation:
    """The execution once it has Succeeded, Failed or Stopped; until then each look is displayed.

    Raises ServiceError when AWS refuses or can't be reached several times in a row.
    """
    last: Observation | None = None
    changed = clock()
    failed_looks = 0
    while True:
        try:
            observation = observe(client, execution_arn)
        except (BotoCoreError, ClientError) as err:
            failed_looks += 1
            if failed_looks >= _FAILED_LOOKS_IN_A_ROW or not _is_passing(err):
                raise ServiceError(
                    f"can't see the execution any more: {err}. It goes on without being watched; "
                    f"`aws sagemaker describe-pipeline-execution --pipeline-execution-arn "
                    f"{execution_arn}` shows its state"
                ) from err
            logger.warning("AWS didn't answer (%s); looking again", err)
            sleep(choose_pause(2**failed_looks / _PAUSE_SHARE))
            continue
        failed_looks = 0
        if observation != last:
            changed = clock()
        last = observation
        display.show(observation)
        if observation.status in ENDED:
            return observation
        sleep(choose_pause(clock() - changed))


def choose_pause(seconds_without_change: float) -> float:
    """Half a second while things happen, up to 15 s when nothing has for five minutes."""
    pause = seconds_without_change * _PAUSE_SHARE
    return min(max(pause, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def observe(client: Any, execution_arn: str) -> Observation:
    """Status and steps now. Raises what botocore raises."""
    described = client.describe_pipeline_execution(PipelineExecutionArn=execution_arn)
    request = {"PipelineExecutionArn": execution_arn, "SortOrder": "Ascending"}
    steps: list[Step] = []
    while True:
        page = client.list_pipeline_execution_steps(**request)
        steps += [_read_step(step) for step in page.get("PipelineExecutionSteps", [])]
        if not page.get("NextToken"):
            break
        request["NextToken"] = page["NextToken"]
    return Observation(
        arn=execution_arn,
        status=described["PipelineExecutionStatus"],
        failure_reason=described.get("FailureReason", ""),
        steps=tuple(steps),
    )


def explain_failure(client: Any, observation: Observation, logs: Any = None) -> ModelBuildError:
    """What to raise of an execution that ended Failed or Stopped; the first line says why.

    `logs` is CloudWatch Logs' client: what a job printed is read where AWS has no reason of its.
    """
    failed = [step for step in observation.steps if step.status == "Failed"]
    reasons = {step.name: _find_reasons(client, logs, step) for step in failed}
    end = f"{observation.status}: {observation.arn}"
    for step in failed:
        for reason in reasons[step.name]:
            missed = _GATE_NOT_MET.fullmatch(reason)
            if missed:
                return _describe_missed_gate(missed, step, end)
    lines = []
    for step in failed:
        first, *others = reasons[step.name] or ["AWS gives no reason"]
        # In the first line: it is what others show of the failure.
        sentence = first if "\n" not in first else _summarise(first)
        lines.append(f"{step.name} failed: {sentence}")
        more = [reason for reason in [first, *others] if _is_telling(reason)]
        lines += [f"  {reason}" for reason in more if reason not in sentence]
        lines += _tell_log(step)
    if not failed and observation.failure_reason:
        lines.append(observation.failure_reason)
    told = bool(failed) and all(_is_telling(step.failure_reason) for step in failed)
    return ExecutionError("\n".join([*lines, end]), told=told)


def _describe_missed_gate(missed: re.Match[str], step: Step, end: str) -> GateNotMetError:
    reason, run_url = missed["reason"].strip(), missed["run_url"] or ""
    lines = [
        f"not registered: the quality gate was not met: {reason}",
        f"  the run, with its metrics, gate_report.json and gate.png: {run_url or 'see the log'}",
        "  what to do: give it more or other rows or columns, or other parameters (Estimator and "
        "its own). If the gate is what should change: MetricLimits, ChampionMargin, "
        "ChampionIncomparable",
        *_tell_log(step),
        end,
    ]
    return GateNotMetError("\n".join(lines), reason=reason, run_url=run_url)


def _tell_log(step: Step) -> list[str]:
    logs = step.find_logs()
    return [f"  its log: `{logs}`"] if logs else []


def _find_reasons(client: Any, logs: Any, step: Step) -> list[str]:
    """What is known of why the step failed, without repetition, the most telling first."""
    reasons = [reason for reason in [*_ask_job(client, step), step.failure_reason] if reason]
    printed = "" if any(map(_is_telling, reasons)) else _ask_log(logs, step)
    killed = _KILLED if any(_ENDED_BY_KILL.search(reason) for reason in reasons) else ""
    first = "; printed last: ".join(filter(None, [killed, printed])) if killed else printed
    return [reason for reason in dict.fromkeys([first, *reasons]) if reason]


def _is_telling(reason: str) -> bool:
    """Whether it is more than that the program ended with an exit code."""
    return bool(_WITHOUT_CAUSE.sub("", reason).strip(" ,.:;")) and not _OF_DRIVER.search(reason)


def _ask_log(logs: Any, step: Step) -> str:
    """The exception that the job printed last, else its last line; empty if that can't be had."""
    group = _LOG_GROUPS.get(step.job_kind)
    if logs is None or group is None or not step.job_name:
        return ""
    try:
        streams = logs.describe_log_streams(
            logGroupName=group, logStreamNamePrefix=f"{step.job_name}/"
        )["logStreams"]
        lines = [
            line
            for stream in streams
            for event in logs.get_log_events(
                logGroupName=group,
                logStreamName=stream["logStreamName"],
                limit=_LINES_SEARCHED,
                startFromHead=False,
            )["events"]
            for line in event["message"].splitlines()
        ]
    except (BotoCoreError, ClientError) as err:
        logger.warning("can't read the log of %s: %s", step.job_name, err)
        return ""
    own = [line for line in lines if line.strip() and not _OF_SCRIPT.match(line)]
    return _find_exception(own) or (own[-1].strip() if own else "")


def _summarise(reason: str) -> str:
    """A reason of several lines in one."""
    ended = _EXIT_STATUS.search(reason)
    told = _find_exception(reason.splitlines())
    return told or (f"its program ended with exit status {ended[1]}" if ended else reason)


def _find_exception(lines: Sequence[str]) -> str:
    """The last line of the last traceback that isn't the SDK's driver's; empty if there is none."""
    found, traced = "", False
    for line in map(str.strip, lines):
        if line.endswith("Traceback (most recent call last):"):
            traced = True
        elif traced and _RAISED.fullmatch(line):
            traced = False
            found = found if _OF_DRIVER.search(line) else line
    return found


def _ask_job(client: Any, step: Step) -> Iterator[str]:
    """What the job itself says, which is more than the step repeats."""
    try:
        if step.job_kind == "ProcessingJob":
            job = client.describe_processing_job(ProcessingJobName=step.job_name)
        elif step.job_kind == "TrainingJob":
            job = client.describe_training_job(TrainingJobName=step.job_name)
        else:
            return
    except (BotoCoreError, ClientError) as err:
        logger.warning("can't ask for the reason of %s: %s", step.job_name, err)
        return
    yield job.get("ExitMessage", "")
    yield job.get("FailureReason", "")


def _read_step(step: Mapping[str, Any]) -> Step:
    metadata = step.get("Metadata", {})
    job_kind = next((kind for kind in _LOG_GROUPS if kind in metadata), "")
    arn = metadata.get(job_kind, {}).get("Arn", "")
    return Step(
        name=step["StepName"],
        status=step["StepStatus"],
        started=step.get("StartTime"),
        ended=step.get("EndTime"),
        job_kind=job_kind,
        job_name=arn.rpartition("/")[2],
        failure_reason=step.get("FailureReason", ""),
        from_cache=bool(step.get("CacheHitResult")),
        attempt=step.get("AttemptCount", 0),
    )


def _is_passing(err: Exception) -> bool:
    """Whether looking again can help: throttled, AWS at fault, or the network gone for a while."""
    if isinstance(err, ClientError):
        code = err.response.get("Error", {}).get("Code", "")
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code in _THROTTLED or status >= 500
    return True


class LineDisplay:
    """A line for each change, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: dict[str, tuple[str, str, int]] = {}

    def show(self, observation: Observation) -> None:
        """Write a line for each step whose status, job or attempt changed."""
        for step in observation.steps:
            state = (step.status, step.job_name, step.attempt)
            if self._shown.get(step.name) != state:
                self._shown[step.name] = state
                self._stream.write(describe_step(step, datetime.now(UTC)) + "\n")
                self._stream.flush()


def describe_step(step: Step, now: datetime) -> str:
    """`PrepareData            Succeeded    12 s  pipelines-abc-PrepareData-xyz`."""
    time_taken = f"{step.measure_seconds(now):5.0f} s"
    notes = [step.job_name] if step.job_name else []
    if step.from_cache:
        notes.append("(cached result)")
    if step.attempt > 1:
        notes.append(f"(attempt {step.attempt})")
    return f"{step.name:<22} {step.status:<10} {time_taken}  {' '.join(notes)}".rstrip()


@contextlib.contextmanager
def open_display(stream: TextIO) -> Iterator[Display]:
    """A table that is kept up to date on a terminal; else a line for each change."""
    if not stream.isatty():
        yield LineDisplay(stream)
        return
    # Imported here because only a terminal needs it.
    from rich.console import Console
    from rich.live import Live

    table = _LiveTable()
    with Live(
        console=Console(file=stream), get_renderable=table.render, refresh_per_second=2
    ) as live:
        table.refresh = live.refresh
        yield table


class _LiveTable:
    """The steps as a table whose times go on between two looks."""

    _STYLES: Mapping[str, str] = {
        "Succeeded": "green",
        "Failed": "red",
        "Stopped": "yellow",
        "Stopping": "yellow",
        "Executing": "cyan",
    }

    def __init__(self) -> None:
        self.refresh: Callable[[], None] = lambda: None
        self._steps: Sequence[Step] = ()

    def show(self, observation: Observation) -> None:
        self._steps = observation.steps
        self.refresh()

    def render(self) -> Any:
        from rich.text import Text

        now = datetime.now(UTC)
        text = Text()
        for step in self._steps:
            text.append(describe_step(step, now) + "\n", self._STYLES.get(step.status, ""))
        return text
