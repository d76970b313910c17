"""Resource types of the CloudFormation engine: how each is created, changed, replaced and deleted.

Each is a row of a table where its properties are the input of one call (ApiResource), else a class;
every change is an ordinary API call under the stack's role. `resource_types` has them by subject.
"""

from __future__ import annotations

from collections.abc import Mapping

from local_aws.cloudformation.resource_types import (
    code,
    identity,
    messaging,
    monitoring,
    parameters,
    sagemaker,
    scheduling,
    storage,
)
from local_aws.cloudformation.resource_types.resource_type import (
    Interrupted,
    Physical,
    Provisioner,
    ProvisioningError,
    ResourceType,
    generated_name,
)

__all__ = [
    "RESOURCE_TYPES",
    "Interrupted",
    "Physical",
    "Provisioner",
    "ProvisioningError",
    "ResourceType",
    "generated_name",
]

RESOURCE_TYPES: Mapping[str, ResourceType] = {
    resource.type: resource
    for module in (
        *(code, identity, messaging, monitoring, parameters, sagemaker, scheduling, storage),
    )
    for resource in module.TYPES
}
