"""A bucket's lifecycle rule: the template's form of it, as the S3 API takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.errors import AwsError

# Names that stand in both.
_SAME = frozenset({"Status", "AbortIncompleteMultipartUpload"})
# What makes up the API's Filter.
_FILTERS = ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan")


def lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The API's rule. AwsError ValidationError names a part that has no form here."""
    made: dict[str, Any] = {"Filter": _filter(rule)}
    for name, value in rule.items():
        if name in _SAME:
            made[name] = value
        elif name == "Id":
            made["ID"] = value
        elif name == "ExpirationInDays":
            made.setdefault("Expiration", {})["Days"] = value
        elif name == "ExpirationDate":
            made.setdefault("Expiration", {})["Date"] = value
        elif name == "ExpiredObjectDeleteMarker":
            made.setdefault("Expiration", {})[name] = value
        elif name == "NoncurrentVersionExpiration":
            made[name] = value
        elif name == "NoncurrentVersionExpirationInDays":
            made["NoncurrentVersionExpiration"] = {"NoncurrentDays": value}
        elif name in ("Transition", "Transitions"):
            given = value if isinstance(value, list) else [value]
            made["Transitions"] = [_renamed(t, "TransitionInDays", "Days") for t in given]
        elif name in ("NoncurrentVersionTransition", "NoncurrentVersionTransitions"):
            given = value if isinstance(value, list) else [value]
            made["NoncurrentVersionTransitions"] = [
                _renamed(t, "TransitionInDays", "NoncurrentDays") for t in given
            ]
        elif name not in (*_FILTERS, "TagFilters"):
            raise AwsError("ValidationError", f"local_aws does not support {name} in Rules")
    return made


def _filter(rule: Mapping[str, Any]) -> dict[str, Any]:
    parts = {name: rule[name] for name in _FILTERS if name in rule}
    tags = list(rule.get("TagFilters", []))
    if len(parts) + len(tags) > 1:
        return {"And": {**parts, **({"Tags": tags} if tags else {})}}
    if tags:
        return {"Tag": tags[0]}
    return parts or {"Prefix": ""}


def _renamed(transition: Mapping[str, Any], days: str, name: str) -> dict[str, Any]:
    names = {days: name, "TransitionDate": "Date"}
    return {names.get(key, key): value for key, value in transition.items()}
