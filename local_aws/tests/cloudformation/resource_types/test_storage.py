"""Buckets, their policies and image repositories in stacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

BUCKET: dict[str, Any] = {
    "Type": "AWS::S3::Bucket",
    "Properties": {
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {
                    "BucketKeyEnabled": "true",
                    "ServerSideEncryptionByDefault": {
                        "SSEAlgorithm": "aws:kms",
                        "KMSMasterKeyID": "some-key",
                    },
                }
            ]
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "BlockPublicPolicy": True},
        "VersioningConfiguration": {"Status": "Enabled"},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "tidy",
                    "Status": "Enabled",
                    "Prefix": "tmp/",
                    "ExpirationInDays": "30",
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
        "Tags": [{"Key": "kind", "Value": "own"}],
    },
}


def test_a_bucket_has_the_settings_of_its_properties(account: Any) -> None:
    stack = account.stack({"Bucket": BUCKET})
    tags = [{"Key": "team", "Value": "ml"}, {"Key": "kind", "Value": "stack"}]
    assert stack.create(Tags=tags) == "CREATE_COMPLETE", stack.reasons()

    s3, bucket = account.client("s3"), {"Bucket": stack.ids()["Bucket"]}
    assert bucket["Bucket"].startswith(f"{stack.name}-bucket-")
    encryption = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["BucketKeyEnabled"] is True
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": "some-key",
    }
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    block = s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"]
    assert block["BlockPublicAcls"] is True
    controls = s3.get_bucket_ownership_controls(**bucket)["OwnershipControls"]
    assert controls == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert {t["Key"]: t["Value"] for t in s3.get_bucket_tagging(**bucket)["TagSet"]} == {
        "team": "ml",
        "kind": "own",
    }
    (rule,) = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"]
    assert rule["ID"] == "tidy"
    assert rule["Expiration"]["Days"] == 30
    assert rule["Filter"] == {"Prefix": "tmp/"}
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 90
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_a_bucket_is_updated_in_place_and_replaced_for_another_name(account: Any) -> None:
    stack = account.stack({"Bucket": json.loads(json.dumps(BUCKET))})
    stack.create()
    s3, before = account.client("s3"), stack.ids()["Bucket"]

    properties = stack.resources["Bucket"]["Properties"]
    del properties["LifecycleConfiguration"]
    properties["VersioningConfiguration"]["Status"] = "Suspended"
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    assert stack.ids()["Bucket"] == before
    assert s3.get_bucket_versioning(Bucket=before)["Status"] == "Suspended"
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=before)

    properties["BucketName"] = f"{stack.name}-renamed"
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    assert stack.ids()["Bucket"] == f"{stack.name}-renamed"
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=before)


def test_a_bucket_with_objects_is_not_deleted(account: Any) -> None:
    stack = account.stack({"Bucket": {"Type": "AWS::S3::Bucket"}})
    stack.create()
    s3, name = account.client("s3"), stack.ids()["Bucket"]
    s3.put_object(Bucket=name, Key="kept", Body=b"1")

    assert stack.delete() == "DELETE_FAILED"
    assert "not empty" in stack.reasons()

    s3.delete_object(Bucket=name, Key="kept")
    assert stack.delete() == "DELETE_COMPLETE"
    assert stack.delete() == "DELETE_COMPLETE"


def test_a_bucket_that_exists_is_not_taken_over(account: Any) -> None:
    first = account.stack({"Bucket": {"Type": "AWS::S3::Bucket"}})
    first.create()
    name = first.ids()["Bucket"]
    second = account.stack(
        {"Again": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}}
    )

    assert second.create() == "ROLLBACK_COMPLETE"
    assert f"{name} already exists" in second.reasons()
    account.client("s3").head_bucket(Bucket=name)


def test_properties_without_effect_here_are_refused_before_anything_is_made(account: Any) -> None:
    stack = account.stack(
        {
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "NotificationConfiguration": {
                        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
                    }
                },
            }
        }
    )
    with pytest.raises(
        ClientError, match=r"does not support the property NotificationConfiguration of AWS::S3"
    ):
        stack.create()
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()


def test_a_bucket_policy_comes_changes_and_goes(account: Any) -> None:
    policy: dict[str, Any] = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": {"Fn::GetAtt": "Bucket.Arn"},
                "Condition": {"Bool": {"aws:SecureTransport": False}},
            }
        ],
    }
    stack = account.stack(
        {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Policy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": policy},
            },
        }
    )
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()
    s3, name = account.client("s3"), stack.ids()["Bucket"]
    put = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    assert put["Statement"][0]["Resource"] == f"arn:aws:s3:::{name}"

    policy["Statement"][0]["Action"] = "s3:GetObject"
    assert stack.update() == "UPDATE_COMPLETE"
    put = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    assert put["Statement"][0]["Action"] == "s3:GetObject"

    del stack.resources["Policy"]
    assert stack.update() == "UPDATE_COMPLETE"
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=name)


def test_an_image_repository_keeps_its_images_when_an_update_changes_it(account: Any) -> None:
    rules = {
        "rules": [
            {
                "rulePriority": 1,
                "action": {"type": "expire"},
                "selection": {
                    "tagStatus": "any",
                    "countType": "imageCountMoreThan",
                    "countNumber": 10,
                },
            }
        ]
    }
    stack = account.stack(
        {
            "Images": {
                "Type": "AWS::ECR::Repository",
                "Properties": {
                    "ImageTagMutability": "IMMUTABLE",
                    "ImageScanningConfiguration": {"ScanOnPush": True},
                    "LifecyclePolicy": {"LifecyclePolicyText": json.dumps(rules)},
                },
            }
        },
        Outputs={"Uri": {"Value": {"Fn::GetAtt": "Images.RepositoryUri"}}},
    )
    assert stack.create() == "CREATE_COMPLETE", stack.reasons()
    ecr, name = account.client("ecr"), stack.ids()["Images"]
    assert stack.outputs()["Uri"].endswith(f"/{name}")
    (made,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]) == rules

    properties = stack.resources["Images"]["Properties"]
    properties["ImageTagMutability"] = "MUTABLE"
    properties["EmptyOnDelete"] = True
    del properties["LifecyclePolicy"]
    assert stack.update() == "UPDATE_COMPLETE", stack.reasons()
    assert stack.ids()["Images"] == name
    (made,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert made["imageTagMutability"] == "MUTABLE"
    with pytest.raises(ClientError, match="LifecyclePolicyNotFound"):
        ecr.get_lifecycle_policy(repositoryName=name)

    assert stack.delete() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="RepositoryNotFound"):
        ecr.describe_repositories(repositoryNames=[name])
