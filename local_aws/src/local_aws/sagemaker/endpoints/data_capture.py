"""Data capture: requests and answers of an endpoint, written to S3 as SageMaker does.

<DestinationS3Uri>/<endpoint>/<variant>/yyyy/mm/dd/hh/mm-ss-mmm-<uuid>.jsonl, one JSON object a
line, in the form described in AWS's "Data capture". Written under the model's execution role, once
a second while requests come.
"""

from __future__ import annotations

import base64
import json
import logging
import queue
import random
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.aws_protocol import Call, RawResponse
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.endpoints.model_data import s3_location
from local_aws.sagemaker.endpoints.serving import Variant
from local_aws.workers import start_worker

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0
_MODES = {"Input": ("endpointInput", "INPUT"), "Output": ("endpointOutput", "OUTPUT")}


class DataCapture:
    """What one variant captures. Safe to use from any thread until `close`."""

    def __init__(self, own: OwnAws, variant: Variant, config: Mapping[str, Any]) -> None:
        self._config = config
        self._variant = variant
        self._s3 = own.client("s3", variant.model["ExecutionRoleArn"])
        self._modes = [option["CaptureMode"] for option in config["CaptureOptions"]]
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._stopped = False
        name = f"data capture of endpoint {variant.endpoint_name}"
        self._thread = start_worker(name, self._write, self._stop)

    @classmethod
    def of(cls, own: OwnAws, variant: Variant) -> DataCapture | None:
        """The capture that the endpoint configuration asks for; None if it asks for none."""
        config = variant.data_capture
        if config is None or not config.get("EnableCapture", True):
            return None
        return cls(own, variant, config)

    def description(self) -> dict[str, Any]:
        """As DescribeEndpoint answers it."""
        return {
            "EnableCapture": True,
            "CaptureStatus": "Stopped" if self._stopped else "Started",
            "CurrentSamplingPercentage": self._config["InitialSamplingPercentage"],
            "DestinationS3Uri": self._config["DestinationS3Uri"],
            "KmsKeyId": self._config.get("KmsKeyId", ""),
        }

    def record(self, call: Call, answer: RawResponse) -> None:
        """Keep the invocation if it is in the sample; what failed isn't captured."""
        percentage = self._config["InitialSamplingPercentage"]
        if answer.status != 200 or random.random() * 100 >= percentage:  # noqa: S311
            return
        if self._stopped:
            return
        bodies = {
            "Input": (call.params.get("ContentType", ""), call.body),
            "Output": (answer.headers.get("Content-Type", ""), answer.body),
        }
        event_id = call.params.get("InferenceId")
        document = {
            "captureData": {
                _MODES[mode][0]: self._captured(_MODES[mode][1], *bodies[mode])
                for mode in self._modes
                if mode in _MODES
            },
            "eventMetadata": {
                "eventId": str(uuid.uuid4()),
                **({"inferenceId": event_id} if event_id else {}),
                "inferenceTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "eventVersion": "0",
        }
        self._lines.put(json.dumps(document))

    def close(self) -> None:
        """Write what is left."""
        self._closing.set()
        self._thread.join()

    def _stop(self, _cause: str) -> None:
        self._stopped = True

    def _captured(self, mode: str, content_type: str, body: bytes) -> dict[str, str]:
        headers = self._config.get("CaptureContentTypeHeader", {})
        kind = content_type.partition(";")[0].strip().lower()
        encoding = "BASE64"
        if kind in headers.get("CsvContentTypes", ()):
            encoding = "CSV"
        elif kind in headers.get("JsonContentTypes", ()):
            encoding = "JSON"
        if encoding == "BASE64":
            data = base64.b64encode(body).decode()
        else:
            data = body.decode(errors="replace")  # the model took it: no record may refuse it
        return {
            "observedContentType": content_type,
            "mode": mode,
            "data": data,
            "encoding": encoding,
        }

    def _write(self) -> None:
        while not self._closing.wait(_FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        if not lines:
            return
        bucket, prefix = s3_location(self._config["DestinationS3Uri"].rstrip("/") + "/capture")
        now = datetime.now(UTC)
        moment = f"{now:%Y/%m/%d/%H/%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}"
        folder = prefix.removesuffix("capture")
        key = f"{folder}{self._variant.endpoint_name}/{self._variant.name}/{moment}.jsonl"
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=("\n".join(lines) + "\n").encode())
        except (ClientError, BotoCoreError) as err:
            logger.warning("could not write captured data to s3://%s/%s: %s", bucket, key, err)
