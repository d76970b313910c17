"""Following an execution to its end, with AWS played by a script of answers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from model_build.errors import GateNotMetError, ServiceError
from model_build.execution_progress import (
    LineDisplay,
    Observation,
    choose_pause,
    explain_failure,
    follow,
    observe,
    open_display,
)

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abc"
START = datetime(2026, 1, 1, tzinfo=UTC)


def step(name: str, status: str, kind: str = "TrainingJob", **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:{kind.lower()}/pipelines-abc-{name}"
    return {
        "StepName": name,
        "StepStatus": status,
        "StartTime": START,
        "Metadata": {kind: {"Arn": arn}},
        **more,
    }


class ScriptedAws:
    """Answers from a list; the last one again and again. An exception in it is raised."""

    def __init__(self, *answers: tuple[str, Sequence[dict[str, Any]]] | Exception) -> None:
        self._answers = list(answers)
        self.jobs: dict[str, dict[str, Any]] = {}

    def describe_pipeline_execution(self, **request: str) -> dict[str, Any]:
        assert request == {"PipelineExecutionArn": ARN}
        answer = self._answers[0]
        if isinstance(answer, Exception):
            self._next()
            raise answer
        return {"PipelineExecutionStatus": answer[0]}

    def list_pipeline_execution_steps(self, **request: str) -> dict[str, Any]:
        answer = self._answers[0]
        assert isinstance(answer, tuple)
        steps = list(answer[1])
        position = int(request.get("NextToken", "0"))
        page: dict[str, Any] = {"PipelineExecutionSteps": steps[position : position + 1]}
        if position + 1 < len(steps):
            page["NextToken"] = str(position + 1)
        else:
            self._next()
        return page

    def describe_training_job(self, **request: str) -> dict[str, Any]:
        return self.jobs[request["TrainingJobName"]]

    def describe_processing_job(self, **request: str) -> dict[str, Any]:
        return self.jobs[request["ProcessingJobName"]]

    def _next(self) -> None:
        if len(self._answers) > 1:
            del self._answers[0]


def watch(aws: ScriptedAws) -> tuple[Observation, list[float], str]:
    pauses: list[float] = []
    written = io.StringIO()
    ended = follow(aws, ARN, LineDisplay(written), sleep=pauses.append)
    return ended, pauses, written.getvalue()


@pytest.mark.parametrize("status", ["Succeeded", "Failed", "Stopped"])
def test_each_way_of_ending_ends_it(status: str) -> None:
    aws = ScriptedAws(
        ("Executing", [step("Prepare", "Executing")]),
        ("Stopping", [step("Prepare", "Stopping")]),
        (status, [step("Prepare", status)]),
    )
    ended, pauses, written = watch(aws)
    assert ended.status == status
    assert len(pauses) == 2
    assert [line.split()[:2] for line in written.splitlines()] == [
        ["Prepare", "Executing"],
        ["Prepare", "Stopping"],
        ["Prepare", status],
    ]


def test_lines_tell_job_time_cache_and_attempt() -> None:
    done = step(
        "Prepare",
        "Succeeded",
        "ProcessingJob",
        EndTime=START + timedelta(seconds=12),
        CacheHitResult={"SourcePipelineExecutionArn": ARN},
    )
    aws = ScriptedAws(("Succeeded", [done, step("Train", "Executing", AttemptCount=2)]))
    _, _, written = watch(aws)
    first, second = written.splitlines()
    assert first.split() == [
        *("Prepare", "Succeeded", "12", "s", "pipelines-abc-Prepare"),
        *("(cached", "result)"),
    ]
    assert second.endswith("pipelines-abc-Train (attempt 2)")


def test_nothing_is_written_while_nothing_changes() -> None:
    running = ("Executing", [step("Train", "Executing")])
    _, _, written = watch(ScriptedAws(*[running] * 5, ("Succeeded", running[1])))
    assert len(written.splitlines()) == 1


def test_pauses_grow_with_the_time_nothing_changed() -> None:
    assert choose_pause(0) == 0.5
    assert choose_pause(60) == pytest.approx(3)
    assert choose_pause(3600) == 15


def throttled(code: str = "ThrottlingException", status: int = 400) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "slow"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "DescribePipelineExecution",
    )


def test_passing_trouble_is_waited_out() -> None:
    gone = EndpointConnectionError(endpoint_url="https://x")
    aws = ScriptedAws(throttled(), gone, throttled("Internal", 500), ("Succeeded", []))
    assert watch(aws)[0].status == "Succeeded"


@pytest.mark.parametrize(
    "answers", [[throttled()] * 6, [throttled("AccessDeniedException", 400), ("Succeeded", [])]]
)
def test_lasting_trouble_says_that_the_execution_goes_on(answers: Any) -> None:
    with pytest.raises(ServiceError) as caught:
        watch(ScriptedAws(*answers))
    message = str(caught.value)
    assert "It goes on without being watched" in message
    assert f"describe-pipeline-execution --pipeline-execution-arn {ARN}" in message
    assert caught.value.exit_code == 3


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this interpreter lies, with mlops beside it."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    (tmp_path / "mlops").touch(0o755)
    return tmp_path


def test_the_log_of_a_job_is_named_by_a_program_that_is_there(programs: Path) -> None:
    (found,) = observe(ScriptedAws(("Failed", [step("Train", "Failed")])), ARN).steps
    assert found.find_logs() == "mlops logs pipelines-abc-Train"
    (programs / "mlops").unlink()
    assert found.find_logs() == (
        "aws logs filter-log-events --log-group-name /aws/sagemaker/TrainingJobs "
        "--log-stream-name-prefix pipelines-abc-Train/ --query 'events[].[message]' --output text"
    )


def test_failure_is_explained_by_the_job_itself() -> None:
    aws = ScriptedAws(
        (
            "Failed",
            [
                step(
                    "Prepare", "Failed", "ProcessingJob", FailureReason="ClientError: exit code 1"
                ),
                step("Train", "Failed", FailureReason="AlgorithmError: out of memory"),
            ],
        )
    )
    aws.jobs = {
        "pipelines-abc-Prepare": {"ExitMessage": "no column 'price'", "FailureReason": "code 1"},
        "pipelines-abc-Train": {"FailureReason": "AlgorithmError: out of memory"},
    }
    failure = explain_failure(aws, observe(aws, ARN))
    assert failure.exit_code == 1
    assert str(failure).splitlines() == [
        "Prepare failed: no column 'price'",
        "  code 1",
        "  its log: `mlops logs pipelines-abc-Prepare`",
        "Train failed: AlgorithmError: out of memory",
        "  its log: `mlops logs pipelines-abc-Train`",
        f"Failed: {ARN}",
    ]


class ScriptedLogs:
    """What one job has printed; `streams` are asked for by the job's name."""

    def __init__(self, *lines: str) -> None:
        self._lines = lines

    def describe_log_streams(self, **request: str) -> dict[str, Any]:
        assert request["logStreamNamePrefix"] == "pipelines-abc-Train/"
        return {"logStreams": [{"logStreamName": "pipelines-abc-Train/algo-1-1"}]}

    def get_log_events(self, **request: Any) -> dict[str, Any]:
        assert request["logGroupName"] == "/aws/sagemaker/TrainingJobs"
        return {"events": [{"message": line} for line in self._lines]}


# As the SDK's driver of a training job prints it, which takes the indents away.
_DIED = (
    "++ echo 'Running Basic Script driver'",
    "Traceback (most recent call last):",
    'File "/opt/ml/input/data/code/train.py", line 13, in <module>',
    "import nosuchmodule",
    "ModuleNotFoundError: No module named 'nosuchmodule'",
    "Command failed with exit code 1. Traceback: Traceback (most recent call last):",
    '  File "/opt/ml/input/data/sm_drivers/common/utils.py", line 193, in execute_commands',
    "    raise subprocess.CalledProcessError(exitcode, commands)",
    "subprocess.CalledProcessError: Command '['python3']' returned non-zero exit status 1.",
    "An error occurred with exit code 1",
    "+++ exit 1",
)
_OF_THE_DRIVER = (
    "AlgorithmError: Traceback (most recent call last):\n"
    "    raise subprocess.CalledProcessError(exitcode, commands)\n"
    "subprocess.CalledProcessError: Command '['python3']' returned non-zero exit status 1., "
    "exit code: 1"
)


@pytest.mark.parametrize(
    ("reason", "printed", "sentence"),
    [
        (_OF_THE_DRIVER, _DIED, "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("AlgorithmError: , exit code: 1", _DIED, "ModuleNotFoundError: No module named"),
        ("AlgorithmError: See job logs for more information", _DIED, "ModuleNotFoundError: No mod"),
        ("AlgorithmError: , exit code: 2", ("usage: x", "x: error: no such flag"), "x: error: no"),
        (
            "AlgorithmError: , exit code: 137",
            ("fitting 9 trees",),
            "killed (exit code 137), as by the system when memory runs out; "
            "printed last: fitting 9 trees",
        ),
        (
            _OF_THE_DRIVER.replace("status 1", "status 137"),
            (),
            "killed (exit code 137), as by the system when memory runs out",
        ),
        ("AlgorithmError: ValueError: no rows, exit code: 1", _DIED, "AlgorithmError: ValueError"),
    ],
)
def test_a_job_whose_reason_says_nothing_is_explained_by_what_it_printed(
    reason: str, printed: tuple[str, ...], sentence: str
) -> None:
    aws = ScriptedAws(("Failed", [step("Train", "Failed")]))
    aws.jobs = {"pipelines-abc-Train": {"FailureReason": reason}}

    failure = str(explain_failure(aws, observe(aws, ARN), ScriptedLogs(*printed)))

    first, *others = failure.splitlines()
    assert first.startswith(f"Train failed: {sentence}")
    assert others == ["  its log: `mlops logs pipelines-abc-Train`", f"Failed: {ARN}"]


def test_a_log_that_may_not_be_read_leaves_aws_s_own_words() -> None:
    class NoLogs:
        def describe_log_streams(self, **_: str) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeLogStreams")

    aws = ScriptedAws(("Failed", [step("Train", "Failed")]))
    aws.jobs = {"pipelines-abc-Train": {"FailureReason": _OF_THE_DRIVER}}

    failure = str(explain_failure(aws, observe(aws, ARN), NoLogs()))

    assert failure.startswith("Train failed: its program ended with exit status 1\n")


def test_a_missed_gate_is_another_outcome_than_a_broken_job() -> None:
    reason = (
        "AlgorithmError: QualityGateNotMet: RMSE 60.1 (95 %: 55 to 66) is not better than the "
        "mean, 61.2; rmse 60.1 is above its limit, 50; nothing was registered; "
        "http://mlflow:5000/#/experiments/1/runs/abc, exit code: 1"
    )
    # AWS puts its own word before what the job says.
    aws = ScriptedAws(("Failed", [step("Train", "Failed", FailureReason=f"ClientError: {reason}")]))
    aws.jobs = {"pipelines-abc-Train": {"FailureReason": reason}}

    failure = explain_failure(aws, observe(aws, ARN))

    assert isinstance(failure, GateNotMetError)
    assert failure.exit_code == 4
    assert failure.run_url == "http://mlflow:5000/#/experiments/1/runs/abc"
    assert failure.reason == (
        "RMSE 60.1 (95 %: 55 to 66) is not better than the mean, 61.2; "
        "rmse 60.1 is above its limit, 50"
    )
    assert str(failure).splitlines() == [
        f"not registered: the quality gate was not met: {failure.reason}",
        "  the run, with its metrics, gate_report.json and gate.png: "
        "http://mlflow:5000/#/experiments/1/runs/abc",
        "  what to do: give it more or other rows or columns, or other parameters (Estimator and "
        "its own). If the gate is what should change: MetricLimits, ChampionMargin, "
        "ChampionIncomparable",
        "  its log: `mlops logs pipelines-abc-Train`",
        f"Failed: {ARN}",
    ]


@pytest.mark.parametrize("where", ["http://m/#/a?b=c", "run abc in arn:aws:x, which opens from S"])
def test_a_missed_gate_tells_where_its_run_is_also_without_a_link(where: str) -> None:
    reason = f"QualityGateNotMet: too far off; nothing was registered; {where}, exit code: 1"
    aws = ScriptedAws(("Failed", [step("Train", "Failed")]))
    aws.jobs = {"pipelines-abc-Train": {"FailureReason": reason}}

    failure = explain_failure(aws, observe(aws, ARN))

    assert isinstance(failure, GateNotMetError)
    assert (failure.reason, failure.run_url) == ("too far off", where)


@pytest.mark.parametrize(
    "end", ["", ", exit code: 1", "; nothing was regis, exit code: 1", "; nothing was registered"]
)
def test_a_gates_reason_that_aws_cut_off_is_still_one(end: str) -> None:
    aws = ScriptedAws(("Failed", [step("Train", "Failed")]))
    aws.jobs = {"pipelines-abc-Train": {"FailureReason": f"QualityGateNotMet: too far off{end}"}}

    failure = explain_failure(aws, observe(aws, ARN))

    assert isinstance(failure, GateNotMetError)
    assert failure.reason.startswith("too far off")
    assert not failure.reason.endswith("exit code: 1")
    assert failure.run_url == ""
    assert "gate.png: see the log" in str(failure)


def test_stopped_execution_says_so() -> None:
    aws = ScriptedAws(("Stopped", [step("Train", "Stopped")]))
    assert str(explain_failure(aws, observe(aws, ARN))) == f"Stopped: {ARN}"


def test_terminal_shows_the_steps_in_place() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    aws = ScriptedAws(
        ("Executing", [step("Train", "Executing")]), ("Succeeded", [step("Train", "Succeeded")])
    )
    with open_display(terminal) as display:
        follow(aws, ARN, display, sleep=lambda _: None)
    assert "Succeeded" in terminal.getvalue()
    assert "pipelines-abc-Train" in terminal.getvalue()
