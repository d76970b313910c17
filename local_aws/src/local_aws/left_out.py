"""What AWS would do for an endpoint and one machine does not: said, never silently dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def left_out(config: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    """A few words for each setting of an endpoint configuration and its model without effect here.

    An instance's type is not among them: one machine is what there is.
    """
    variant = config["ProductionVariants"][0]
    found: list[str] = []
    count = variant.get("InitialInstanceCount", 1)
    if count > 1:
        found.append(f"{count} instances (one process serves)")
    if variant.get("ServerlessConfig", {}).get("ProvisionedConcurrency"):
        found.append("ProvisionedConcurrency (the process is always warm)")
    if config.get("KmsKeyId"):
        found.append("KmsKeyId of the volumes (files on this machine)")
    if (config.get("DataCaptureConfig") or {}).get("KmsKeyId"):
        found.append("KmsKeyId of captured data (moto's S3 encrypts nothing)")
    if model.get("VpcConfig"):
        found.append("VpcConfig (the process uses this machine's network)")
    return found


def remark(found: list[str]) -> str:
    """One sentence for a log or an event; empty if nothing is left out."""
    return f"local_aws leaves out: {'; '.join(found)}" if found else ""
