"""What moto holds, by part: a file for each service, and one for each bucket."""

from __future__ import annotations

import copy
import functools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moto.backends import get_backend
from moto.s3.models import MultipartDict, s3_backends

from local_aws.keeping.parts import SUFFIX, JournaledPart, Part, read, read_journaled
from local_aws.object_files import OBJECTS
from local_aws.own_aws import OwnAws

# Signing name -> moto's.
SERVICES: Mapping[str, str] = {
    **{name: name for name in ("ecr", "iam", "kms", "logs", "s3", "sagemaker")},
    **{name: name for name in ("secretsmanager", "sns", "sqs", "ssm")},
    "monitoring": "cloudwatch",
    "application-autoscaling": "applicationautoscaling",
}
_GLOBAL = frozenset({"iam", "s3"})
# Not kept: what has files of its own, what is moto's own, and what only grows.
_LEFT_OUT: Mapping[str, frozenset[str]] = {
    "s3": frozenset({"buckets"}),
    "iam": frozenset({"aws_managed_policies"}),
    "cloudwatch": frozenset({"metric_data", "paged_metric_data"}),
}
_BUCKET = "bucket-"


class MotoState:
    """moto's backends of one account, as parts below `folder`."""

    def __init__(self, folder: Path, own: OwnAws) -> None:
        self._folder = folder
        self._own = own
        self._parts = {
            service: Part(folder / f"{service}{SUFFIX}", functools.partial(self._state, moto))
            for service, moto in SERVICES.items()
        }
        self._buckets: dict[str, JournaledPart] = {}

    def parts(self) -> list[Part]:
        """All there are."""
        return [*self._parts.values(), *list(self._buckets.values())]

    def part(self, service: str) -> Part | None:
        """Of what moto keeps under that signing name."""
        return self._parts.get(service)

    def bring_back(self) -> dict[str, int]:
        """Fill moto with what was written; how many there are of what a person would count."""
        for service, moto in SERVICES.items():
            path = self._parts[service].path
            if path.exists():
                self._fill(moto, read(path))
        used: set[str] = set()
        found = []
        for path in self._folder.glob(f"{_BUCKET}*{SUFFIX}"):
            number, bucket, changes = read_journaled(path)
            for key, versions, tags in changes:
                self._apply(bucket, key, versions, tags)
            bucket.multiparts = MultipartDict()
            found.append(bucket)
            self._buckets[bucket.name] = self._bucket_part(bucket.name, number)
            held = [one for versions in dict.values(bucket.keys) for one in versions]
            used |= {one._value_buffer.path.name for one in held if hasattr(one, "_value_buffer")}
        for bucket in sorted(found, key=lambda bucket: bucket.creation_date):
            self._s3.buckets[bucket.name] = bucket
            s3_backends.bucket_accounts[bucket.name] = (bucket.partition, self._own.account)
        OBJECTS.keep_only(used)
        return {"bucket": len(found), "object": sum(len(bucket.keys) for bucket in found)}

    def note_s3(self, method: str, path: str, query: Mapping[str, str], *, tagged: bool) -> None:
        """Write what a successful request changed."""
        name, _, key = path.lstrip("/").partition("/")
        if tagged or not key:
            self._parts["s3"].save()
        bucket = self._s3.buckets.get(name)
        if bucket is None:
            gone = self._buckets.pop(name, None)
            if gone is not None:
                gone.remove()
            return
        part = self._buckets.setdefault(name, self._bucket_part(name))
        aborted = method == "DELETE" and "uploadId" in query
        if not key:
            part.save()
        elif not (aborted or "partNumber" in query or "uploads" in query):
            part.add(lambda: self._change(bucket, key))

    @property
    def _s3(self) -> Any:
        return self._backend("s3")

    def _bucket_part(self, name: str, number: int | None = None) -> JournaledPart:
        def take() -> Any:
            bucket = copy.copy(self._s3.buckets[name])
            bucket.multiparts = MultipartDict()
            return bucket

        return JournaledPart(self._folder / f"{_BUCKET}{name}{SUFFIX}", take, number)

    def _change(self, bucket: Any, key: str) -> tuple[str, list[Any], dict[str, Any]]:
        versions = list(bucket.keys.getlist(key, []))
        tagger = self._s3.tagger
        arns = [one.arn for one in versions if hasattr(one, "arn")]
        return key, versions, {arn: tagger.get_tag_dict_for_resource(arn) for arn in arns}

    def _apply(self, bucket: Any, key: str, versions: list[Any], tags: dict[str, Any]) -> None:
        if versions:
            dict.__setitem__(bucket.keys, key, versions)
        else:
            dict.pop(bucket.keys, key, None)
        for arn, tagged in tags.items():
            self._s3.tagger.tag_resource(
                arn, [{"Key": name, "Value": value} for name, value in tagged.items()]
            )

    def _backend(self, moto: str) -> Any:
        region = "aws" if moto in _GLOBAL else self._own.region
        return get_backend(moto)[self._own.account][region]

    def _state(self, moto: str) -> dict[str, Any]:
        left_out = _LEFT_OUT.get(moto, frozenset())
        state = {k: v for k, v in vars(self._backend(moto)).items() if k not in left_out}
        if moto == "logs":  # the groups, which stacks have made, without their lines
            state["groups"] = {k: _without_streams(v) for k, v in dict(state["groups"]).items()}
        return state

    def _fill(self, moto: str, state: Mapping[str, Any]) -> None:
        backend = self._backend(moto)
        for name, value in state.items():
            fresh = getattr(backend, name, None)
            if isinstance(fresh, defaultdict) and not isinstance(value, defaultdict):
                fresh.update(value)
            else:
                setattr(backend, name, value)


def _without_streams(group: Any) -> Any:
    bare = copy.copy(group)
    bare.streams = {}
    return bare
