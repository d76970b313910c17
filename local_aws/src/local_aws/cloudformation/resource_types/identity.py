"""IAM's roles and policies, and KMS keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.resource_types.calls import call, call_unless_gone
from local_aws.cloudformation.resource_types.described import (
    DescribedType,
    changed,
)
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ResourceType,
)
from local_aws.cloudformation.resource_types.tags import retag, tags_in

_ROLE_DEFAULTS = {"Description": "", "MaxSessionDuration": 3600}
# The kinds of principals, by the property that lists them.
_PRINCIPALS = {"Roles": "Role", "Users": "User", "Groups": "Group"}


@dataclass(frozen=True, kw_only=True)
class _Role(DescribedType):
    """A role with its inline and its attached policies."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        taken = ("Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration")
        role = call(
            by.client("iam"),
            "CreateRole",
            {
                "RoleName": self.custom_name(properties) or name,
                **{key: properties.get(key) for key in (*taken, "PermissionsBoundary")},
                "Tags": tags_in(properties) or None,
            },
        )["Role"]
        return Physical(role["RoleName"], {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        iam, name, differing = by.client("iam"), {"RoleName": physical.id}, changed(old, new)
        if "AssumeRolePolicyDocument" in differing:
            document = {"PolicyDocument": new["AssumeRolePolicyDocument"]}
            call(iam, "UpdateAssumeRolePolicy", {**name, **document})
        if differing & set(_ROLE_DEFAULTS):
            settings = {key: new.get(key, value) for key, value in _ROLE_DEFAULTS.items()}
            call(iam, "UpdateRole", {**name, **settings})
        if "PermissionsBoundary" in differing:
            if "PermissionsBoundary" in new:
                boundary = {"PermissionsBoundary": new["PermissionsBoundary"]}
                call(iam, "PutRolePermissionsBoundary", {**name, **boundary})
            else:
                call_unless_gone(iam, "DeleteRolePermissionsBoundary", name)
        if "Tags" in differing:
            retag(iam, physical.id, tags_in(old), tags_in(new))
        self.arrange(by, physical, old, new)

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        iam, name = by.client("iam"), {"RoleName": physical.id}
        had, wanted = (
            {policy["PolicyName"]: policy["PolicyDocument"] for policy in p.get("Policies", [])}
            for p in (old, new)
        )
        for policy in sorted(set(had) - set(wanted)):
            call_unless_gone(iam, "DeleteRolePolicy", {**name, "PolicyName": policy})
        for policy, document in wanted.items():
            if had.get(policy) != document:
                parameters = {"PolicyName": policy, "PolicyDocument": document}
                call(iam, "PutRolePolicy", {**name, **parameters})
        before, after = (set(p.get("ManagedPolicyArns", [])) for p in (old, new))
        for arn in sorted(before - after):
            call_unless_gone(iam, "DetachRolePolicy", {**name, "PolicyArn": arn})
        for arn in sorted(after - before):
            call(iam, "AttachRolePolicy", {**name, "PolicyArn": arn})

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        self.arrange(by, physical, properties, {})
        call_unless_gone(by.client("iam"), "DeleteRole", {"RoleName": physical.id})


@dataclass(frozen=True, kw_only=True)
class _ManagedPolicy(DescribedType):
    """A policy of its own, attached to those that it names."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        policy = call(
            by.client("iam"),
            "CreatePolicy",
            {
                "PolicyName": self.custom_name(properties) or name,
                **{key: properties.get(key) for key in ("Path", "Description", "PolicyDocument")},
            },
        )["Policy"]
        return Physical(policy["Arn"], {"PolicyArn": policy["Arn"], "PolicyId": policy["PolicyId"]})

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        if "PolicyDocument" in changed(old, new):
            self._drop_other_versions(by, physical)
            document = {"PolicyDocument": new["PolicyDocument"], "SetAsDefault": True}
            call(by.client("iam"), "CreatePolicyVersion", {"PolicyArn": physical.id, **document})
        self.arrange(by, physical, old, new)

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        iam, arn = by.client("iam"), {"PolicyArn": physical.id}
        had, wanted = set(_principals(old)), set(_principals(new))
        for kind, name in sorted(had - wanted):
            call_unless_gone(iam, f"Detach{kind}Policy", {f"{kind}Name": name, **arn})
        for kind, name in sorted(wanted - had):
            call(iam, f"Attach{kind}Policy", {f"{kind}Name": name, **arn})

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        self.arrange(by, physical, properties, {})
        iam = by.client("iam")
        try:
            self._drop_other_versions(by, physical)
        except iam.exceptions.NoSuchEntityException:
            return
        call_unless_gone(iam, "DeletePolicy", {"PolicyArn": physical.id})

    def _drop_other_versions(self, by: Provisioner, physical: Physical) -> None:
        # IAM keeps five at most, and deletes a policy only without further ones.
        iam = by.client("iam")
        for version in iam.list_policy_versions(PolicyArn=physical.id)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=physical.id, VersionId=version["VersionId"])


@dataclass(frozen=True, kw_only=True)
class _Key(DescribedType):
    """A key; deleting it starts its waiting period, as on AWS."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:  # noqa: ARG002
        names = ("Description", "KeySpec", "KeyUsage", "Origin", "MultiRegion")
        key = call(
            by.client("kms"),
            "CreateKey",
            {
                **{name: properties.get(name) for name in names},
                "BypassPolicyLockoutSafetyCheck": properties.get("BypassPolicyLockoutSafetyCheck"),
                "Policy": properties.get("KeyPolicy"),
                "Tags": tags_in(properties) or None,
            },
        )["KeyMetadata"]
        return Physical(key["KeyId"], {"Arn": key["Arn"], "KeyId": key["KeyId"]})

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        kms, key, differing = by.client("kms"), {"KeyId": physical.id}, changed(old, new)
        if "KeyPolicy" in differing and "KeyPolicy" in new:
            policy = {"PolicyName": "default", "Policy": new["KeyPolicy"]}
            call(kms, "PutKeyPolicy", {**key, **policy})
        if "Description" in differing:
            kms.update_key_description(KeyId=physical.id, Description=new.get("Description", ""))
        if "Tags" in differing:
            retag(kms, physical.id, tags_in(old), tags_in(new))
        self.arrange(by, physical, old, new)

    def arrange(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        kms, key = by.client("kms"), {"KeyId": physical.id}
        if old.get("EnableKeyRotation", False) != new.get("EnableKeyRotation", False):
            rotates = new.get("EnableKeyRotation", False)
            call(kms, f"{'Enable' if rotates else 'Disable'}KeyRotation", key)
        if old.get("Enabled", True) != new.get("Enabled", True):
            call(kms, f"{'Enable' if new.get('Enabled', True) else 'Disable'}Key", key)

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        days = properties.get("PendingWindowInDays", 30)
        call_unless_gone(
            by.client("kms"),
            "ScheduleKeyDeletion",
            {"KeyId": physical.id, "PendingWindowInDays": days},
        )


def _principals(properties: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for listed, kind in _PRINCIPALS.items():
        for name in properties.get(listed, []):
            yield kind, name


TYPES: tuple[ResourceType, ...] = (
    _Role(type="AWS::IAM::Role", named_by="RoleName", attributes=frozenset({"Arn", "RoleId"})),
    _ManagedPolicy(
        type="AWS::IAM::ManagedPolicy",
        named_by="ManagedPolicyName",
        attributes=frozenset({"PolicyArn", "PolicyId"}),
    ),
    _Key(
        type="AWS::KMS::Key",
        attributes=frozenset({"Arn", "KeyId"}),
        refused=frozenset({"RotationPeriodInDays"}),
        immutable=frozenset({"KeySpec", "KeyUsage", "Origin", "MultiRegion"}),
    ),
)
