"""Groups of schedules, which are what has tags in EventBridge Scheduler."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of

DEFAULT_GROUP = "default"
NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")


@dataclass
class _Group:
    name: str
    arn: str
    created: datetime.datetime
    tags: dict[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        return {
            "Name": self.name,
            "Arn": self.arn,
            "State": "ACTIVE",
            "CreationDate": self.created,
            "LastModificationDate": self.created,
        }


class ScheduleGroups:
    """The groups; the caller holds a lock around every use."""

    def __init__(self, own: OwnAws) -> None:
        self._own = own
        self._groups: dict[str, _Group] = {}
        self._add(DEFAULT_GROUP)

    def require(self, name: str) -> None:
        """Raise ResourceNotFoundException unless there is a group of that name."""
        self._find(name)

    def create(self, call: Call) -> Mapping[str, Any]:
        """CreateScheduleGroup."""
        name = call.params["Name"]
        require_name(name)
        if name in self._groups:
            raise AwsError("ConflictException", f"Schedule group {name} already exists.", 409)
        group = self._add(name)
        group.tags.update(_as_map(call.params.get("Tags", [])))
        return {"ScheduleGroupArn": group.arn}

    def get(self, call: Call) -> Mapping[str, Any]:
        """GetScheduleGroup."""
        return self._find(call.params["Name"]).describe()

    def list(self, call: Call) -> Mapping[str, Any]:
        """ListScheduleGroups, by name."""
        prefix = call.params.get("NamePrefix", "")
        groups = [
            group.describe()
            for name, group in sorted(self._groups.items())
            if name.startswith(prefix)
        ]
        page, more = page_of(groups, lambda group: str(group["Name"]), call.params)
        return {"ScheduleGroups": page, **more}

    def delete(self, name: str) -> None:
        """Forget the group; its schedules are the caller's."""
        if name == DEFAULT_GROUP:
            raise AwsError("ValidationException", "Cannot delete the default schedule group.")
        self._find(name)
        del self._groups[name]

    def tag(self, call: Call) -> Mapping[str, Any]:
        """TagResource."""
        self._by_arn(call).tags.update(_as_map(call.params["Tags"]))
        return {}

    def untag(self, call: Call) -> Mapping[str, Any]:
        """UntagResource."""
        tags = self._by_arn(call).tags
        for key in call.params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags(self, call: Call) -> Mapping[str, Any]:
        """ListTagsForResource."""
        tags = self._by_arn(call).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _add(self, name: str) -> _Group:
        arn = self._own.arn("scheduler", f"schedule-group/{name}")
        self._groups[name] = _Group(name, arn, datetime.datetime.now(datetime.UTC))
        return self._groups[name]

    def _find(self, name: str) -> _Group:
        if name not in self._groups:
            raise AwsError(
                "ResourceNotFoundException", f"Schedule group {name} does not exist.", 404
            )
        return self._groups[name]

    def _by_arn(self, call: Call) -> _Group:
        arn = call.params["ResourceArn"]
        for group in self._groups.values():
            if group.arn == arn:
                return group
        raise AwsError(
            "ResourceNotFoundException",
            f"Resource {arn} does not exist; only schedule groups have tags.",
            404,
        )


def require_name(name: str) -> None:
    """Raise ValidationException unless AWS would take the name."""
    if not NAME.fullmatch(name):
        raise AwsError(
            "ValidationException",
            f"Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy regular "
            "expression pattern: ^[0-9a-zA-Z-_.]+$",
        )


def _as_map(tags: list[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}
