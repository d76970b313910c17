"""Stacks taken down on local_aws; what it leaves deleted on moto."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws
from rich.console import Console

from mlops.account import Account, open_account
from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.platform.projects import list_projects_use
from mlops.platform.retained_data import Retained, delete_retained, monthly_cost
from mlops.platform.stacks import PLATFORM, find_stack
from mlops.platform.teardown import (
    TeardownOptions,
    TeardownPlan,
    plan_teardown,
    show_teardown,
    tear_down,
)

AGREED = TeardownOptions(yes=True, delay_seconds=0.05)
NOW = datetime.now(UTC)
TOPIC = {"Type": "AWS::SNS::Topic"}


class Seen(Display):
    """What a person would see; `answers` are typed one after the other."""

    def __init__(self, *answers: str) -> None:
        out, err = (Console(file=io.StringIO(), width=200) for _ in range(2))
        super().__init__(out=out, err=err, interactive=bool(answers))
        object.__setattr__(self, "answers", list(answers))

    def confirm(self, question: str, word: str = "yes") -> bool:
        self.say(question)
        return bool(self.answers.pop(0) == word)  # type: ignore[attr-defined]

    @property
    def results(self) -> str:
        return str(self.out.file.getvalue())  # type: ignore[attr-defined]


def create(account: Account, name: str, resources: Mapping[str, Any], **tags: str) -> None:
    cloudformation = account.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": resources}),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 0.05}
    )


def bucket(name: str) -> dict[str, Any]:
    return {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "RetainExceptOnCreate",
        "Properties": {"BucketName": name, "VersioningConfiguration": {"Status": "Enabled"}},
    }


def standing(account: Account) -> list[str]:
    cloudformation = account.client("cloudformation")
    return [kind.name for kind in PLATFORM if find_stack(cloudformation, kind.name)]


def buckets(account: Account) -> set[str]:
    return {each["Name"] for each in account.client("s3").list_buckets()["Buckets"]}


@pytest.fixture
def data(local_account: Account, request: pytest.FixtureRequest) -> str:
    """Name of a bucket with two versions of an object, in a protected server's stack.

    There are the network's stack and its too.
    """
    name = f"artifacts-{abs(hash(request.node.name))}"
    create(local_account, "sagemaker-mlflow-network", {"Vpc": TOPIC})
    create(local_account, "sagemaker-mlflow-server", {"Artifacts": bucket(name), "Service": TOPIC})
    local_account.client("cloudformation").update_termination_protection(
        StackName="sagemaker-mlflow-server", EnableTerminationProtection=True
    )
    for body in (b"1", b"2"):
        local_account.client("s3").put_object(Bucket=name, Key="model", Body=body)
    return name


def test_with_nothing_there_it_says_so(local_account: Account) -> None:
    plan = plan_teardown(local_account)
    seen = Seen()
    show_teardown(plan, AGREED, seen)
    tear_down(local_account, plan, replace(AGREED, yes=False), seen)
    assert seen.results == "none of the platform's stacks is there: nothing to take down\n"


def test_stacks_go_in_reverse_and_data_stays(local_account: Account, data: str) -> None:
    plan = plan_teardown(local_account)
    assert [each.stack.name for each in plan.stacks] == [
        "sagemaker-mlflow-server",
        "sagemaker-mlflow-network",
    ]
    (kept,) = plan.stacks[0].stays
    assert (kept.physical_id, kept.policy) == (data, "Retain")
    seen = Seen()
    show_teardown(plan, AGREED, seen)
    assert "sagemaker-mlflow-server: stays" in seen.results
    assert "Retain  0.023 USD a GB and month" in seen.results
    assert standing(local_account) == ["sagemaker-mlflow-network", "sagemaker-mlflow-server"]

    tear_down(local_account, plan, AGREED, seen)

    assert standing(local_account) == []
    assert data in buckets(local_account)


def test_who_does_not_agree_keeps_everything(local_account: Account, data: str) -> None:
    plan = plan_teardown(local_account)
    asked = replace(AGREED, yes=False)
    both = replace(AGREED, delete_data=True)
    with pytest.raises(DeploymentFailed, match="stopped: nothing was deleted"):
        tear_down(local_account, plan, asked, Seen("no"))
    with pytest.raises(InputError, match="not covered by --yes; pass --yes-delete-data"):
        tear_down(local_account, plan, both, Seen())
    with pytest.raises(InputError, match="the credentials are of account 123456789012"):
        tear_down(local_account, plan, replace(both, yes_delete_data="1"), Seen())
    with pytest.raises(DeploymentFailed, match="stopped: nothing was deleted"):
        tear_down(local_account, plan, both, Seen("yes"))
    assert standing(local_account) == ["sagemaker-mlflow-network", "sagemaker-mlflow-server"]

    agreed = Seen("yes", "sagemaker-mlflow-server")
    tear_down(local_account, plan, replace(both, yes=False), agreed)

    assert standing(local_account) == []
    assert data not in buckets(local_account)
    assert f"{data} (AWS::S3::Bucket): deleted, with all versions" in agreed.results


def test_one_stack_can_go_alone(local_account: Account, data: str) -> None:
    plan = plan_teardown(local_account, ["network"])
    tear_down(local_account, plan, AGREED, Seen())
    assert standing(local_account) == ["sagemaker-mlflow-server"]
    tear_down(local_account, plan_teardown(local_account), AGREED, Seen())
    assert standing(local_account) == []


def test_the_key_goes_last_and_its_question_says_what_else_it_encrypts(
    local_account: Account,
) -> None:
    kept = {"DeletionPolicy": "Retain"}
    key = {"Type": "AWS::KMS::Key", **kept, "Properties": {"KeyPolicy": {"Statement": []}}}
    resources = {"Key": key, "Alarms": {**TOPIC, **kept}}
    create(local_account, "sagemaker-mlflow-server", resources)
    plan = plan_teardown(local_account)
    assert [item.logical_id for item in plan.stacks[0].stays] == ["Alarms", "Key"]
    seen = Seen("yes", "no")
    both = replace(AGREED, yes=False, delete_data=True)
    with pytest.raises(DeploymentFailed):
        tear_down(local_account, plan, both, seen)
    assert "So will what else its key encrypts" in str(seen.err.file.getvalue())  # type: ignore[attr-defined]
    tear_down(local_account, plan, AGREED, seen)


def test_what_could_not_be_deleted_is_named(local_account: Account) -> None:
    held = {**bucket("held-bucket"), "DeletionPolicy": "Delete"}
    create(local_account, "sagemaker-mlflow-images", {"Held": held})
    s3 = local_account.client("s3")
    s3.put_object(Bucket="held-bucket", Key="source", Body=b"1")
    with pytest.raises(DeploymentFailed) as failed:
        tear_down(local_account, plan_teardown(local_account), AGREED, Seen())
    assert "sagemaker-mlflow-images ended in DELETE_FAILED:" in str(failed.value)
    assert "Held (AWS::S3::Bucket): " in str(failed.value)
    assert "run `mlops platform teardown` again" in str(failed.value)

    for version in s3.list_object_versions(Bucket="held-bucket")["Versions"]:
        s3.delete_object(Bucket="held-bucket", Key="source", VersionId=version["VersionId"])
    tear_down(local_account, plan_teardown(local_account), AGREED, Seen())
    assert standing(local_account) == []


def test_a_stack_that_was_only_reviewed_goes_too(local_account: Account) -> None:
    local_account.client("cloudformation").create_change_set(
        StackName="sagemaker-mlflow-network",
        ChangeSetName="forgotten",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"One": TOPIC}}),
    )
    tear_down(local_account, plan_teardown(local_account), AGREED, Seen())
    assert standing(local_account) == []


def test_what_uses_the_platform_is_named(local_account: Account) -> None:
    create(local_account, "sagemaker-project-housing", {"One": TOPIC})
    create(
        local_account,
        "SC-1-pp-2",
        {"One": TOPIC},
        **{"sagemaker:project-name": "prices"},
    )
    create(local_account, "somebody-else", {"One": TOPIC})
    plan = plan_teardown(local_account)
    assert sorted(plan.blockers) == [
        "stack SC-1-pp-2 (CREATE_COMPLETE)",
        "stack sagemaker-project-housing (CREATE_COMPLETE)",
    ]
    seen = Seen()
    show_teardown(plan, AGREED, seen)
    assert "in the way: stack sagemaker-project-housing" in seen.results


def test_endpoints_of_projects_are_in_the_way(local_account: Account) -> None:
    sagemaker = local_account.client("sagemaker")
    place = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/"
    tags = {"housing-prod": "sagemaker:project-name", "other": "team"}
    times = {"CreationTime": NOW, "LastModifiedTime": NOW, "EndpointStatus": "InService"}
    with Stubber(sagemaker) as stubber:
        endpoints = [{"EndpointName": n, "EndpointArn": place + n, **times} for n in tags]
        stubber.add_response("list_endpoints", {"Endpoints": endpoints})
        for name, key in tags.items():
            answer = {"Tags": [{"Key": key, "Value": "housing"}]}
            stubber.add_response("list_tags", answer, {"ResourceArn": place + name})
        used = list_projects_use(local_account)
    assert "endpoint housing-prod (InService)" in used
    assert not [each for each in used if "other" in each]


def test_protection_of_database_and_load_balancer_is_taken_off_first(
    local_account: Account,
) -> None:
    create(local_account, "sagemaker-mlflow-server", {"One": TOPIC})
    (planned,) = plan_teardown(local_account).stacks
    balancer = Retained(
        logical_id="LoadBalancer",
        type="AWS::ElasticLoadBalancingV2::LoadBalancer",
        physical_id="arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/mlflow/1",
        policy="Delete",
    )
    database = Retained(
        logical_id="Database",
        type="AWS::RDS::DBInstance",
        physical_id="mlflow",
        policy="Snapshot",
    )
    plan = TeardownPlan(stacks=(replace(planned, goes=(balancer,), stays=(database,)),))
    rds, elbv2 = local_account.client("rds"), local_account.client("elbv2")
    with Stubber(rds) as databases, Stubber(elbv2) as balancers:
        databases.add_response(
            "modify_db_instance",
            {},
            {
                "DBInstanceIdentifier": "mlflow",
                "DeletionProtection": False,
                "ApplyImmediately": True,
            },
        )
        balancers.add_response(
            "modify_load_balancer_attributes",
            {},
            {
                "LoadBalancerArn": balancer.physical_id,
                "Attributes": [{"Key": "deletion_protection.enabled", "Value": "false"}],
            },
        )
        tear_down(local_account, plan, AGREED, Seen())
        databases.assert_no_pending_responses()
        balancers.assert_no_pending_responses()
    assert standing(local_account) == []


@pytest.fixture(scope="module")
def mocked(local_account: Account) -> Iterator[Account]:
    """Another account: moto's own, which local_aws answers nothing of."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("AWS_ENDPOINT_URL")
        with mock_aws():
            yield open_account("eu-west-1", None)


def test_what_holds_data_is_deleted_each_in_its_way(mocked: Account) -> None:
    rds, ecr, kms = (mocked.client(name) for name in ("rds", "ecr", "kms"))
    rds.create_db_instance(
        DBInstanceIdentifier="old",
        DBInstanceClass="db.t4g.micro",
        Engine="mysql",
        AllocatedStorage=20,
        MasterUsername="admin",
        MasterUserPassword="not-a-secret",
    )
    rds.create_db_snapshot(DBInstanceIdentifier="old", DBSnapshotIdentifier="last")
    ecr.create_repository(repositoryName="server")
    ecr.put_image(
        repositoryName="server",
        imageManifest=json.dumps({"schemaVersion": 2}),
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageTag="1",
    )
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    mocked.client("logs").create_log_group(logGroupName="/server")
    secret = mocked.client("secretsmanager").create_secret(Name="login", SecretString="x")["ARN"]

    def delete(kind: str, physical_id: str) -> str:
        item = Retained(logical_id="L", type=kind, physical_id=physical_id, policy="Retain")
        return delete_retained(mocked, item).partition("): ")[2]

    assert delete("AWS::RDS::DBInstance", "old") == "snapshots deleted: last"
    assert rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []
    assert delete("AWS::ECR::Repository", "server") == "deleted, with its images"
    assert "will be deleted in 30 days" in delete("AWS::KMS::Key", key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    with Stubber(kms) as again:  # moto schedules it twice
        again.add_client_error("schedule_key_deletion", "KMSInvalidStateException")
        assert delete("AWS::KMS::Key", key) == "was gone already"
    assert delete("AWS::Logs::LogGroup", "/server") == "deleted"
    assert delete("AWS::SecretsManager::Secret", secret) == "will be deleted in 30 days"
    iam = mocked.client("iam")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::a/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_role(RoleName="app", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName="app", PolicyName="artifacts", PolicyDocument=document)
    assert delete("AWS::IAM::Role", "app") == "deleted"
    assert delete("AWS::IAM::Role", "app") == "was gone already"
    app = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-0A1B2C3D4E5F"
    with Stubber(mocked.client("sagemaker")) as apps:  # moto has none
        apps.add_response("delete_mlflow_app", {"Arn": app}, {"Arn": app})
        assert "with all its runs and models" in delete("AWS::SageMaker::MlflowApp", app)
        apps.add_client_error("delete_mlflow_app", "ResourceNotFound")
        assert delete("AWS::SageMaker::MlflowApp", app) == "was gone already"
    for kind in ("AWS::ECR::Repository", "AWS::S3::Bucket", "AWS::Logs::LogGroup"):
        assert delete(kind, "none-of-that-name") == "was gone already"
    assert delete("AWS::S3::BucketPolicy", "x") == "goes with its bucket"
    assert "delete it by hand" in delete("AWS::EC2::VPC", "vpc-1")


def test_a_refused_deletion_is_not_taken_for_gone(mocked: Account) -> None:
    ecr = mocked.client("ecr")
    item = Retained(
        logical_id="L", type="AWS::ECR::Repository", physical_id="server", policy="Retain"
    )
    with Stubber(ecr) as stubber:
        stubber.add_client_error("delete_repository", "AccessDeniedException")
        with pytest.raises(ecr.exceptions.ClientError, match="AccessDenied"):
            delete_retained(mocked, item)


def test_costs_are_told_for_all_that_is_kept() -> None:
    kinds = {"AWS::KMS::Key": "1 USD a month", "AWS::SNS::Topic": "nothing"}
    for kind, told in kinds.items():
        item = Retained(logical_id="L", type=kind, physical_id="p", policy="Retain")
        assert monthly_cost(item) == told
