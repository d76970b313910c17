"""Who called what: one line of JSON for each AWS call, as CloudTrail keeps it in an account.

local_aws enforces no permissions; from this file one can tell afterwards whether the policies of
the roles would have allowed everything that was done under them. Never in it: values, bodies,
secrets.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.core.request import Request

FILE_NAME = "api-calls.jsonl"
# A longer file becomes the one of before, in place of the last such.
MOST_BYTES = 64 << 20
FORMER_NAME = "api-calls.1.jsonl"
# Parameters that tell what a call is about; others may hold anything.
_TELLING = re.compile(r"(name|names|arn|role|roles|id|ids)$", re.IGNORECASE)
_LONGEST = 300
# S3's operations stand in method, path and query; left: what its IAM actions are called.
# Source: "Actions, resources, and condition keys for Amazon S3", service authorization reference.
_S3_OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject"}
_S3_BUCKET = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket"}
_S3_SUBRESOURCES = {
    "location": "BucketLocation",
    "policy": "BucketPolicy",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "encryption": "EncryptionConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "ownershipControls": "BucketOwnershipControls",
}


class CallLog:
    """The file `api-calls.jsonl`, appended to. Safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE_NAME
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def write(
        self, request: Request, service: str, operation: str, caller_arn: str, status: int
    ) -> None:
        """Add the call. `service` and `operation` as boto3 names them, S3's operation empty."""
        action, resource = iam_action(
            service, operation, request.method, request.path, request.args.to_dict()
        )
        entry = {
            "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            "caller": caller_arn,
            "action": action,
            "status": status,
        }
        if resource:
            entry["resource"] = resource
        else:
            entry.update(parameters=dict(_telling(_parameters(request))))
        with self._lock:
            if not self._file.closed:
                self._make_room()
                self._file.write(json.dumps(entry) + "\n")

    def _make_room(self) -> None:
        if self._file.tell() > MOST_BYTES:
            self._file.close()
            self._path.replace(self._path.with_name(FORMER_NAME))
            self._file = self._path.open("a", encoding="utf-8", buffering=1)

    def close(self) -> None:
        """Write out what is buffered."""
        with self._lock:
            self._file.close()


def iam_action(
    service: str, operation: str, method: str, path: str, query: Mapping[str, str]
) -> tuple[str, str]:
    """The IAM action of a call; and, for S3, the ARN of what it is about, else an empty text."""
    if service != "s3":
        return f"{service.removesuffix('-runtime')}:{operation}", ""
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return "s3:ListAllMyBuckets", ""
    arn = f"arn:aws:s3:::{bucket}{'/' + key if key else ''}"
    if key:
        if method == "DELETE":
            return ("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"), arn
        return f"s3:{_S3_OBJECT[method]}", arn
    for name, action in _S3_SUBRESOURCES.items():
        if name in query:
            return f"s3:{'Get' if method == 'GET' else 'Put'}{action}", arn
    if method == "POST" and "delete" in query:
        return "s3:DeleteObject", arn
    return f"s3:{'DeleteBucket' if method == 'DELETE' else _S3_BUCKET[method]}", arn


def _parameters(request: Request) -> Any:
    if request.mimetype == "application/x-www-form-urlencoded":
        return request.form.to_dict()
    try:
        return json.loads(request.get_data() or b"{}")
    except ValueError:
        return {}


def _telling(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The names, ARNs and ids in a call's parameters, by their dotted place."""
    items = value.items() if isinstance(value, dict) else ()
    for key, item in items:
        place = f"{path}.{key}" if path else str(key)
        if isinstance(item, dict):
            yield from _telling(item, place)
        elif isinstance(item, str) and _TELLING.search(str(key)) and len(item) <= _LONGEST:
            yield place, item
