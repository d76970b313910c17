"""The tags of a service's resources: kept by ARN, with the three operations on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.gateway import Handler

_MOST = 50

# A tag's members, in services that list them; the others have a map.
CAPITALISED, SMALL = ("Key", "Value"), ("key", "value")


class Tags:
    """Thread-safe. `require` raises AwsError for an ARN that has nothing to be tagged.

    `too_many`, `reserved` and `invalid` are the service's errors for such tags.
    """

    def __init__(
        self,
        require: Callable[[str], object],
        pair: tuple[str, str] | None,
        *,
        too_many: str,
        reserved: str,
        invalid: str,
    ) -> None:
        self._require = require
        self._pair = pair
        self._too_many, self._reserved, self._invalid = too_many, reserved, invalid
        self._lock = threading.Lock()
        self._tags: dict[str, dict[str, str]] = {}

    def handlers(self) -> dict[str, Handler]:
        """TagResource, UntagResource, ListTagsForResource."""
        return {
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list,
        }

    def check(self, arn: str, given: Any) -> dict[str, str]:
        """The resource's tags with these, a list or a map; AwsError for what AWS refuses."""
        tags = self._as_map(given)
        for key, value in tags.items():
            if key.lower().startswith("aws:"):
                raise AwsError(self._reserved, f"tag key {key!r}: 'aws:' is for AWS itself")
            if not 1 <= len(key) <= 128 or len(value) > 256:
                raise AwsError(
                    self._invalid,
                    f"tag {key!r}: keys have 1 to 128 characters, values at most 256",
                )
        with self._lock:
            merged = {**self._tags.get(arn, {}), **tags}
        if len(merged) > _MOST:
            raise AwsError(
                self._too_many, f"{arn} would have {len(merged)} tags; {_MOST} is the most"
            )
        return merged

    def set(self, arn: str, given: Any) -> None:
        """Add these, or give them other values; raises AwsError for what AWS refuses."""
        merged = self.check(arn, given)
        with self._lock:
            self._tags[arn] = merged

    def forget(self, arn: str) -> None:
        """The resource is gone."""
        with self._lock:
            self._tags.pop(arn, None)

    def _tag(self, call: Call) -> Mapping[str, Any]:
        self.set(self._arn(call), _member(call, "tags"))
        return {}

    def _untag(self, call: Call) -> Mapping[str, Any]:
        arn = self._arn(call)
        with self._lock:
            for key in _member(call, "tagkeys"):
                self._tags.get(arn, {}).pop(key, None)
        return {}

    def _list(self, call: Call) -> Mapping[str, Any]:
        arn = self._arn(call)
        with self._lock:
            tags = dict(sorted(self._tags.get(arn, {}).items()))
        if self._pair is None:
            return {"tags": tags}
        key, value = self._pair
        member = "Tags" if self._pair == CAPITALISED else "tags"
        return {member: [{key: name, value: text} for name, text in tags.items()]}

    def _arn(self, call: Call) -> str:
        arn = str(_member(call, "resourcearn"))
        self._require(arn)
        return arn

    def _as_map(self, given: Mapping[str, str] | Iterable[Mapping[str, str]]) -> dict[str, str]:
        if isinstance(given, Mapping):
            return dict(given)
        assert self._pair is not None
        key, value = self._pair
        return {tag[key]: tag[value] for tag in given}


def _member(call: Call, name: str) -> Any:
    """The parameter of that name, however the service spells it."""
    return next(value for member, value in call.params.items() if member.lower() == name)
