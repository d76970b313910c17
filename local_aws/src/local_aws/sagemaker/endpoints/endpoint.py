"""One endpoint: what is known of it, who answers its requests, and how it is described."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local_aws.sagemaker.endpoints.data_capture import DataCapture
from local_aws.sagemaker.endpoints.serving import Serving, Variant

_REASON_LIMIT = 1024


@dataclass
class Endpoint:
    """An endpoint's state; changed under the service's lock only."""

    name: str
    arn: str
    config_name: str
    status: str
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    failure_reason: str | None = None
    serving: Serving | None = None
    # The server that is to take over, and since when.
    pending: Serving | None = None
    pending_since: datetime | None = None
    # The part of the requests that it gets already, from 0 to 1, and its own capture.
    share: float = 0.0
    pending_capture: DataCapture | None = None
    capture: DataCapture | None = None
    deployment_config: Mapping[str, Any] | None = None

    def enter(self, status: str, reason: str | None = None) -> None:
        """Take a new status; the reason is of the last failure."""
        self.status, self.modified = status, datetime.now(UTC)
        self.failure_reason = reason[:_REASON_LIMIT] if reason else None

    def kept(self) -> dict[str, Any]:
        """What another process needs to serve it again."""
        members = ("name", "arn", "config_name", "status", "created", "modified")
        kept = (*members, "failure_reason", "deployment_config")
        return {member: getattr(self, member) for member in kept}

    def description(self) -> dict[str, Any]:
        """As DescribeEndpoint answers it."""
        serving, pending = self.serving, self.pending
        described: dict[str, Any] = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config_name,
            "EndpointStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "FailureReason": self.failure_reason,
            "LastDeploymentConfig": self.deployment_config,
        }
        if serving is not None:
            described["ProductionVariants"] = [_variant_summary(serving.variant, self.modified)]
        if self.capture is not None:
            described["DataCaptureConfig"] = self.capture.description()
        if pending is not None and serving is not None:
            stage = {"Status": "Baking", "StatusMessage": f"{self.share:.0%} of the traffic"}
            described["PendingDeploymentSummary"] = {
                "EndpointConfigName": pending.variant.config_name,
                "StartTime": self.pending_since,
                "ProductionVariants": [
                    {
                        **_variant_summary(pending.variant, self.modified),
                        "VariantStatus": [stage if self.share else {"Status": "Creating"}],
                    }
                ],
            }
        return {name: value for name, value in described.items() if value is not None}

    def receiver(self) -> tuple[Serving | None, DataCapture | None]:
        """Who gets the next request: the new fleet as often as its share says."""
        if self.pending is not None and random.random() < self.share:  # noqa: S311
            return self.pending, self.pending_capture
        return self.serving, self.capture


def _variant_summary(variant: Variant, since: datetime) -> dict[str, Any]:
    definition = variant.definition
    summary: dict[str, Any] = {
        "VariantName": variant.name,
        "DeployedImages": [
            {
                "SpecifiedImage": variant.image_uri,
                "ResolvedImage": variant.image_uri,
                "ResolutionTime": since,
            }
        ],
        "CurrentWeight": definition.get("InitialVariantWeight", 1.0),
        "DesiredWeight": definition.get("InitialVariantWeight", 1.0),
    }
    if "ServerlessConfig" in definition:
        serverless = definition["ServerlessConfig"]
        return {
            **summary,
            "CurrentInstanceCount": 0,
            "DesiredInstanceCount": 0,
            "CurrentServerlessConfig": serverless,
            "DesiredServerlessConfig": serverless,
        }
    count = definition["InitialInstanceCount"]
    return {**summary, "CurrentInstanceCount": count, "DesiredInstanceCount": count}
