"""What Application Auto Scaling and endpoints have to do with each other.

moto keeps scalable targets; nothing here scales.
"""

from __future__ import annotations

import sys
from typing import Any

from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws

_DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def require_unscaled(own: OwnAws, endpoint_name: str, variant_name: str) -> None:
    """AwsError ValidationException if the variant is a scalable target, as SageMaker's guide has
    it ("Update endpoints that use auto scaling") for another instance type.
    """
    resource = f"endpoint/{endpoint_name}/variant/{variant_name}"
    if _targets(own, endpoint_name):
        raise AwsError(
            "ValidationException",
            f"The instance type of {resource} cannot change while it is a scalable target. "
            "Deregister it first.",
        )


def deregister(own: OwnAws, endpoint_name: str) -> None:
    """Forget the scalable targets of an endpoint that is deleted, as AWS does."""
    client = own.client("application-autoscaling")
    for target in _targets(own, endpoint_name):
        client.deregister_scalable_target(
            ServiceNamespace="sagemaker",
            ScalableDimension=target["ScalableDimension"],
            ResourceId=target["ResourceId"],
        )


def _targets(own: OwnAws, endpoint_name: str) -> list[dict[str, Any]]:
    # Loaded with the first call to it, which takes seconds: before that there is no target.
    if "moto.applicationautoscaling" not in sys.modules:
        return []
    client = own.client("application-autoscaling")
    found = client.describe_scalable_targets(
        ServiceNamespace="sagemaker", ScalableDimension=_DIMENSION
    )["ScalableTargets"]
    prefix = f"endpoint/{endpoint_name}/"
    return [target for target in found if target["ResourceId"].startswith(prefix)]
