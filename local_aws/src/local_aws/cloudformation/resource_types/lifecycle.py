"""A bucket's lifecycle rule: the template's form of it, as the S3 API takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.errors import AwsError

_SAME = frozenset({"Status", "AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"})


def lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The API's rule. AwsError ValidationError names a part that has no form here."""
    made: dict[str, Any] = {"Filter": {"Prefix": rule.get("Prefix", "")}}
    for name, value in rule.items():
        if name in _SAME:
            made[name] = value
        elif name == "Id":
            made["ID"] = value
        elif name == "ExpirationInDays":
            made["Expiration"] = {"Days": value}
        elif name != "Prefix":
            raise AwsError("ValidationError", f"local_aws does not support {name} in Rules")
    return made
