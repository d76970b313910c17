"""Tags of pipelines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws

_MOST = 50


class Tags:
    """The tags of each pipeline that `exists`. Thread-safe."""

    def __init__(self, own: OwnAws, exists: Callable[[str], bool]) -> None:
        self._prefix = own.arn("codepipeline", "")
        self._exists = exists
        self._lock = threading.Lock()
        self._tags: dict[str, dict[str, str]] = {}

    def handlers(self) -> dict[str, Handler]:
        """The operations on tags."""
        return {
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
            "ListTagsForResource": self.list_tags_for_resource,
        }

    def set(self, name: str, tags: Iterable[Mapping[str, str]]) -> None:
        """Add these; raises AwsError if there are too many then."""
        with self._lock:
            merged = {**self._tags.get(name, {}), **{tag["key"]: tag["value"] for tag in tags}}
            self.check(name, merged)
            self._tags[name] = merged

    def check(self, name: str, tags: Sized) -> None:
        """Raise AwsError for more than fifty."""
        if len(tags) > _MOST:
            raise AwsError(
                "TooManyTagsException",
                f"Pipeline {name} would have {len(tags)} tags; {_MOST} is the most",
            )

    def forget(self, name: str) -> None:
        """The pipeline is gone."""
        with self._lock:
            self._tags.pop(name, None)

    def tag_resource(self, call: Call) -> None:
        """Add or change tags."""
        self.set(self._name(call), call.params["tags"])

    def untag_resource(self, call: Call) -> None:
        """Remove tags by key."""
        name = self._name(call)
        with self._lock:
            for key in call.params["tagKeys"]:
                self._tags[name].pop(key, None)

    def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        """All tags of a pipeline, by key."""
        name = self._name(call)
        with self._lock:
            tags = sorted(self._tags[name].items())
        return {"tags": [{"key": key, "value": value} for key, value in tags]}

    def _name(self, call: Call) -> str:
        arn = call.params["resourceArn"]
        name = str(arn).removeprefix(self._prefix)
        if name == arn or not self._exists(name):
            raise AwsError("ResourceNotFoundException", f"There is no pipeline with the ARN {arn}")
        return name
