"""Pipelines whose jobs are real processes, their data in S3: the whole local_aws, through boto3."""

from __future__ import annotations

import io
import json
import tarfile
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3"
PREPARE = """
import json, os, sys
folder = "/opt/ml/processing/out"
report = {"rows": int(sys.argv[1]), "name": os.environ["NAME"]}
json.dump(report, open(folder + "/report.json", "w"))
"""
TRAIN = """
import json, os
report = json.load(open("/opt/ml/input/data/train/report.json"))
settings = json.load(open("/opt/ml/input/config/hyperparameters.json"))
report["trees"] = settings["trees"]
report["execution"] = os.environ["EXECUTION"]
json.dump(report, open("/opt/ml/model/model.json", "w"))
print("rmse=0.25;")
"""
FAILING = """
import os, sys
os.makedirs("/opt/ml/output", exist_ok=True)
open("/opt/ml/output/message", "w").write("no rows")
sys.exit(3)
"""
SLEEPING = "import time; print('asleep', flush=True); time.sleep(60)"


class Account:
    """A bucket, a role, and scripts stored for jobs."""

    def __init__(self, gateway: Any) -> None:
        self.sagemaker = gateway.own.client("sagemaker")
        self.s3 = gateway.own.client("s3")
        self.bucket = f"pipelines-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)
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
        self.role_arn = gateway.own.client("iam").create_role(
            RoleName=self.bucket, AssumeRolePolicyDocument=json.dumps(trust)
        )["Role"]["Arn"]

    def start(self, *steps: Mapping[str, Any], **members: Any) -> str:
        """The ARN of the only execution of a new pipeline."""
        name = f"p-{uuid.uuid4().hex[:8]}"
        definition = {"Version": "2020-12-01", "Steps": list(steps), **members}
        self.sagemaker.create_pipeline(
            PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=self.role_arn
        )
        answer = self.sagemaker.start_pipeline_execution(PipelineName=name)
        return str(answer["PipelineExecutionArn"])

    def finish(self, arn: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            execution = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                return execution, self.steps(arn)
            time.sleep(0.05)
        raise TimeoutError(f"{arn} did not end: {self.steps(arn)}")

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        answer = self.sagemaker.list_pipeline_execution_steps(
            PipelineExecutionArn=arn, SortOrder="Ascending"
        )
        return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}

    def processing(self, name: str, script: str, *arguments: Any, **members: Any) -> Any:
        """A step that runs `script` and stores what it writes to /opt/ml/processing/out."""
        self.s3.put_object(Bucket=self.bucket, Key=f"code/{name}/main.py", Body=script.encode())
        output_uri = {
            "Std:Join": {
                "On": "/",
                "Values": [
                    f"s3://{self.bucket}/out",
                    {"Get": "Execution.PipelineExecutionId"},
                    name,
                ],
            }
        }
        return {
            "Name": name,
            "Type": "Processing",
            "Arguments": {
                "RoleArn": self.role_arn,
                "AppSpecification": {
                    "ImageUri": IMAGE,
                    "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/main.py"],
                    **({"ContainerArguments": list(arguments)} if arguments else {}),
                },
                "Environment": {"NAME": "a name"},
                "ProcessingInputs": [
                    {
                        "InputName": "code",
                        "S3Input": {
                            "S3Uri": f"s3://{self.bucket}/code/{name}",
                            "LocalPath": "/opt/ml/processing/input/code",
                            "S3DataType": "S3Prefix",
                            "S3InputMode": "File",
                        },
                    }
                ],
                "ProcessingOutputConfig": {
                    "Outputs": [
                        {
                            "OutputName": "out",
                            "S3Output": {
                                "S3Uri": output_uri,
                                "LocalPath": "/opt/ml/processing/out",
                                "S3UploadMode": "EndOfJob",
                            },
                        }
                    ]
                },
                "ProcessingResources": {
                    "ClusterConfig": {
                        "InstanceType": "ml.m5.large",
                        "InstanceCount": 1,
                        "VolumeSizeInGB": 30,
                    }
                },
                "StoppingCondition": {"MaxRuntimeInSeconds": 120},
            },
            **members,
        }

    def training(self, name: str, script: str, data: Any, **members: Any) -> Any:
        """A step that runs `script` with `data` as its channel "train"."""
        return {
            "Name": name,
            "Type": "Training",
            "Arguments": {
                "RoleArn": self.role_arn,
                "AlgorithmSpecification": {
                    "TrainingImage": IMAGE,
                    "TrainingInputMode": "File",
                    "ContainerEntrypoint": [
                        *("python3", "-c", "import os; exec(os.environ['SCRIPT'])")
                    ],
                    "MetricDefinitions": [{"Name": "rmse", "Regex": "rmse=([0-9.]+);"}],
                },
                "HyperParameters": {
                    "trees": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Trees"}]}}
                },
                "Environment": {
                    "EXECUTION": {"Get": "Execution.PipelineExecutionArn"},
                    "SCRIPT": script,
                },
                "InputDataConfig": [
                    {
                        "ChannelName": "train",
                        "InputMode": "File",
                        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}},
                    }
                ],
                "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models"},
                "ResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 30,
                },
                "StoppingCondition": {"MaxRuntimeInSeconds": 120},
            },
            **members,
        }


@pytest.fixture
def account(gateway: Any) -> Account:
    return Account(gateway)


def test_data_flows_from_a_script_through_a_condition_into_a_model(account: Account) -> None:
    report = {
        "Std:JsonGet": {"PropertyFile": {"Get": "Steps.Prepare.PropertyFiles.R"}, "Path": "rows"}
    }
    out = {"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    metric = {"Get": "Steps.Train.FinalMetricDataList['rmse'].Value"}
    good = {"Type": "LessThanOrEqualTo", "LeftValue": metric, "RightValue": 0.25}
    enough = {"Type": "GreaterThan", "LeftValue": report, "RightValue": 10}
    files = [{"PropertyFileName": "R", "OutputName": "out", "FilePath": "report.json"}]
    too_few = {"Name": "TooFew", "Type": "Fail", "Arguments": {"ErrorMessage": "too few"}}
    bad = {"Name": "Bad", "Type": "Fail", "Arguments": {"ErrorMessage": "bad"}}
    arn = account.start(
        account.processing("Prepare", PREPARE, "12", PropertyFiles=files),
        {
            "Name": "Enough",
            "Type": "Condition",
            "Arguments": {
                "Conditions": [enough],
                "IfSteps": [account.training("Train", TRAIN, out)],
                "ElseSteps": [too_few],
            },
        },
        {
            "Name": "Good",
            "Type": "Condition",
            "Arguments": {"Conditions": [good], "IfSteps": [], "ElseSteps": [bad]},
        },
        Parameters=[{"Name": "Trees", "Type": "Integer", "DefaultValue": 7}],
    )
    execution, steps = account.finish(arn)
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    assert list(steps) == ["Prepare", "Enough", "Train", "Good"]
    job = steps["Train"]["Metadata"]["TrainingJob"]["Arn"].rsplit("/", 1)[-1]
    described = account.sagemaker.describe_training_job(TrainingJobName=job)
    key = described["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[-1]
    archive = account.s3.get_object(Bucket=account.bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = next(item for item in tar.getmembers() if item.name.endswith("model.json"))
        content = tar.extractfile(member)
        assert content is not None
        model = json.load(content)
    assert model == {"rows": 12, "name": "a name", "trees": "7", "execution": arn}


def test_exit_code_of_a_script_reaches_the_execution(account: Account) -> None:
    arn = account.start(
        account.processing("Prepare", FAILING),
        account.processing("Never", PREPARE, "1", DependsOn=["Prepare"]),
    )
    execution, steps = account.finish(arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    assert list(steps) == ["Prepare"]
    assert steps["Prepare"]["FailureReason"].startswith("AlgorithmError: ")
    assert "exit code: 3" in steps["Prepare"]["FailureReason"]


def test_stop_ends_the_process(account: Account) -> None:
    arn = account.start(account.processing("Sleep", SLEEPING))
    deadline = time.monotonic() + 20
    while not account.steps(arn).get("Sleep", {}).get("Metadata"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    began = time.monotonic()
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    execution, steps = account.finish(arn)
    assert execution["PipelineExecutionStatus"] == "Stopped"
    assert steps["Sleep"]["StepStatus"] == "Stopped"
    assert time.monotonic() - began < 20
    job = steps["Sleep"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    described = account.sagemaker.describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] == "Stopped"


def test_overhead_over_the_jobs_is_a_fraction_of_a_second(account: Account) -> None:
    arn = account.start(
        account.processing("A", PREPARE, "1"),
        account.processing("B", PREPARE, "2", DependsOn=["A"]),
    )
    execution, steps = account.finish(arn)
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps
    whole = (execution["LastModifiedTime"] - execution["CreationTime"]).total_seconds()
    jobs = 0.0
    for step in steps.values():
        job = step["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
        described = account.sagemaker.describe_processing_job(ProcessingJobName=job)
        ran = described["ProcessingEndTime"] - described["CreationTime"]
        jobs += ran.total_seconds()
    assert whole - jobs < 1.0
