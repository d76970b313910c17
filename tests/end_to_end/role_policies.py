"""Would the roles' policies have allowed the calls that were made under them?

Actions are matched for every call, resources for S3's calls and for the roles that are passed on;
conditions only for iam:PassRole. The rest of IAM's evaluation is not repeated here.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What local_aws asks in another way than AWS does inside, or asks in vain.
_OWN_WAYS = {
    # CodePipeline's source action: on AWS GetBranch, GetCommit and UploadArchive.
    "codecommit:GetRepository",
    # Asked on this machine only, and on AWS it needs no right.
    "sts:GetCallerIdentity",
}


@dataclass(frozen=True, order=True)
class RoleCall:
    """One call, or a role passed on in one (`service` is whom to)."""

    role: str
    action: str
    resource: str = ""


def calls_under_roles(path: Path) -> set[RoleCall]:
    """The calls in api-calls.jsonl that succeeded under a role, each once."""
    calls = set()
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if ":assumed-role/" not in entry["caller"] or entry["status"] >= 400:
            continue
        role = entry["caller"].split("/")[1]
        if entry["action"] not in _OWN_WAYS:
            calls.add(RoleCall(role, entry["action"], entry.get("resource", "")))
        for value in entry.get("parameters", {}).values():
            if value.startswith("arn:aws:iam::") and ":role/" in value:
                calls.add(RoleCall(role, "iam:PassRole", value))
    return calls


class RolePolicies:
    """The policies of all roles below `path`, read from IAM."""

    def __init__(self, iam: Any, path: str) -> None:
        roles = iam.list_roles(PathPrefix=path)["Roles"]
        self._statements = {
            role["RoleName"]: list(_statements(iam, role["RoleName"])) for role in roles
        }

    def __contains__(self, role: str) -> bool:
        return role in self._statements

    def allow(self, call: RoleCall) -> bool:
        """Whether a statement of the role allows it."""
        return any(
            statement["Effect"] == "Allow"
            and _matches(call.action.lower(), statement["Action"], fold=True)
            and (not call.resource or _matches(call.resource, statement["Resource"]))
            for statement in self._statements[call.role]
        )


def _statements(iam: Any, role: str) -> Iterator[dict[str, Any]]:
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        yield from _listed(document["Statement"])
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
        yield from _listed(answer["PolicyVersion"]["Document"]["Statement"])


def _matches(value: str, patterns: Any, *, fold: bool = False) -> bool:
    return any(
        fnmatch.fnmatchcase(value, pattern.lower() if fold else pattern)
        for pattern in _listed(patterns)
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
