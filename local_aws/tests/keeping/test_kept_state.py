"""`local-aws up --keep`, killed: what was answered is there again."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import BotoCoreError
from conftest import SERVER
from pushed import git_in, push_commit
from serving_image import put_image

from local_aws.remote import client_of
from local_aws.state import StateFolder

TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": ["sagemaker.amazonaws.com", "codebuild.amazonaws.com"]},
        "Action": "sts:AssumeRole",
    },
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}
STACK = """
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      ExecutionRoleArn: !Sub "arn:aws:iam::${AWS::AccountId}:role/local-execution"
      PrimaryContainer:
        Image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/stand-in:1
        ModelDataUrl: s3://models/model.tar.gz
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      ProductionVariants:
        - VariantName: AllTraffic
          ModelName: !GetAtt Model.ModelName
          InstanceType: ml.m5.large
          InitialInstanceCount: 1
          InitialVariantWeight: 1
  Endpoint:
    Type: AWS::SageMaker::Endpoint
    Properties:
      EndpointName: served
      EndpointConfigName: !GetAtt Config.EndpointConfigName
Outputs:
  Name: {Value: !GetAtt Endpoint.EndpointName}
"""


class Account:
    """A local_aws of its own process, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = ""
        self._process: subprocess.Popen[str] | None = None

    def up(self, *arguments: str) -> None:
        output = self.folder.parent / "output"
        with output.open("w") as file:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "local_aws.cli", "up", "--no-mlflow"),
                    *("--state-dir", str(self.folder), *(arguments or ("--keep",))),
                ],
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        deadline = time.monotonic() + 60
        while True:
            running = StateFolder(self.folder).running()
            self.printed = output.read_text()
            if running is not None and "Ctrl-C ends it" in self.printed:
                break
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.printed)
            time.sleep(0.05)
        self.environment = running.environment

    def client(self, service: str) -> Any:
        return client_of(self.environment, service)

    def kill(self) -> None:
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        psutil.wait_procs(children, 20)

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)


@pytest.fixture
def account(tmp_path) -> Iterator[Account]:
    account = Account(tmp_path / "state")
    account.up()
    yield account
    account.end()


def put_model(account: Account, mode: str = "", key: str = "model.tar.gz") -> None:
    command = [sys.executable, "/opt/ml/model/serve.py", "{port}"]
    with contextlib.suppress(account.client("ecr").exceptions.RepositoryAlreadyExistsException):
        put_image(account, "stand-in", command=command)
    account.client("s3").create_bucket(Bucket="models")
    buffer = io.BytesIO()
    script = SERVER.format(mode=mode, name="kept").encode()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("serve.py")
        member.size = len(script)
        archive.addfile(member, io.BytesIO(script))
    account.client("s3").put_object(Bucket="models", Key=key, Body=buffer.getvalue())


def described(account: Account) -> dict[str, Any]:
    """What a person would look for, ids and times included."""

    def calls() -> Iterator[tuple[str, Any]]:
        client = account.client
        yield "buckets", client("s3").list_buckets()["Buckets"]
        yield "versions", client("s3").list_object_versions(Bucket="versioned")["Versions"]
        yield "markers", client("s3").list_object_versions(Bucket="versioned")["DeleteMarkers"]
        yield "tags", client("s3").get_object_tagging(Bucket="versioned", Key="tagged")["TagSet"]
        yield "parameter", client("ssm").get_parameter(Name="/a", WithDecryption=True)["Parameter"]
        yield "secret", client("secretsmanager").describe_secret(SecretId="s")["ARN"]
        yield "value", client("secretsmanager").get_secret_value(SecretId="s")["SecretString"]
        yield "role", client("iam").get_role(RoleName="r")["Role"]
        yield "policy", client("iam").get_role_policy(RoleName="r", PolicyName="p")
        yield "image", client("ecr").describe_images(repositoryName="images")["imageDetails"]
        yield "key", client("kms").describe_key(KeyId="alias/k")["KeyMetadata"]
        yield "queue", client("sqs").get_queue_url(QueueName="q")["QueueUrl"]
        yield "topic", client("sns").list_topics()["Topics"]
        yield "log group", client("logs").describe_log_groups()["logGroups"]
        yield "alarm", client("cloudwatch").describe_alarms()["MetricAlarms"]
        yield "repository", client("codecommit").get_repository(repositoryName="code")
        yield "branch", client("codecommit").get_branch(repositoryName="code", branchName="main")
        yield "project", client("codebuild").batch_get_projects(names=["builder"])["projects"]
        yield "rule", client("events").describe_rule(Name="rule")
        yield "targets", client("events").list_targets_by_rule(Rule="rule")["Targets"]
        yield "schedule", client("scheduler").get_schedule(Name="nightly")
        yield "pipeline", client("sagemaker").describe_pipeline(PipelineName="p")
        yield "road", client("codepipeline").get_pipeline(name="road")
        yield "stack", client("cloudformation").describe_stacks()["Stacks"]
        yield "resources", client("cloudformation").list_stack_resources(StackName="st")
        yield "events", client("cloudformation").describe_stack_events(StackName="st")
        yield "model", client("sagemaker").list_models()["Models"]

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            left_out = ("ResponseMetadata", "storedBytes")  # lines of logs are not kept
            return {k: bare(v) for k, v in value.items() if k not in left_out}
        return [bare(one) for one in value] if isinstance(value, list) else value

    return {name: bare(answer) for name, answer in calls()}


def fill(account: Account, folder: Path) -> None:
    client = account.client
    role = client("iam").create_role(
        RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST), Tags=[{"Key": "a", "Value": "b"}]
    )["Role"]["Arn"]
    client("iam").put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(POLICY))
    s3 = client("s3")
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        s3.put_object(Bucket="versioned", Key="k", Body=body, Metadata={"m": "v"})
    s3.put_object(Bucket="versioned", Key="tagged", Body=b"t", Tagging="a=b")
    s3.put_object(Bucket="versioned", Key="deleted", Body=b"d")
    s3.delete_object(Bucket="versioned", Key="deleted")
    s3.upload_fileobj(io.BytesIO(bytes(9 << 20)), "versioned", "in-parts")
    client("ssm").put_parameter(Name="/a", Value="first", Type="SecureString")
    client("ssm").put_parameter(Name="/a", Value="second", Type="SecureString", Overwrite=True)
    client("secretsmanager").create_secret(Name="s", SecretString="hush")
    client("ecr").create_repository(repositoryName="images")
    client("ecr").put_image(
        repositoryName="images",
        imageManifest=json.dumps({"schemaVersion": 2, "annotations": {"a": "b"}}),
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageTag="1",
    )
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    client("kms").create_alias(AliasName="alias/k", TargetKeyId=key)
    client("sqs").create_queue(QueueName="q")
    client("sns").create_topic(Name="t")
    client("logs").create_log_group(logGroupName="/g")
    client("cloudwatch").put_metric_alarm(
        AlarmName="a",
        Namespace="n",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    url = client("codecommit").create_repository(repositoryName="code")["repositoryMetadata"]
    push_commit(url["cloneUrlHttp"], {"file": b"content"}, **account.environment)
    client("codebuild").create_project(
        name="builder",
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {}\n"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=role,
    )
    client("events").put_rule(Name="rule", EventPattern='{"source": ["x"]}')
    client("events").put_targets(
        Rule="rule", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:q"}]
    )
    for principal in ("scheduler", "codepipeline"):
        trust = json.loads(json.dumps(TRUST).replace("codebuild", principal))
        client("iam").create_role(RoleName=principal, AssumeRolePolicyDocument=json.dumps(trust))
    client("scheduler").create_schedule(
        Name="nightly",
        ScheduleExpression="cron(0 3 * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": "arn:aws:sqs:us-east-1:123456789012:q",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
        },
    )
    step = {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "over"}}
    client("sagemaker").create_pipeline(
        PipelineName="p",
        ClientRequestToken="t" * 32,
        RoleArn=role,
        PipelineDefinition=json.dumps({"Version": "2020-12-01", "Steps": [step]}),
    )
    client("codepipeline").create_pipeline(pipeline=road())
    put_model(account)
    client("cloudformation").create_stack(StackName="st", TemplateBody=STACK)
    client("cloudformation").get_waiter("stack_create_complete").wait(
        StackName="st", WaiterConfig={"Delay": 1}
    )


def road() -> dict[str, Any]:
    def action(category: str, provider: str, **more: Any) -> dict[str, Any]:
        kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
        return {"name": provider, "actionTypeId": kind, **more}

    configuration = {
        "RepositoryName": "code",
        "BranchName": "absent",
        "PollForSourceChanges": "false",
    }
    source = action(
        "Source",
        "CodeCommit",
        configuration=configuration,
        outputArtifacts=[{"name": "Source"}],
    )
    return {
        "name": "road",
        "roleArn": "arn:aws:iam::123456789012:role/codepipeline",
        "artifactStore": {"type": "S3", "location": "versioned"},
        "stages": [
            {"name": "Source", "actions": [source]},
            {"name": "Ask", "actions": [action("Approval", "Manual")]},
        ],
    }


def until(attempt: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if value := attempt():
            return value
        time.sleep(0.1)
    raise AssertionError("it did not come about")


def answer(account: Account) -> dict[str, Any]:
    runtime = account.client("sagemaker-runtime")
    body = runtime.invoke_endpoint(EndpointName="served", Body=b"x")["Body"].read()
    return dict(json.loads(body))


def test_all_of_it_is_there_after_kill_9_and_the_endpoint_answers(account, tmp_path):
    fill(account, tmp_path)
    before = described(account)
    account.kill()
    account.up()

    assert described(account) == before
    assert "# brought back: 3 buckets, " in account.printed
    assert "# not brought back: executions, builds and jobs" in account.printed
    assert "# endpoints start again: served" in account.printed
    sagemaker = account.client("sagemaker")
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName="served", WaiterConfig={"Delay": 1}
    )
    assert answer(account)["name"] == "kept"
    s3 = account.client("s3")
    (first, *_) = [v for v in before["versions"] if v["Key"] == "k" and not v["IsLatest"]]
    old = s3.get_object(Bucket="versioned", Key="k", VersionId=first["VersionId"])
    assert (old["Body"].read(), old["Metadata"]) == (b"one", {"m": "v"})
    assert s3.get_object(Bucket="versioned", Key="in-parts")["Body"].read() == bytes(9 << 20)
    # And it lives: the stack can be changed, the repository pushed to.
    url = before["repository"]["repositoryMetadata"]["cloneUrlHttp"]
    cloned = git_in(tmp_path, "clone", "-q", url, "clone", **account.environment)
    assert cloned.returncode == 0, cloned.stderr
    assert (tmp_path / "clone" / "file").read_text() == "content"
    account.client("cloudformation").update_stack(
        StackName="st",
        TemplateBody=STACK.replace("InitialInstanceCount: 1", "InitialInstanceCount: 2"),
    )
    account.client("cloudformation").get_waiter("stack_update_complete").wait(
        StackName="st", WaiterConfig={"Delay": 1}
    )
    account.client("cloudformation").delete_stack(StackName="st")
    account.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName="st", WaiterConfig={"Delay": 1}
    )


def test_a_stack_in_progress_is_said_to_have_failed_and_can_be_deleted(account):
    put_model(account, mode="sick")
    account.client("cloudformation").create_stack(StackName="st", TemplateBody=STACK)

    def endpoint_is_made() -> bool:
        events = account.client("cloudformation").describe_stack_events(StackName="st")
        return any(
            event["LogicalResourceId"] == "Endpoint" and event.get("PhysicalResourceId")
            for event in events["StackEvents"]
        )

    until(endpoint_is_made)
    time.sleep(1.5)  # the record of what a deployment does is a second old at most
    account.kill()
    account.up()

    assert "stack st was in CREATE_IN_PROGRESS, it is CREATE_FAILED now" in account.printed
    cloudformation = account.client("cloudformation")
    (stack,) = cloudformation.describe_stacks()["Stacks"]
    assert stack["StackStatus"] == "CREATE_FAILED"
    assert stack["StackStatusReason"] == "local_aws ended during CREATE_IN_PROGRESS"
    cloudformation.delete_stack(StackName="st")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName="st", WaiterConfig={"Delay": 1}
    )
    assert account.client("sagemaker").list_endpoints()["Endpoints"] == []


def test_an_endpoint_that_cannot_be_brought_back_is_said(account):
    put_model(account)
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(StackName="st", TemplateBody=STACK)
    wait = {"StackName": "st", "WaiterConfig": {"Delay": 1}}
    cloudformation.get_waiter("stack_create_complete").wait(**wait)
    account.client("s3").delete_object(Bucket="models", Key="model.tar.gz")
    account.kill()
    account.up()

    output = account.folder.parent / "output"
    until(lambda: "endpoint served could not be brought back: a registry" in output.read_text())
    endpoint = account.client("sagemaker").describe_endpoint(EndpointName="served")
    assert endpoint["EndpointStatus"] == "Failed"


def test_an_update_broken_off_can_be_made_again(account):
    put_model(account)
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(StackName="st", TemplateBody=STACK)
    wait = {"StackName": "st", "WaiterConfig": {"Delay": 1}}
    cloudformation.get_waiter("stack_create_complete").wait(**wait)
    put_model(account, mode="sick", key="other.tar.gz")
    other = STACK.replace("model.tar.gz", "other.tar.gz")
    cloudformation.update_stack(StackName="st", TemplateBody=other)
    until(
        lambda: (
            account.client("sagemaker").describe_endpoint(EndpointName="served")["EndpointStatus"]
            == "Updating"
        )
    )
    time.sleep(1.5)
    account.kill()
    account.up()

    assert "stack st was in UPDATE_IN_PROGRESS, it is UPDATE_FAILED now: update" in account.printed
    account.client("sagemaker").get_waiter("endpoint_in_service").wait(
        EndpointName="served", WaiterConfig={"Delay": 1}
    )
    assert answer(account)["name"] == "kept"  # the model that served
    put_model(account, key="third.tar.gz")
    cloudformation = account.client("cloudformation")
    cloudformation.update_stack(
        StackName="st", TemplateBody=STACK.replace("model.tar.gz", "third.tar.gz")
    )
    cloudformation.get_waiter("stack_update_complete").wait(**wait)


def test_every_answered_put_survives_a_kill_in_the_middle(account):
    account.client("s3").create_bucket(Bucket="bucket")
    answered: list[str] = []

    def put(worker: int) -> None:
        s3 = account.client("s3")
        with contextlib.suppress(BotoCoreError):
            for number in itertools.count():
                key = f"{worker}/{number}"
                s3.put_object(Bucket="bucket", Key=key, Body=key.encode())
                if number % 3 == 2:
                    s3.put_object(Bucket="bucket", Key="shared", Body=key.encode())
                answered.append(key)

    workers = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    until(lambda: len(answered) > 300)
    account.kill()
    for worker in workers:
        worker.join()
    account.up()

    s3 = account.client("s3")
    assert len(answered) > 300
    for key in answered:
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == key.encode()
    assert s3.get_object(Bucket="bucket", Key="shared")["Body"].read()


def test_a_kept_state_is_not_left_behind_by_mistake(account):
    account.client("ssm").put_parameter(Name="/a", Value="b", Type="String")
    port = account.environment["AWS_ENDPOINT_URL"].rpartition(":")[2]
    account.end()

    with pytest.raises(AssertionError, match=r"is kept. Go on with it: `local-aws up --keep`"):
        account.up("--port", "0")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(port)))
        other.listen()
        account.up()
        assert f"AWS was at port {port}, which is taken" in account.printed
        assert account.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "b"
        account.end()
    account.up("--no-keep")
    assert account.client("ssm").get_parameters(Names=["/a"])["Parameters"] == []
    assert (account.folder / "previous" / "kept" / "ssm.state").exists()


def test_a_state_of_another_version_is_named_and_left_alone(account):
    account.end()
    damaged = account.folder / "kept" / "iam.state"
    damaged.write_bytes(b"not a pickle")

    with pytest.raises(AssertionError, match=r"can't be read: .* written by local-aws .*, moto "):
        account.up()
    assert damaged.read_bytes() == b"not a pickle"
