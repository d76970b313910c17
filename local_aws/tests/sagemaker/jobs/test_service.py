"""Training and processing jobs through boto3, as a stranger would run them."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from callers import stranger

from local_aws.containers.container import Isolation
from local_aws.containers.images import Images
from local_aws.containers.supervision import SupervisedProcess
from local_aws.gateway import Gateway
from local_aws.sagemaker.jobs import job_run
from local_aws.sagemaker.jobs.service import Jobs

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
RUN_DRIVER = "chmod +x {0}/sm_train.sh && {0}/sm_train.sh".format("/opt/ml/input/data/sm_drivers")


@dataclasses.dataclass(frozen=True)
class Account:
    """A bucket, an execution role and clients of a gateway."""

    gateway: Gateway
    bucket: str
    role_arn: str

    def client(self, service: str) -> Any:
        return _client(service, self.gateway)

    def put(self, key: str, text: str | bytes) -> str:
        body = text.encode() if isinstance(text, str) else text
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        answer = self.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for entry in answer.get("Contents", ())]

    def training_request(self, script: str, **changes: Any) -> dict[str, Any]:
        """A CreateTrainingJob request that runs a Python script from the channel `code`."""
        name = f"train-{uuid.uuid4().hex[:12]}"
        return {
            "TrainingJobName": name,
            "RoleArn": self.role_arn,
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/train.py"],
            },
            "InputDataConfig": [channel("code", self.put(f"{name}/train.py", script))],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def processing_request(self, script: str, **changes: Any) -> dict[str, Any]:
        """A CreateProcessingJob request that runs a Python script and has the output `out`."""
        name = f"process-{uuid.uuid4().hex[:12]}"
        output = {
            "S3Uri": f"s3://{self.bucket}/{name}/out",
            "LocalPath": "/opt/ml/processing/out",
            "S3UploadMode": "EndOfJob",
        }
        code = processing_input("code", self.put(f"{name}/code/run.py", script), "input/code")
        return {
            "ProcessingJobName": name,
            "RoleArn": self.role_arn,
            "AppSpecification": {
                "ImageUri": IMAGE,
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/run.py"],
                "ContainerArguments": ["--size", "3"],
            },
            "ProcessingInputs": [code],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": output}]},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 10,
                }
            },
            **changes,
        }

    def train(self, script: str, **changes: Any) -> dict[str, Any]:
        """The description of a training job that ended."""
        request = self.training_request(script, **changes)
        self.client("sagemaker").create_training_job(**request)
        return self.ended("TrainingJob", request["TrainingJobName"])

    def process(self, script: str, **changes: Any) -> dict[str, Any]:
        """The description of a processing job that ended."""
        request = self.processing_request(script, **changes)
        self.client("sagemaker").create_processing_job(**request)
        return self.ended("ProcessingJob", request["ProcessingJobName"])

    def ended(self, noun: str, name: str) -> dict[str, Any]:
        return self.when(noun, name, lambda status: status not in ("InProgress", "Stopping"))

    def when(self, noun: str, name: str, wanted: Callable[[str], bool]) -> dict[str, Any]:
        verb = {"TrainingJob": "describe_training_job", "ProcessingJob": "describe_processing_job"}
        describe = getattr(self.client("sagemaker"), verb[noun])
        deadline = time.monotonic() + 30
        while not wanted((job := describe(**{f"{noun}Name": name}))[f"{noun}Status"]):
            assert time.monotonic() < deadline, job
            time.sleep(0.03)
        return dict(job)

    def logs(self, group: str, job_name: str) -> list[str]:
        logs = self.client("logs")
        [stream] = logs.describe_log_streams(
            logGroupName=group, logStreamNamePrefix=f"{job_name}/algo-1-"
        )["logStreams"]
        answer = logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )
        return [event["message"] for event in answer["events"]]


def channel(name: str, uri: str, **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def processing_input(name: str, uri: str, folder: str) -> dict[str, Any]:
    place = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{folder}"}
    return {
        "InputName": name,
        "S3Input": {**place, "S3DataType": "S3Prefix", "S3InputMode": "File"},
    }


@functools.cache
def _client(service: str, gateway: Gateway) -> Any:
    return stranger(gateway, service)


def make_account(gateway: Gateway, policy: Mapping[str, Any] | None = None) -> Account:
    own = gateway.own
    unique = uuid.uuid4().hex[:12]
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam = own.client("iam")
    role = iam.create_role(
        RoleName=f"jobs-{unique}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]
    allow = policy or {"Effect": "Allow", "Action": "*", "Resource": "*"}
    iam.put_role_policy(
        RoleName=role["RoleName"],
        PolicyName="jobs",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    own.client("s3").create_bucket(Bucket=f"jobs-{unique}")
    return Account(gateway, f"jobs-{unique}", role["Arn"])


@pytest.fixture(scope="module")
def account(gateway: Gateway) -> Account:
    return make_account(gateway)


def refusal(call: Callable[[], Any]) -> str:
    """`CODE: MESSAGE` of the AWS error that the call ends in."""
    with pytest.raises(ClientError) as refused:
        call()
    error = refused.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_processing_job_reads_inputs_and_stores_outputs(account: Account) -> None:
    script = """
import os, sys
data = open("/opt/ml/processing/input/data/sub/table.csv").read()
os.makedirs("/opt/ml/processing/out/deep")
open("/opt/ml/processing/out/deep/x.txt", "w").write(data + " ".join(sys.argv[1:]))
open("/opt/ml/output/message", "w").write("3 rows")
print("role", "AWS_SESSION_TOKEN" in os.environ, os.environ["COLOR"])
"""
    request = account.processing_request(script, Environment={"COLOR": "blue"})
    account.put("tables/sub/table.csv", "a,b ")
    uri = f"s3://{account.bucket}/tables"
    request["ProcessingInputs"].append(processing_input("data", uri, "input/data"))
    created = account.client("sagemaker").create_processing_job(**request)
    job = account.ended("ProcessingJob", request["ProcessingJobName"])
    assert job["ProcessingJobStatus"] == "Completed", job
    assert job["ProcessingJobArn"] == created["ProcessingJobArn"]
    assert job["ExitMessage"] == "3 rows"
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert job["AppSpecification"] == request["AppSpecification"]
    output = request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    assert account.get(f"{output}/deep/x.txt") == b"a,b --size 3"
    logs = account.logs("/aws/sagemaker/ProcessingJobs", request["ProcessingJobName"])
    assert logs == ["role True blue"]


def test_training_job_gets_its_contract_and_stores_its_model(account: Account) -> None:
    script = """
import json, os
config = "/opt/ml/input/config/"
facts = {
    "hyperparameters": json.load(open(config + "hyperparameters.json")),
    "channels": json.load(open(config + "inputdataconfig.json")),
    "host": json.load(open(config + "resourceconfig.json"))["current_host"],
    "files": sorted(os.listdir("/opt/ml/input/data/train")),
    "name": os.environ["TRAINING_JOB_NAME"],
}
json.dump(facts, open("/opt/ml/model/facts.json", "w"))
open("/opt/ml/output/data/plot.txt", "w").write("a plot")
for step, loss in enumerate((0.5, 0.25)):
    print(f"step={step} loss={loss};")
"""
    account.put("sets/train.parquet", "rows")
    request = account.training_request(script, HyperParameters={"trees": "10"})
    request["InputDataConfig"].append(
        channel("train", f"s3://{account.bucket}/sets/train.parquet", ContentType="text/csv")
    )
    metrics = [{"Name": "loss", "Regex": r"loss=(\S+);"}, {"Name": "none", "Regex": "x=(.*)"}]
    request["AlgorithmSpecification"]["MetricDefinitions"] = metrics
    account.client("sagemaker").create_training_job(**request)
    name = request["TrainingJobName"]
    job = account.ended("TrainingJob", name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed"), job
    stages = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert stages == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in transition for transition in job["SecondaryStatusTransitions"])
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("loss", 0.25)]
    assert job["TrainingTimeInSeconds"] >= 1
    place = f"s3://{account.bucket}/models/{name}/output"
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": f"{place}/model.tar.gz"}
    facts = json.loads(members(account.get(f"{place}/model.tar.gz"))["facts.json"])
    assert facts["hyperparameters"] == {"trees": "10"}
    assert facts["channels"]["train"]["ContentType"] == "text/csv"
    assert facts["channels"]["train"]["TrainingInputMode"] == "File"
    assert (facts["host"], facts["files"]) == ("algo-1", ["train.parquet"])
    assert facts["name"] == name
    assert members(account.get(f"{place}/output.tar.gz")) == {"plot.txt": b"a plot"}
    logs = account.logs("/aws/sagemaker/TrainingJobs", name)
    assert logs == ["step=0 loss=0.5;", "step=1 loss=0.25;"]


def members(archive: bytes) -> dict[str, bytes]:
    """The files of a .tar.gz, by name."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_failed_training_says_what_the_script_left(account: Account) -> None:
    script = """
import sys
open("/opt/ml/output/failure", "w").write("ValueError: no target column")
sys.exit(3)
"""
    job = account.train(script)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: ValueError: no target column, exit code: 3"
    assert account.keys(f"models/{job['TrainingJobName']}") == []


def test_failed_processing_keeps_its_exit_message_and_stores_nothing(account: Account) -> None:
    script = """
open("/opt/ml/processing/out/half.txt", "w").write("half")
open("/opt/ml/output/message", "w").write("target 'price' is missing")
raise SystemExit(2)
"""
    job = account.process(script)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["ExitMessage"] == "target 'price' is missing"
    reason = "AlgorithmError: See job logs for more information, exit code: 2"
    assert job["FailureReason"] == reason
    assert account.keys(f"{job['ProcessingJobName']}/out") == []


def test_missing_input_is_a_client_error_that_names_it(account: Account) -> None:
    uri = f"s3://{account.bucket}/nothing-here"
    request = account.training_request("")
    request["InputDataConfig"].append(channel("train", uri))
    account.client("sagemaker").create_training_job(**request)
    job = account.ended("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}". '
        "Check that the bucket exists, that objects exist under that prefix, "
        "and that the role may list and read them."
    )


def test_training_beyond_its_limit_is_stopped_and_keeps_its_model(account: Account) -> None:
    script = 'import time; open("/opt/ml/model/half", "w").close(); time.sleep(60)'
    job = account.train(script, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert "FailureReason" not in job
    assert set(members(account.get(job["ModelArtifacts"]["S3ModelArtifacts"]))) == {"half"}


def test_processing_beyond_its_limit_is_stopped(account: Account) -> None:
    job = account.process(
        "import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    assert job["ProcessingJobStatus"] == "Stopped"
    assert job["FailureReason"] == "MaxRuntimeExceeded: the job ran longer than 1 s"


def test_stopping_a_training_job(account: Account) -> None:
    sagemaker = account.client("sagemaker")
    request = account.training_request("import time; time.sleep(60)")
    name = request["TrainingJobName"]
    sagemaker.create_training_job(**request)
    sagemaker.stop_training_job(TrainingJobName=name)
    job = account.ended("TrainingJob", name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert refusal(lambda: sagemaker.stop_training_job(TrainingJobName=name)) == (
        "ValidationException: The request was rejected because the training job is in status "
        "Stopped."
    )


def test_stopping_a_processing_job_that_runs(account: Account) -> None:
    sagemaker = account.client("sagemaker")
    request = account.processing_request("import time; print('on', flush=True); time.sleep(60)")
    name = request["ProcessingJobName"]
    sagemaker.create_processing_job(**request)
    while "ProcessingStartTime" not in sagemaker.describe_processing_job(ProcessingJobName=name):
        time.sleep(0.03)
    sagemaker.stop_processing_job(ProcessingJobName=name)
    job = account.ended("ProcessingJob", name)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in job


def test_job_names_are_unique(account: Account) -> None:
    request = account.training_request("")
    sagemaker = account.client("sagemaker")
    arn = sagemaker.create_training_job(**request)["TrainingJobArn"]
    assert refusal(lambda: sagemaker.create_training_job(**request)) == (
        "ResourceInUse: Training job names must be unique within an AWS account and region, "
        f"and a training job with this name already exists ({arn})"
    )
    account.ended("TrainingJob", request["TrainingJobName"])


def test_unknown_jobs_are_refused_as_aws_does(account: Account) -> None:
    sagemaker = account.client("sagemaker")
    assert refusal(lambda: sagemaker.describe_training_job(TrainingJobName="none")) == (
        "ValidationException: Requested resource not found."
    )
    assert refusal(lambda: sagemaker.stop_processing_job(ProcessingJobName="none")) == (
        "ValidationException: Could not find requested job with name: none"
    )


def test_role_that_does_not_exist_is_refused_at_once(account: Account) -> None:
    role_arn = "arn:aws:iam::123456789012:role/no-such-role"
    request = account.training_request("", RoleArn=role_arn)
    answer = refusal(lambda: account.client("sagemaker").create_training_job(**request))
    assert answer.startswith("ValidationException: ")
    assert role_arn in answer


def test_what_is_not_emulated_is_refused_by_name(account: Account) -> None:
    request = account.training_request("", EnableNetworkIsolation=True)
    request["ResourceConfig"]["InstanceCount"] = 2
    request["InputDataConfig"][0]["InputMode"] = "Pipe"
    assert refusal(lambda: account.client("sagemaker").create_training_job(**request)) == (
        "ValidationException: local_aws does not emulate, for CreateTrainingJob: "
        "EnableNetworkIsolation; ResourceConfig.InstanceCount 2; "
        "InputDataConfig[0].InputMode Pipe. Leave it out here, or run this on AWS."
    )


def test_lists_filter_sort_and_page(account: Account) -> None:
    sagemaker = account.client("sagemaker")
    mark = uuid.uuid4().hex[:8]
    for letter in "abc":
        request = account.processing_request("", ProcessingJobName=f"{letter}-{mark}")
        sagemaker.create_processing_job(**request)
        account.ended("ProcessingJob", f"{letter}-{mark}")
    query = {"NameContains": mark, "SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 2}
    first = sagemaker.list_processing_jobs(**query)
    second = sagemaker.list_processing_jobs(**query, NextToken=first["NextToken"])
    assert "NextToken" not in second
    found = first["ProcessingJobSummaries"] + second["ProcessingJobSummaries"]
    assert [job["ProcessingJobName"] for job in found] == [f"{letter}-{mark}" for letter in "abc"]
    failed = sagemaker.list_processing_jobs(NameContains=mark, StatusEquals="Failed")
    assert failed["ProcessingJobSummaries"] == []
    newest = sagemaker.list_processing_jobs(NameContains=mark)["ProcessingJobSummaries"][0]
    assert newest["ProcessingJobName"] == f"c-{mark}"


def test_logs_can_be_followed_while_the_job_runs(account: Account) -> None:
    sagemaker = account.client("sagemaker")
    request = account.training_request("import time; print('early', flush=True); time.sleep(60)")
    name = request["TrainingJobName"]
    sagemaker.create_training_job(**request)
    deadline = time.monotonic() + 20
    seen: list[str] = []
    while not seen and time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            seen = account.logs("/aws/sagemaker/TrainingJobs", name)
        except (ClientError, ValueError):
            continue
    assert seen == ["early"]
    status = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
    assert status == "InProgress"
    sagemaker.stop_training_job(TrainingJobName=name)
    account.ended("TrainingJob", name)


def sdk_channel(account: Account, prefix: str, requirements: str | None) -> dict[str, Any]:
    """The channel sm_drivers exactly as the SageMaker SDK makes it, without importing the SDK."""
    package = Path(str(importlib.metadata.distribution("sagemaker-train").locate_file("sagemaker")))
    train = package / "train"
    spec = importlib.util.spec_from_file_location("templates", train / "templates.py")
    assert spec is not None
    assert spec.loader is not None
    templates = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(templates)
    install = templates.INSTALL_REQUIREMENTS.format(requirements_file=requirements)
    script = templates.TRAIN_SCRIPT_TEMPLATE.format(
        working_dir="cd /opt/ml/input/data/code \n",
        install_requirements=install if requirements else "",
        execute_driver=templates.EXECUTE_BASIC_SCRIPT_DRIVER,
    )
    drivers = train / "container_drivers"
    for file in drivers.rglob("*.py"):
        account.put(f"{prefix}/{file.relative_to(drivers)}", file.read_bytes())
    installer = package / "core/utils/install_requirements.py"
    account.put(f"{prefix}/scripts/install_requirements.py", installer.read_bytes())
    account.put(f"{prefix}/sourcecode.json", json.dumps({"entry_script": "train.py"}))
    account.put(f"{prefix}/sm_train.sh", script)
    return channel("sm_drivers", f"s3://{account.bucket}/{prefix}")


SDK_SCRIPT = """
import json, os, sys
json.dump({"arguments": sys.argv[1:], "model_dir": os.environ["SM_MODEL_DIR"]},
          open(os.path.join(os.environ["SM_MODEL_DIR"], "facts.json"), "w"))
"""


def sdk_request(account: Account, requirements: str | None = None) -> dict[str, Any]:
    request = account.training_request(SDK_SCRIPT, HyperParameters={"trees": "10"})
    drivers = sdk_channel(account, f"{request['TrainingJobName']}-drivers", requirements)
    request["InputDataConfig"].append(drivers)
    code = f"s3://{account.bucket}/{request['TrainingJobName']}/"
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = code
    request["AlgorithmSpecification"] |= {
        "ContainerEntrypoint": ["/bin/bash"],
        "ContainerArguments": ["-c", RUN_DRIVER],
    }
    return request


def test_the_sdks_own_drivers_run(account: Account) -> None:
    request = sdk_request(account)
    account.client("sagemaker").create_training_job(**request)
    job = account.ended("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job
    facts = members(account.get(job["ModelArtifacts"]["S3ModelArtifacts"]))["facts.json"]
    assert json.loads(facts)["arguments"] == ["--trees", "10"]


def test_requirements_that_cannot_be_installed_fail_the_job_with_pips_words(
    account: Account,
) -> None:
    request = sdk_request(account, requirements="requirements.txt")
    account.put(f"{request['TrainingJobName']}/requirements.txt", "--no-index\nno-such-package\n")
    account.client("sagemaker").create_training_job(**request)
    job = account.ended("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        "AlgorithmError: pip install -r requirements.txt failed: ERROR: "
    )
    assert "No matching distribution found for no-such-package" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")


def test_jobs_run_with_rewritten_paths_too(tmp_path: Path) -> None:
    def services(own: Any) -> list[Jobs]:
        return [Jobs(own, Images(own, isolation=Isolation.REWRITE))]

    gateway = Gateway(tmp_path, services).start()
    try:
        account = make_account(gateway)
        request = sdk_request(account)
        account.client("sagemaker").create_training_job(**request)
        job = account.ended("TrainingJob", request["TrainingJobName"])
        assert job["TrainingJobStatus"] == "Completed", job
        facts = members(account.get(job["ModelArtifacts"]["S3ModelArtifacts"]))["facts.json"]
        expected = tmp_path / "jobs" / request["TrainingJobName"] / "opt/ml/model"
        assert json.loads(facts)["model_dir"] == str(expected)
    finally:
        gateway.close()


def test_closing_stops_what_runs(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, lambda own: [Jobs(own, Images(own))]).start()
    account = make_account(gateway)
    endless = "import time\nwhile True: time.sleep(1)"
    request = account.processing_request(endless)
    account.client("sagemaker").create_processing_job(**request)
    describe = functools.partial(
        account.client("sagemaker").describe_processing_job,
        ProcessingJobName=request["ProcessingJobName"],
    )
    while "ProcessingStartTime" not in describe():
        time.sleep(0.03)
    started = time.monotonic()
    gateway.close()
    assert time.monotonic() - started < 10
    assert list((tmp_path / "jobs").glob("*/env")) == []


def _fault(*_: Any, **__: Any) -> None:
    raise KeyError("planted")


def test_a_fault_in_a_jobs_thread_fails_the_job(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job_run, "download_prefix", _fault)

    job = account.train("print(1)")

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "InternalServerError: local_aws: KeyError: 'planted'"
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed"
    assert f"{job['TrainingJobName']} failed inside local_aws" in caplog.text


def test_a_fault_while_a_failure_is_written_down_still_fails_the_job(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_run.contract, "read_start", _fault)

    job = account.process("raise SystemExit(3)")

    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "InternalServerError: local_aws: KeyError: 'planted'"


def test_a_fault_while_a_job_is_stopped_fails_it_and_its_container_ends(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = account.training_request("import time; time.sleep(600)")
    name = request["TrainingJobName"]
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**request)
    account.when("TrainingJob", name, lambda _: "TrainingStartTime" in _described(account, name))
    stop = SupervisedProcess.stop
    faults = [KeyError("planted")]
    stopped: list[int] = []

    def planted(process: SupervisedProcess, *arguments: Any) -> None:
        if faults:
            raise faults.pop()
        stop(process, *arguments)
        stopped.append(process.wait())

    monkeypatch.setattr(SupervisedProcess, "stop", planted)
    sagemaker.stop_training_job(TrainingJobName=name)
    job = account.ended("TrainingJob", name)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "InternalServerError: local_aws: KeyError: 'planted'"
    deadline = time.monotonic() + 20
    while not stopped and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stopped
    assert account.ended("TrainingJob", name)["TrainingJobStatus"] == "Failed"


def _described(account: Account, name: str) -> Mapping[str, Any]:
    return account.client("sagemaker").describe_training_job(TrainingJobName=name)  # type: ignore[no-any-return]
