"""Executions driven through boto3; jobs are played by a small fake of the jobs API.

test_pipeline_jobs_end_to_end.py runs real ones.
"""

from __future__ import annotations

import datetime
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from callers import stranger

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.event_bus import EventBus
from local_aws.gateway import Gateway
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.pipelines import run
from local_aws.sagemaker.pipelines.service import PipelineExecutions

COMPILED = Path(__file__).parent / "compiled_pipeline.json"
BUCKET = "pipeline-tests"


class FakeJobs:
    """CreateProcessingJob and CreateTrainingJob without processes.

    A job's Environment says what becomes of it: OUTCOMES, a JSON list with one entry for each job
    of that SCRIPT ("Completed", a failure reason, or {"code", "message", "status"} for a refused
    Create call), and HOLD, which lets it run until `release()` or a Stop call.
    """

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.running = 0
        self.most_running = 0
        self._jobs: dict[str, dict[str, Any]] = {}
        self._attempts: dict[str, int] = {}
        self._lock = threading.Lock()

    def operations(self) -> Mapping[tuple[str, str], Callable[[Call], Mapping[str, Any]]]:
        return {
            ("sagemaker", f"{verb}{kind}Job"): method
            for kind in ("Processing", "Training")
            for verb, method in (
                ("Create", self.create),
                ("Describe", self.describe),
                ("Stop", self.stop),
            )
        }

    def close(self) -> None:
        self.release()

    def create(self, call: Call) -> Mapping[str, Any]:
        kind = "Processing" if "Processing" in call.operation else "Training"
        environment = call.params.get("Environment", {})
        script = environment.get("SCRIPT", "")
        with self._lock:
            attempt = self._attempts.get(script, 0)
            self._attempts[script] = attempt + 1
            outcomes = json.loads(environment.get("OUTCOMES", '["Completed"]'))
            outcome = outcomes[min(attempt, len(outcomes) - 1)]
            if isinstance(outcome, dict):
                raise AwsError(outcome["code"], outcome["message"], outcome.get("status", 400))
            name = call.params[f"{kind}JobName"]
            arn = f"arn:aws:sagemaker:us-east-1:123456789012:{kind.lower()}-job/{name}"
            self.created.append(call.params)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self._jobs[name] = {
                **call.params,
                f"{kind}JobArn": arn,
                f"{kind}JobStatus": "InProgress",
                "CreationTime": datetime.datetime.now(datetime.UTC),
                "fake_outcome": outcome,
                "fake_hold": "HOLD" in environment,
            }
        return {f"{kind}JobArn": arn}

    def describe(self, call: Call) -> Mapping[str, Any]:
        kind = "Processing" if "Processing" in call.operation else "Training"
        with self._lock:
            job = self._jobs[call.params[f"{kind}JobName"]]
            if job[f"{kind}JobStatus"] == "InProgress" and not job["fake_hold"]:
                completed = job["fake_outcome"] == "Completed"
                self._end(job, "Completed" if completed else "Failed")
                if not completed:
                    job["FailureReason"] = job["fake_outcome"]
            return dict(job)

    def stop(self, call: Call) -> Mapping[str, Any]:
        kind = "Processing" if "Processing" in call.operation else "Training"
        with self._lock:
            name = call.params[f"{kind}JobName"]
            job = self._jobs[name]
            if "ENDS_BEFORE_STOP" in job["Environment"]:
                self._end(job, "Completed")
                raise AwsError("ValidationException", "The job is in status Completed")
            self.stopped.append(name)
            self._end(job, "Stopped")
        return {}

    def release(self) -> None:
        with self._lock:
            for job in self._jobs.values():
                job["fake_hold"] = False

    def _end(self, job: dict[str, Any], status: str) -> None:
        kind = "Processing" if "ProcessingJobName" in job else "Training"
        job[f"{kind}JobStatus"] = status
        self.running -= 1


class SkippingClock:
    """Waits of a second and more pass at once, but count."""

    def __init__(self) -> None:
        self.skipped = datetime.timedelta()
        self.waits: list[float] = []

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + self.skipped

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if seconds < 1:
            return event.wait(seconds)
        self.waits.append(seconds)
        self.skipped += datetime.timedelta(seconds=seconds)
        return event.is_set()


class Aws:
    """What the tests hold in their hands."""

    def __init__(self, folder: Path) -> None:
        self.jobs = FakeJobs()
        self.events: list[Mapping[str, Any]] = []
        self.clock = SkippingClock()
        self.gateway = Gateway(folder, self._services).start()
        self.sagemaker = self.gateway.own.client("sagemaker")
        self.s3 = self.gateway.own.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sagemaker.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        iam = self.gateway.own.client("iam")
        self.role_arn = iam.create_role(
            RoleName=f"pipeline-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(trust)
        )["Role"]["Arn"]

    def _services(self, own: OwnAws) -> list[Any]:
        bus = EventBus(own)
        bus.subscribe(lambda event: self.events.append(event.document))
        return [self.jobs, PipelineExecutions(own, self.clock, bus)]

    def create(self, *steps: Mapping[str, Any], **members: Any) -> str:
        """The name of a new pipeline."""
        document = {"Version": "2020-12-01", "Steps": list(steps), **members}
        return self.create_from(json.dumps(document))

    def create_from(self, definition: str) -> str:
        name = f"p-{uuid.uuid4().hex[:8]}"
        self.sagemaker.create_pipeline(
            PipelineName=name, PipelineDefinition=definition, RoleArn=self.role_arn
        )
        return name

    def start(self, name: str, **arguments: Any) -> str:
        """The ARN of a new execution."""
        answer = self.sagemaker.start_pipeline_execution(PipelineName=name, **arguments)
        return str(answer["PipelineExecutionArn"])

    def finish(self, arn: str) -> dict[str, Any]:
        """The description of the execution once it has ended."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            execution: dict[str, Any] = self.sagemaker.describe_pipeline_execution(
                PipelineExecutionArn=arn
            )
            if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                return execution
            time.sleep(0.02)
        raise TimeoutError(f"{arn} did not end: {self.steps(arn)}")

    def run(self, *steps: Mapping[str, Any], **members: Any) -> tuple[dict[str, Any], Any]:
        """Description and steps, by name, of one execution of a new pipeline."""
        arn = self.start(self.create(*steps, **members))
        return self.finish(arn), self.steps(arn)

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        answer = self.sagemaker.list_pipeline_execution_steps(
            PipelineExecutionArn=arn, SortOrder="Ascending"
        )
        return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}

    def events_of(self, arn: str, kind: str) -> list[Mapping[str, Any]]:
        """Those of an execution whose detail type ends so."""
        return [
            event
            for event in self.events
            if arn in event["resources"] and event["detail-type"].endswith(f" {kind}")
        ]

    def wait_for_step(self, arn: str, name: str) -> None:
        """Until the job of the step runs."""
        deadline = time.monotonic() + 20
        while not self.steps(arn).get(name, {}).get("Metadata"):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def module_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    aws = Aws(tmp_path_factory.mktemp("pipelines"))
    yield aws
    aws.gateway.close()


@pytest.fixture
def aws(module_aws: Aws) -> Aws:
    module_aws.jobs.most_running = module_aws.jobs.running
    module_aws.clock.waits.clear()
    return module_aws


def processing(name: str, *, environment: Mapping[str, Any] | None = None, **members: Any) -> Any:
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 30,
                }
            },
            "AppSpecification": {"ImageUri": "image", "ContainerArguments": ["run"]},
            "RoleArn": "arn:aws:iam::123456789012:role/job-execution",
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "out",
                        "S3Output": {
                            "S3Uri": {
                                "Std:Join": {
                                    "On": "/",
                                    "Values": [
                                        f"s3://{BUCKET}",
                                        {"Get": "Execution.PipelineExecutionId"},
                                        name,
                                    ],
                                }
                            },
                            "LocalPath": "/opt/ml/processing/out",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            "Environment": {"SCRIPT": uuid.uuid4().hex, **(environment or {})},
        },
        **members,
    }


def training(name: str, data: Any, **members: Any) -> Any:
    return {
        "Name": name,
        "Type": "Training",
        "Arguments": {
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
            "RoleArn": "arn:aws:iam::123456789012:role/job-execution",
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}},
                }
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 30,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
        **members,
    }


def condition(name: str, left: Any, right: Any, **members: Any) -> Any:
    arguments = {
        "Conditions": [{"Type": "LessThan", "LeftValue": left, "RightValue": right}],
        "IfSteps": members.pop("if_steps", []),
        "ElseSteps": members.pop("else_steps", []),
    }
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **members}


def fail(name: str, message: Any) -> Any:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def outcomes(*values: Any) -> dict[str, str]:
    return {"OUTCOMES": json.dumps(values)}


OUT_OF_A = {"Get": "Steps.A.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}


def test_steps_run_in_the_order_of_their_data_under_the_names_of_aws(aws: Aws) -> None:
    # B stands first, yet needs what A writes.
    arn = aws.start(aws.create(training("B", OUT_OF_A), processing("A", DisplayName="First")))
    execution = aws.finish(arn)
    execution_id = arn.rsplit("/", 1)[-1]
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert "FailureReason" not in execution
    assert len(execution_id) == 12
    assert execution_id == execution_id.lower()
    steps = aws.steps(arn)
    assert list(steps) == ["A", "B"]
    assert [step["StepStatus"] for step in steps.values()] == ["Succeeded", "Succeeded"]
    assert steps["A"]["StepDisplayName"] == "First"
    assert steps["A"]["AttemptCount"] == 1
    assert steps["A"]["StartTime"] <= steps["A"]["EndTime"] <= steps["B"]["StartTime"]
    processing_arn = steps["A"]["Metadata"]["ProcessingJob"]["Arn"]
    training_arn = steps["B"]["Metadata"]["TrainingJob"]["Arn"]
    assert f":processing-job/pipelines-{execution_id}-A-" in processing_arn
    assert f":training-job/pipelines-{execution_id}-B-" in training_arn
    data = aws.jobs.created[-1]["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert data == f"s3://{BUCKET}/{execution_id}/A"


def test_long_step_names_make_valid_job_names(aws: Aws) -> None:
    _, steps = aws.run(processing("A_very-long-step-name_with-underscores-and-no-end-at-all"))
    (step,) = steps.values()
    name = step["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    assert len(name) <= 63
    assert "_" not in name


@pytest.mark.parametrize(
    ("limit", "status", "expected", "outcome"),
    [
        ("0.7", "Succeeded", ["Prepare", "Check", "Train"], "True"),
        ("0.5", "Failed", ["Prepare", "Check", "TooHigh"], "False"),
    ],
)
def test_what_the_sdk_compiles_runs_by_the_outcome_of_its_condition(
    aws: Aws, limit: str, status: str, expected: list[str], outcome: str
) -> None:
    definition = COMPILED.read_text().replace("example-bucket", BUCKET)
    parameters = [{"Name": "Limit", "Value": limit}, {"Name": "Name", "Value": "second"}]
    name = aws.create_from(definition)
    execution_arn = _start_with_report(aws, name, parameters, {"metrics": {"error": 0.6}})
    execution = aws.finish(execution_arn)
    steps = aws.steps(execution_arn)
    assert list(steps) == expected
    assert execution["PipelineExecutionStatus"] == status
    assert steps["Check"]["Metadata"] == {"Condition": {"Outcome": outcome}}
    if status == "Failed":
        assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
        assert steps["TooHigh"]["FailureReason"] == "error above 0.5"
        assert steps["TooHigh"]["Metadata"] == {"Fail": {"ErrorMessage": "error above 0.5"}}
    else:
        hyperparameters = aws.jobs.created[-1]["HyperParameters"]
        assert hyperparameters["rows"] == "3"
        assert aws.jobs.created[-1]["Environment"]["EXECUTION"] == execution_arn


def _start_with_report(aws: Aws, name: str, parameters: Any, report: Any) -> str:
    """Start with a job that is held until the property file, which it should write, is there."""
    definition = json.loads(
        aws.sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"]
    )
    definition["Steps"][0]["Arguments"]["Environment"]["HOLD"] = "1"
    aws.sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=json.dumps(definition))
    arn = aws.start(name, PipelineParameters=parameters)
    key = f"report/{arn.rsplit('/', 1)[-1]}/report.json"
    aws.s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(report).encode())
    aws.wait_for_step(arn, "Prepare")
    aws.jobs.release()
    return arn


def test_missing_property_file_fails_the_condition_with_its_place(aws: Aws) -> None:
    value = {
        "Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.F"}, "Path": "a"},
    }
    files = [{"PropertyFileName": "F", "OutputName": "out", "FilePath": "f.json"}]
    execution, steps = aws.run(processing("A", PropertyFiles=files), condition("C", value, 1))
    assert execution["PipelineExecutionStatus"] == "Failed"
    reason = steps["C"]["FailureReason"]
    assert reason.startswith(f"ClientError: Unable to read the property file s3://{BUCKET}/")
    assert "/A/f.json: " in reason


def test_steps_behind_a_branch_not_taken_never_start(aws: Aws) -> None:
    inner = condition("Inner", 2, 1, if_steps=[processing("Never")], else_steps=[processing("E")])
    execution, steps = aws.run(
        condition("Outer", 1, 2, if_steps=[inner]),
        processing("AfterNever", DependsOn=["Never"]),
        processing("AfterE", DependsOn=["E", "Outer"]),
    )
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert list(steps) == ["Outer", "Inner", "E", "AfterE"]


def test_independent_steps_run_side_by_side(aws: Aws) -> None:
    hold = {"HOLD": "1"}
    arn = aws.start(aws.create(*(processing(name, environment=hold) for name in "ABC")))
    for name in "ABC":
        aws.wait_for_step(arn, name)
    aws.jobs.release()
    assert aws.finish(arn)["PipelineExecutionStatus"] == "Succeeded"
    assert aws.jobs.most_running == 3


def test_parallelism_is_refused_by_name(aws: Aws) -> None:
    limit = {"MaxParallelExecutionSteps": 1}
    with pytest.raises(ClientError, match="ParallelismConfiguration"):
        aws.start(aws.create(processing("A")), ParallelismConfiguration=limit)


def test_failing_step_lets_running_ones_finish_and_starts_no_other(aws: Aws) -> None:
    reason = "AlgorithmError: no data, exit code: 1"
    arn = aws.start(
        aws.create(
            # First, so that it runs: once a step has failed, no other starts.
            processing("Slow", environment={"HOLD": "1"}),
            processing("Bad", environment=outcomes(reason)),
            processing("AfterSlow", DependsOn=["Slow"]),
        )
    )
    aws.wait_for_step(arn, "Slow")
    deadline = time.monotonic() + 10
    while aws.steps(arn)["Bad"]["StepStatus"] != "Failed":
        assert time.monotonic() < deadline
    aws.jobs.release()
    execution, steps = aws.finish(arn), aws.steps(arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    assert steps["Bad"]["FailureReason"] == reason
    assert steps["Slow"]["StepStatus"] == "Succeeded"
    assert "AfterSlow" not in steps
    (summary,) = aws.sagemaker.list_pipeline_executions(
        PipelineName=execution["PipelineArn"].rsplit("/", 1)[-1]
    )["PipelineExecutionSummaries"]
    assert summary["PipelineExecutionFailureReason"] == execution["FailureReason"]


def test_refused_create_call_is_the_failure_reason_in_the_words_of_aws(aws: Aws) -> None:
    refused = {"code": "ResourceLimitExceeded", "message": "The account-level limit is 0"}
    execution, steps = aws.run(processing("A", environment=outcomes(refused)))
    assert steps["A"]["FailureReason"] == (
        "ClientError: Failed to invoke sagemaker:CreateProcessingJob. "
        "Error Details: The account-level limit is 0\n"
        "Retry not appropriate on execution of step with PipelineExecutionArn "
        f"{execution['PipelineExecutionArn']} and StepId A. "
        "No retry policy configured for the exception type SAGEMAKER_RESOURCE_LIMIT."
    )
    assert steps["A"]["Metadata"] == {}


def test_arguments_that_the_api_does_not_accept_fail_the_step_with_the_member(aws: Aws) -> None:
    step = processing("A", environment={"ROWS": {"Get": "Parameters.Rows"}})
    parameters = [{"Name": "Rows", "Type": "String", "DefaultValue": "x" * 5000}]
    _, steps = aws.run(step, Parameters=parameters)
    assert "Failed to invoke sagemaker:CreateProcessingJob" in steps["A"]["FailureReason"]
    assert "at 'environment.ROWS.member' failed to satisfy" in steps["A"]["FailureReason"]


def test_retry_policy_runs_a_failed_job_again(aws: Aws) -> None:
    step = processing(
        "A",
        environment=outcomes("CapacityError: none left", "CapacityError: none left", "Completed"),
        RetryPolicies=[
            {
                "ExceptionType": ["SageMaker.CAPACITY_ERROR"],
                "IntervalSeconds": 60,
                "BackoffRate": 2.0,
                "MaxAttempts": 3,
            }
        ],
    )
    execution, steps = aws.run(step)
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert steps["A"]["AttemptCount"] == 3
    assert aws.clock.waits == [60, 120]


def test_retries_end_with_the_reason_of_the_last_attempt(aws: Aws) -> None:
    throttled = {"code": "ThrottlingException", "message": "Rate exceeded"}
    policy = {"ExceptionType": ["Step.THROTTLING"], "IntervalSeconds": 5, "MaxAttempts": 1}
    _, steps = aws.run(
        processing("A", environment=outcomes(throttled), RetryPolicies=[policy]),
    )
    assert steps["A"]["AttemptCount"] == 2
    assert steps["A"]["FailureReason"].startswith(
        "ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: Rate exceeded"
    )
    assert steps["A"]["FailureReason"].endswith(
        "2 attempts were made, which is all that the retry policies allow."
    )


def test_failure_of_the_script_itself_is_not_retried(aws: Aws) -> None:
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "MaxAttempts": 3}
    _, steps = aws.run(
        processing("A", environment=outcomes("AlgorithmError: x"), RetryPolicies=[policy])
    )
    assert steps["A"]["AttemptCount"] == 1
    assert steps["A"]["FailureReason"] == "AlgorithmError: x"


def test_a_step_that_may_be_cached_runs_each_time(aws: Aws) -> None:
    name = aws.create(processing("A", CacheConfig={"Enabled": True, "ExpireAfter": "P1D"}))
    before = len(aws.jobs.created)
    for number in (1, 2):
        execution = aws.start(name)
        assert aws.finish(execution)["PipelineExecutionStatus"] == "Succeeded"
        assert "CacheHitResult" not in aws.steps(execution)["A"]
        assert len(aws.jobs.created) == before + number


def test_each_change_of_an_execution_is_an_event_with_its_arns(aws: Aws) -> None:
    arn = aws.start(aws.create(fail("Bad", "no good")))
    aws.finish(arn)

    mine = aws.events_of(arn, "Execution Status Change")
    assert [event["source"] for event in mine] == ["aws.sagemaker"] * 2
    details = [event["detail"] for event in mine]
    assert [detail["currentPipelineExecutionStatus"] for detail in details] == [
        "Executing",
        "Failed",
    ]
    assert details[1]["previousPipelineExecutionStatus"] == "Executing"
    assert details[1]["pipelineExecutionArn"] == arn
    assert details[1]["pipelineArn"] == arn.partition("/execution/")[0]
    assert details[1]["executionEndTime"] >= details[1]["executionStartTime"]


def test_each_change_of_a_step_is_an_event_and_a_failed_one_says_why(aws: Aws) -> None:
    failing = processing("Bad", environment=outcomes("AlgorithmError: QualityGateNotMet: no"))
    arn = aws.start(aws.create(processing("Good"), {**failing, "DependsOn": ["Good"]}))
    aws.finish(arn)

    mine = aws.events_of(arn, "Execution Step Status Change")
    details = [event["detail"] for event in mine]
    assert [
        (detail["stepName"], detail.get("previousStepStatus"), detail["currentStepStatus"])
        for detail in details
    ] == [
        ("Good", None, "Executing"),
        ("Good", "Executing", "Succeeded"),
        ("Bad", None, "Executing"),
        ("Bad", "Executing", "Failed"),
    ]
    job_arn = aws.steps(arn)["Bad"]["Metadata"]["ProcessingJob"]["Arn"]
    last = details[-1]
    assert last.pop("stepEndTime") >= last.pop("stepStartTime")
    assert last == {
        "metadata": {"processingJob": {"arn": job_arn}},
        "stepName": "Bad",
        "stepType": "Processing",
        "previousStepStatus": "Executing",
        "currentStepStatus": "Failed",
        "failureReason": "AlgorithmError: QualityGateNotMet: no",
        "pipelineArn": arn.partition("/execution/")[0],
        "pipelineExecutionArn": arn,
    }
    assert not any("failureReason" in detail for detail in details[:-1])


def test_stop_ends_the_running_job_and_starts_no_other_step(aws: Aws) -> None:
    arn = aws.start(
        aws.create(processing("A", environment={"HOLD": "1"}), processing("B", DependsOn=["A"]))
    )
    aws.wait_for_step(arn, "A")
    aws.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert aws.finish(arn)["PipelineExecutionStatus"] == "Stopped"
    steps = aws.steps(arn)
    assert list(steps) == ["A"]
    assert steps["A"]["StepStatus"] == "Stopped"
    assert [
        event["detail"]["currentStepStatus"]
        for event in aws.events_of(arn, "Execution Step Status Change")
    ] == ["Executing", "Stopping", "Stopped"]
    assert aws.jobs.stopped[-1] == steps["A"]["Metadata"]["ProcessingJob"]["Arn"].split("/")[-1]
    with pytest.raises(ClientError, match="has the status Stopped; only an execution"):
        aws.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)


def test_job_that_ends_just_before_it_is_stopped_has_succeeded(aws: Aws) -> None:
    environment = {"HOLD": "1", "ENDS_BEFORE_STOP": "1"}
    arn = aws.start(aws.create(processing("A", environment=environment)))
    aws.wait_for_step(arn, "A")
    aws.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert aws.finish(arn)["PipelineExecutionStatus"] == "Stopped"
    assert aws.steps(arn)["A"]["StepStatus"] == "Succeeded"


def test_job_stopped_by_someone_else_fails_the_step(aws: Aws) -> None:
    arn = aws.start(aws.create(processing("A", environment={"HOLD": "1"})))
    aws.wait_for_step(arn, "A")
    job = aws.steps(arn)["A"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    aws.sagemaker.stop_processing_job(ProcessingJobName=job)
    assert aws.finish(arn)["PipelineExecutionStatus"] == "Failed"
    reason = aws.steps(arn)["A"]["FailureReason"]
    assert reason == (f"ClientError: ProcessingJob {job} was stopped, by a StopProcessingJob call")


PARAMETERS = [
    {"Name": "Rows", "Type": "Integer", "DefaultValue": 3},
    {"Name": "Name", "Type": "String"},
]


def test_an_execution_has_the_name_that_it_is_given(aws: Aws) -> None:
    arn = aws.start(
        aws.create(processing("A"), Parameters=PARAMETERS),
        PipelineParameters=[{"Name": "Name", "Value": "x"}],
        PipelineExecutionDisplayName="my-run",
        PipelineExecutionDescription="try",
    )
    execution = aws.finish(arn)
    assert execution["PipelineExecutionDisplayName"] == "my-run"
    assert execution["PipelineExecutionDescription"] == "try"


def test_wrong_parameters_are_refused_and_nothing_starts(aws: Aws) -> None:
    name = aws.create(processing("A"), Parameters=PARAMETERS)
    wrong = [{"Name": "Rows", "Value": "many"}, {"Name": "Nmae", "Value": "x"}]
    with pytest.raises(ClientError) as caught:
        aws.start(name, PipelineParameters=wrong)
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "Pipeline parameter 'Nmae' is not defined; defined are: Name, Rows. "
        "Pipeline parameter 'Rows' is of type Integer; 'many' is not. "
        "Pipeline parameter 'Name' must have a value: no default",
    }
    answer = aws.sagemaker.list_pipeline_executions(PipelineName=name)
    assert answer["PipelineExecutionSummaries"] == []


def test_same_token_starts_one_execution(aws: Aws) -> None:
    name = aws.create(processing("A"))
    token = uuid.uuid4().hex
    first = aws.start(name, ClientRequestToken=token)
    assert aws.start(name, ClientRequestToken=token) == first
    with pytest.raises(ClientError, match=f"ClientRequestToken {token} was already used"):
        aws.start(name, ClientRequestToken=token, PipelineExecutionDescription="other")
    aws.finish(first)


def test_unsupported_step_type_is_refused_before_any_step_runs(aws: Aws) -> None:
    jobs_before = len(aws.jobs.created)
    name = aws.create(processing("A"), {"Name": "Tune", "Type": "Tuning", "Arguments": {}})
    with pytest.raises(ClientError, match="step 'Tune' is of type 'Tuning', which local_aws does"):
        aws.start(name)
    assert len(aws.jobs.created) == jobs_before


@pytest.mark.parametrize(
    "arguments",
    [
        {"SelectiveExecutionConfig": {"SelectedSteps": [{"StepName": "A"}]}},
        {"PipelineVersionId": 1},
        {"MlflowExperimentName": "x"},
    ],
)
def test_unsupported_argument_of_start_is_refused_by_name(
    aws: Aws, arguments: dict[str, Any]
) -> None:
    (member,) = arguments
    with pytest.raises(ClientError, match=f"{member} is not supported by local_aws"):
        aws.start(aws.create(processing("A")), **arguments)


def test_role_that_does_not_exist_is_refused_at_the_start(aws: Aws) -> None:
    name = aws.create(processing("A"))
    missing = "arn:aws:iam::123456789012:role/missing"
    with pytest.raises(ClientError, match=f"Role {missing} does not exist"):
        aws.start(name, RoleArn=missing)


def test_lists_have_pages_and_an_order(aws: Aws) -> None:
    name = aws.create(processing("A"), processing("B", DependsOn=["A"]))
    arns = [aws.start(name) for _ in range(3)]
    for arn in arns:
        aws.finish(arn)
    first = aws.sagemaker.list_pipeline_executions(PipelineName=name, MaxResults=2)
    assert _arns(first) == [arns[2], arns[1]]
    rest = aws.sagemaker.list_pipeline_executions(PipelineName=name, NextToken=first["NextToken"])
    assert _arns(rest) == [arns[0]]
    assert "NextToken" not in rest
    oldest_first = aws.sagemaker.list_pipeline_executions(PipelineName=name, SortOrder="Ascending")
    assert _arns(oldest_first) == arns
    steps = aws.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arns[0])
    assert [step["StepName"] for step in steps["PipelineExecutionSteps"]] == ["B", "A"]
    with pytest.raises(ClientError, match="Invalid NextToken 'x'"):
        aws.sagemaker.list_pipeline_executions(PipelineName=name, NextToken="x")


def _arns(answer: Mapping[str, Any]) -> list[str]:
    return [item["PipelineExecutionArn"] for item in answer["PipelineExecutionSummaries"]]


@pytest.mark.parametrize(
    "operation",
    [
        "describe_pipeline_execution",
        "list_pipeline_execution_steps",
        "stop_pipeline_execution",
    ],
)
def test_unknown_execution_is_resource_not_found(aws: Aws, operation: str) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/none"
    with pytest.raises(ClientError) as caught:
        getattr(aws.sagemaker, operation)(PipelineExecutionArn=arn)
    assert caught.value.response["Error"] == {
        "Code": "ResourceNotFound",
        "Message": f"Pipeline execution with ARN '{arn}' does not exist.",
    }


@pytest.mark.parametrize("outcome", ["Success", "Failure"])
def test_callback_operations_are_refused_by_name(aws: Aws, outcome: str) -> None:
    method = getattr(aws.sagemaker, f"send_pipeline_execution_step_{outcome.lower()}")
    arguments = {"FailureReason": "x"} if outcome == "Failure" else {}
    with pytest.raises(ClientError, match=f"sagemaker:SendPipelineExecutionStep{outcome}"):
        method(CallbackToken="a" * 10, **arguments)


def test_overhead_of_two_steps_is_a_fraction_of_a_second(aws: Aws) -> None:
    name = aws.create(processing("A"), training("B", OUT_OF_A))
    aws.finish(aws.start(name))
    execution = aws.finish(aws.start(name))
    seconds = (execution["LastModifiedTime"] - execution["CreationTime"]).total_seconds()
    assert seconds < 0.5


def test_close_stops_what_runs_and_leaves_no_thread(tmp_path: Path) -> None:
    aws = Aws(tmp_path)
    arn = aws.start(aws.create(processing("A", environment={"HOLD": "1"})))
    aws.wait_for_step(arn, "A")
    execution_id = arn.rsplit("/", 1)[-1]
    aws.gateway.close()
    assert len(aws.jobs.stopped) == 1
    assert not [thread for thread in threading.enumerate() if execution_id in thread.name]


def test_a_pipeline_is_not_deleted_while_it_runs(aws: Aws) -> None:
    name = aws.create(processing("A", environment={"HOLD": "1"}))
    arn = aws.start(name)
    with pytest.raises(ClientError, match=arn) as refused:
        aws.sagemaker.delete_pipeline(PipelineName=name)
    assert refused.value.response["Error"]["Code"] == "ConflictException"
    aws.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    aws.finish(arn)
    aws.sagemaker.delete_pipeline(PipelineName=name)


def test_a_stranger_with_only_the_endpoint_can_run_a_pipeline(aws: Aws) -> None:
    client = stranger(aws.gateway, "sagemaker")
    arn = client.start_pipeline_execution(PipelineName=aws.create(processing("A")))
    execution = aws.finish(arn["PipelineExecutionArn"])
    known = client.meta.service_model.operation_model("DescribePipelineExecution").output_shape
    assert set(execution) - {"ResponseMetadata"} <= set(known.members)


def _fault(*_: Any, **__: Any) -> None:
    raise KeyError("planted")


def test_fault_in_a_steps_thread_fails_the_step_and_the_execution(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.JobStepRunner, "run", _fault)

    execution, steps = aws.run(processing("One"))

    assert execution["PipelineExecutionStatus"] == "Failed"
    assert steps["One"]["StepStatus"] == "Failed"
    assert steps["One"]["FailureReason"] == "InternalServerError: local_aws: KeyError: 'planted'"


def test_fault_in_an_executions_own_thread_fails_it_and_stops_its_jobs(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = processing("Held", environment={"HOLD": "1"})
    monkeypatch.setattr(run, "is_true", _fault)

    execution, steps = aws.run(held, condition("Check", 1, 1))

    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "local_aws: KeyError: 'planted'"
    assert {name: step["StepStatus"] for name, step in steps.items()} == {
        "Held": "Failed",
        "Check": "Failed",
    }
    assert steps["Check"]["FailureReason"] == "InternalServerError: local_aws: KeyError: 'planted'"
    deadline = time.monotonic() + 20
    while aws.jobs.running and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not aws.jobs.running


def test_fault_before_any_step_fails_the_execution(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.PipelineRun, "_next_step", _fault)

    execution, steps = aws.run(processing("One"))

    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "local_aws: KeyError: 'planted'"
    assert not steps
