"""Who called what: one line of JSON for each AWS call, as CloudTrail keeps it in an account.

local_aws enforces no permissions; from this file one can tell afterwards whether the policies of
the roles would have allowed everything that was done under them. Never in it: values, bodies,
secrets.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.core.request import Request

logger = logging.getLogger(__name__)

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
    """The file `api-calls.jsonl`, appended to. Safe to use from any thread.

    A line that can't be written, such as on a full disk, fails no call: it is missing, and the
    server's own output says so.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE_NAME
        self._file = self._path.open("ab", buffering=0)
        self._lost = 0
        self._lock = threading.Lock()

    def write(
        self, request: Request, service: str, operation: str, caller_arn: str, status: int
    ) -> None:
        """Add the call. `service` and `operation` as boto3 names them, S3's operation empty."""
        with self._lock:
            if self._file.closed:
                return
            try:
                self._make_room()
                self._append(_line(request, service, operation, caller_arn, status))
            except (OSError, LookupError, ValueError) as err:  # what it records has happened
                if not self._lost:
                    logger.error("calls are missing in %s from now on: %s", self._file.name, err)
                self._lost += 1
                return
            if self._lost:
                logger.error("%d calls are missing in %s", self._lost, self._file.name)
                self._lost = 0

    def _make_room(self) -> None:
        if self._file.tell() > MOST_BYTES:
            self._file.close()
            self._path.replace(self._path.with_name(FORMER_NAME))
            self._file = self._path.open("ab", buffering=0)

    def close(self) -> None:
        """Nothing is buffered."""
        with self._lock:
            self._file.close()

    def _append(self, line: bytes) -> None:
        """The whole line or nothing of it."""
        end = self._file.seek(0, os.SEEK_END)
        if self._file.write(line) < len(line):
            self._file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line(request: Request, service: str, operation: str, caller_arn: str, status: int) -> bytes:
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
    return json.dumps(entry).encode() + b"\n"


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
        return f"s3:{_S3_OBJECT.get(method, method)}", arn
    for name, action in _S3_SUBRESOURCES.items():
        if name in query:
            return f"s3:{'Get' if method == 'GET' else 'Put'}{action}", arn
    if method == "POST" and "delete" in query:
        return "s3:DeleteObject", arn
    return f"s3:{'DeleteBucket' if method == 'DELETE' else _S3_BUCKET.get(method, method)}", arn


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
