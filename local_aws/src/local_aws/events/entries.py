"""Events that a user or a rule's schedule sends, in EventBridge's envelope."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from local_aws.events.timer import as_utc
from local_aws.own_aws import OwnAws


class RefusedEntry(Exception):
    """An entry of PutEvents that is not taken, with the code and the message of its answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def read_entry(own: OwnAws, entry: Mapping[str, Any], now: datetime.datetime) -> dict[str, Any]:
    """The event that the entry of PutEvents stands for. Raises RefusedEntry."""
    for member in ("Source", "DetailType", "Detail"):
        if not entry.get(member):
            raise RefusedEntry(
                "InvalidArgument",
                f"Parameter {member} is not valid. Reason: {member} is a required argument.",
            )
    if entry["Source"].startswith("aws."):
        raise RefusedEntry("NotAuthorizedForSourceException", "Not authorized for the source.")
    try:
        detail = json.loads(entry["Detail"])
    except ValueError:
        detail = None
    if not isinstance(detail, dict):
        raise RefusedEntry("MalformedDetail", "Detail is malformed.")
    return envelope(
        own,
        entry["Source"],
        entry["DetailType"],
        as_utc(entry.get("Time", now)),
        entry.get("Resources", []),
        detail,
    )


def envelope(
    own: OwnAws,
    source: str,
    detail_type: str,
    time: datetime.datetime,
    resources: Sequence[str],
    detail: Mapping[str, Any],
) -> dict[str, Any]:
    """The event as EventBridge matches and delivers it."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": own.account,
        "time": f"{time.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": own.region,
        "resources": list(resources),
        "detail": detail,
    }
