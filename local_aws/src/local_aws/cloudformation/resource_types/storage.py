"""S3 buckets and their policies, ECR repositories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.resource_types.api_resource import ApiResource
from local_aws.cloudformation.resource_types.calls import call, call_unless_gone
from local_aws.cloudformation.resource_types.described import DescribedType, changed
from local_aws.cloudformation.resource_types.lifecycle import lifecycle_rule
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ProvisioningError,
    ResourceType,
)
from local_aws.cloudformation.resource_types.tags import tag_parameter, tags_in

_SUPPORTED = (
    *("BucketName", "BucketEncryption", "VersioningConfiguration", "OwnershipControls"),
    *("PublicAccessBlockConfiguration", "LifecycleConfiguration", "Tags"),
)


@dataclass(frozen=True, kw_only=True)
class _Bucket(DescribedType):
    """A bucket with its settings. One that still holds objects is not deleted."""

    def problems(self, provisioner: Provisioner, raw: Mapping[str, Any]) -> list[str]:
        found = super().problems(provisioner, raw)
        return found or [
            f"local_aws does not support the property {name} of {self.type}"
            for name in sorted(set(raw) - set(_SUPPORTED))
        ]

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        chosen = self.custom_name(properties) or name.lower()
        s3 = by.client("s3")
        try:
            by.onlooker("s3").head_bucket(Bucket=chosen)
        except ClientError:
            s3.create_bucket(Bucket=chosen)
        else:
            raise ProvisioningError(f"{chosen} already exists (HandlerErrorCode: AlreadyExists)")
        host = f"{chosen}.s3.amazonaws.com"
        regional = f"{chosen}.s3.{by.own.region}.amazonaws.com"
        dual = f"{chosen}.s3.dualstack.{by.own.region}.amazonaws.com"
        return Physical(
            chosen,
            {
                "Arn": f"arn:aws:s3:::{chosen}",
                "DomainName": host,
                "RegionalDomainName": regional,
                "DualStackDomainName": dual,
            },
        )

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        s3, differing = by.client("s3"), changed(old, new)
        bucket = {"Bucket": physical.id}
        for name, (put, delete, parameters) in _SETTINGS.items():
            if name not in differing:
                continue
            if name in new:
                call(s3, put, {**bucket, **parameters(new[name])})
            else:
                call_unless_gone(s3, delete, bucket)
        if "VersioningConfiguration" in differing:
            # Versioning that was on can be suspended, never be undone.
            status = new.get("VersioningConfiguration", {}).get("Status", "Suspended")
            s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": status})
        if tags_in(old) != tags_in(new):
            shape = s3.meta.service_model.shape_for("Tagging").members["TagSet"]
            if tags_in(new):
                tag_set = tag_parameter(shape, tags_in(new))
                s3.put_bucket_tagging(**bucket, Tagging={"TagSet": tag_set})
            else:
                call_unless_gone(s3, "DeleteBucketTagging", bucket)

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:  # noqa: ARG002
        call_unless_gone(by.client("s3"), "DeleteBucket", {"Bucket": physical.id})


@dataclass(frozen=True, kw_only=True)
class _BucketPolicy(DescribedType):
    """The policy of one bucket, which is also its id."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:  # noqa: ARG002
        self._put(by, properties)
        return Physical(properties["Bucket"])

    def update(
        self,
        by: Provisioner,
        physical: Physical,  # noqa: ARG002
        old: Mapping[str, Any],  # noqa: ARG002
        new: Mapping[str, Any],
    ) -> None:
        self._put(by, new)

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:  # noqa: ARG002
        call_unless_gone(by.client("s3"), "DeleteBucketPolicy", {"Bucket": physical.id})

    def _put(self, by: Provisioner, properties: Mapping[str, Any]) -> None:
        policy = json.dumps(properties["PolicyDocument"])
        by.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=policy)


@dataclass(frozen=True, kw_only=True)
class _ImageRepository(ApiResource):
    """An ECR repository with its two policies; EmptyOnDelete deletes the images with it."""

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        ecr, name, differing = (
            by.client("ecr"),
            {"repositoryName": physical.id},
            changed(old, new),
        )
        if "LifecyclePolicy" in differing:
            text = new.get("LifecyclePolicy", {}).get("LifecyclePolicyText")
            if text is None:
                call_unless_gone(ecr, "DeleteLifecyclePolicy", name)
            else:
                call(ecr, "PutLifecyclePolicy", {**name, "lifecyclePolicyText": text})
        if "RepositoryPolicyText" in differing:
            policy = new.get("RepositoryPolicyText")
            if policy is None:
                call_unless_gone(ecr, "DeleteRepositoryPolicy", name)
            else:
                call(ecr, "SetRepositoryPolicy", {**name, "policyText": policy})
        if old and "ImageTagMutability" in differing:
            mutability = new.get("ImageTagMutability", "MUTABLE")
            call(ecr, "PutImageTagMutability", {**name, "imageTagMutability": mutability})
        if old and "ImageScanningConfiguration" in differing:
            scanning = new.get("ImageScanningConfiguration", {"ScanOnPush": False})
            parameters = {**name, "imageScanningConfiguration": scanning}
            call(ecr, "PutImageScanningConfiguration", parameters)

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        call_unless_gone(
            by.client("ecr"),
            "DeleteRepository",
            {"repositoryName": physical.id, "force": properties.get("EmptyOnDelete", False)},
        )


def _encryption(value: Mapping[str, Any]) -> dict[str, Any]:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault"
            if key == "ServerSideEncryptionByDefault"
            else key: v
            for key, v in rule.items()
        }
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


# How a bucket's setting is put and taken away, and what the call takes.
_SETTINGS: Mapping[str, tuple[str, str, Any]] = {
    "BucketEncryption": ("PutBucketEncryption", "DeleteBucketEncryption", _encryption),
    "PublicAccessBlockConfiguration": (
        "PutPublicAccessBlock",
        "DeletePublicAccessBlock",
        lambda value: {"PublicAccessBlockConfiguration": value},
    ),
    "OwnershipControls": (
        "PutBucketOwnershipControls",
        "DeleteBucketOwnershipControls",
        lambda value: {"OwnershipControls": value},
    ),
    "LifecycleConfiguration": (
        "PutBucketLifecycleConfiguration",
        "DeleteBucketLifecycle",
        lambda value: {
            "LifecycleConfiguration": {"Rules": [lifecycle_rule(r) for r in value["Rules"]]}
        },
    ),
}


TYPES: tuple[ResourceType, ...] = (
    _Bucket(
        type="AWS::S3::Bucket",
        named_by="BucketName",
        attributes=frozenset({"Arn", "DomainName", "RegionalDomainName", "DualStackDomainName"}),
    ),
    _BucketPolicy(type="AWS::S3::BucketPolicy"),
    _ImageRepository(
        type="AWS::ECR::Repository",
        service="ecr",
        creates="CreateRepository",
        deletes="DeleteRepository",
        named_by="RepositoryName",
        identified_by="RepositoryName",
        ref="RepositoryName",
        answers={"Arn": "repository.repositoryArn", "RepositoryUri": "repository.repositoryUri"},
        apart=frozenset({"LifecyclePolicy", "RepositoryPolicyText", "EmptyOnDelete"}),
        lower_case=True,
        attributes=frozenset({"Arn", "RepositoryUri"}),
    ),
)
