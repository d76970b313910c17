"""What stacks leave behind: what it costs to keep, and how to delete it after all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from mlops.account import Account, error_code

# The longest that KMS waits, in which CancelKeyDeletion still saves what the key has encrypted.
_KEY_WAITING_DAYS = 30
_PRICES = {
    "AWS::ECR::Repository": "0.10 USD a GB and month",
    "AWS::KMS::Key": "1 USD a month",
    "AWS::Logs::LogGroup": "0.03 USD a GB and month",
    "AWS::RDS::DBInstance": "snapshot: 0.095 USD a GB and month",
    "AWS::S3::Bucket": "0.023 USD a GB and month",
    "AWS::SecretsManager::Secret": "0.40 USD a month",
}


@dataclass(frozen=True, kw_only=True)
class Retained:
    """A resource of a stack; `policy` is Delete, Retain or Snapshot."""

    logical_id: str
    type: str
    physical_id: str
    policy: str


def monthly_cost(item: Retained) -> str:
    """What it costs to keep, by the price list of us-east-1 in 2026: an estimate."""
    return _PRICES.get(item.type, "nothing")


def delete_retained(account: Account, item: Retained) -> str:
    """Delete what the deleted stack has left; a line that says what was done.

    What is gone already is fine. What there is no way for is named, to be deleted by hand.
    """
    what = f"{item.physical_id} ({item.type})"
    delete = _DELETERS.get(item.type)
    if item.type == "AWS::S3::BucketPolicy":
        return f"{what}: goes with its bucket"
    if delete is None:
        return f"{what}: stays, there is no way here to delete it; delete it by hand"
    try:
        return f"{what}: {delete(account, item.physical_id)}"
    except ClientError as err:
        if error_code(err) not in _ABSENT:
            raise
        return f"{what}: was gone already"


def _delete_bucket(account: Account, name: str) -> str:
    bucket = account.session.resource("s3").Bucket(name)
    bucket.object_versions.delete()
    bucket.delete()
    return "deleted, with all versions of its objects"


def _delete_images(account: Account, name: str) -> str:
    account.client("ecr").delete_repository(repositoryName=name, force=True)
    return "deleted, with its images"


def _delete_key(account: Account, key_id: str) -> str:
    account.client("kms").schedule_key_deletion(KeyId=key_id, PendingWindowInDays=_KEY_WAITING_DAYS)
    return (
        f"will be deleted in {_KEY_WAITING_DAYS} days; until then "
        f"`aws kms cancel-key-deletion --key-id {key_id}` saves it"
    )


def _delete_snapshots(account: Account, instance: str) -> str:
    rds = account.client("rds")
    deleted = []
    for page in rds.get_paginator("describe_db_snapshots").paginate(
        DBInstanceIdentifier=instance, SnapshotType="manual"
    ):
        for snapshot in page["DBSnapshots"]:
            name = snapshot["DBSnapshotIdentifier"]
            rds.get_waiter("db_snapshot_available").wait(DBSnapshotIdentifier=name)
            rds.delete_db_snapshot(DBSnapshotIdentifier=name)
            deleted.append(name)
    return f"snapshots deleted: {', '.join(deleted) or 'there were none'}"


def _delete_log_group(account: Account, name: str) -> str:
    account.client("logs").delete_log_group(logGroupName=name)
    return "deleted"


def _delete_secret(account: Account, arn: str) -> str:
    account.client("secretsmanager").delete_secret(SecretId=arn)
    return "will be deleted in 30 days"


def _delete_mlflow_app(account: Account, arn: str) -> str:
    account.client("sagemaker").delete_mlflow_app(Arn=arn)
    return "will be deleted, with all its runs and models"


def _delete_role(account: Account, name: str) -> str:
    role = account.session.resource("iam").Role(name)
    for policy in role.policies.all():
        policy.delete()
    role.delete()
    return "deleted"


_DELETERS: Mapping[str, Callable[[Account, str], str]] = {
    "AWS::ECR::Repository": _delete_images,
    "AWS::IAM::Role": _delete_role,
    "AWS::KMS::Key": _delete_key,
    "AWS::Logs::LogGroup": _delete_log_group,
    "AWS::RDS::DBInstance": _delete_snapshots,
    "AWS::S3::Bucket": _delete_bucket,
    "AWS::SageMaker::MlflowApp": _delete_mlflow_app,
    "AWS::SecretsManager::Secret": _delete_secret,
}
_ABSENT = {
    "DBSnapshotNotFound",
    "KMSInvalidStateException",
    "NoSuchBucket",
    "NoSuchEntity",
    "NotFoundException",
    "RepositoryNotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
}
