"""SageMaker models and endpoint configurations: what an endpoint is made of, kept as it was given.

moto drops members that endpoints need, overwrites a definition of the same name, and knows only old
instance types; so only the tags of these things are left to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local_aws.aws_protocol import Call
from local_aws.containers.images import Images
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.sagemaker.endpoints.model_data import s3_location
from local_aws.sagemaker.endpoints.tags import drop_tags, keep_tags

Check = Callable[[Mapping[str, Any]], None]

_SERVERLESS_MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)
# Members of a model's container, of a configuration and of its variant that would change what is
# served, and that nothing here acts on.
_UNSUPPORTED_OF_CONTAINER = (
    *("ModelPackageName", "ModelDataSource", "AdditionalModelDataSources", "MultiModelConfig"),
    *("InferenceSpecificationName",),
)
_UNSUPPORTED_OF_CONFIG = ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants")
_UNSUPPORTED_OF_VARIANT = (
    *("AcceleratorType", "CoreDumpConfig", "InstancePools", "ManagedInstanceScaling"),
    *("CapacityReservationConfig", "AcceleratorPartitionLayouts"),
)


class Definitions:
    """Things of one kind by name: `thing` as in CreateModel, `label` as in AWS's messages."""

    def __init__(self, own: OwnAws, thing: str, label: str, check: Check, **defaults: Any) -> None:
        self._own = own
        self._thing = thing
        self._label = label
        self._check = check
        self._defaults = defaults
        self._kept: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def handlers(self) -> dict[str, Handler]:
        """Create, Describe, List and Delete."""
        return {
            f"Create{self._thing}": self.create,
            f"Describe{self._thing}": lambda call: self.find(call.params[f"{self._thing}Name"]),
            f"List{self._thing}s": self.list,
            f"Delete{self._thing}": self.delete,
        }

    def find(self, name: str) -> dict[str, Any]:
        """The definition with its ARN and time. AwsError ValidationException if there is none."""
        with self._lock:
            if name in self._kept:
                return dict(self._kept[name])
        raise AwsError("ValidationException", f'Could not find {self._label} "{self._arn(name)}".')

    def create(self, call: Call) -> Mapping[str, Any]:
        """Keep the definition, once it is checked."""
        name, arn = call.params[f"{self._thing}Name"], self._arn(call.params[f"{self._thing}Name"])
        self._check(call.params)
        with self._lock:
            if name in self._kept:
                raise AwsError(
                    "ValidationException", f'Cannot create already existing {self._label} "{arn}".'
                )
            definition = {k: v for k, v in call.params.items() if k != "Tags"}
            added = {f"{self._thing}Arn": arn, "CreationTime": datetime.now(UTC)}
            self._kept[name] = {**self._defaults, **definition, **added}
        keep_tags(self._own, arn, call.params.get("Tags", []))
        return {f"{self._thing}Arn": arn}

    def list(self, call: Call) -> Mapping[str, Any]:
        """Names, the newest first."""
        wanted = call.params.get("NameContains", "")
        key = f"{self._thing}Name"
        with self._lock:
            found = [kept for name, kept in reversed(self._kept.items()) if wanted in name]
        page, more = page_of(found, lambda kept: str(kept[key]), call.params)
        return {f"{self._thing}s": page, **more}

    def delete(self, call: Call) -> None:
        """Forget it; endpoints that use it go on."""
        name = call.params[f"{self._thing}Name"]
        self.find(name)
        with self._lock:
            self._kept.pop(name, None)
        drop_tags(self._own, self._arn(name))

    def _arn(self, name: str) -> str:
        kind = "endpoint-config" if self._thing == "EndpointConfig" else self._thing.lower()
        return self._own.arn("sagemaker", f"{kind}/{name}")


def models(own: OwnAws, images: Images) -> Definitions:
    """The account's models. What the endpoint would fail on later is checked as AWS checks it."""

    def check(params: Mapping[str, Any]) -> None:
        refuse(params, "InferenceExecutionConfig", "EnableNetworkIsolation")
        container = container_of(params)
        refuse(container, *_UNSUPPORTED_OF_CONTAINER)
        if container.get("Mode", "SingleModel") != "SingleModel":
            raise _unsupported(f"Mode {container['Mode']}")
        if "Image" not in container:
            raise AwsError("ValidationException", "The container of a model must have an Image")
        images.find(container["Image"])
        role_arn = params.get("ExecutionRoleArn")
        if role_arn is None:
            raise AwsError("ValidationException", "ExecutionRoleArn must be given")
        s3 = own.client("s3", role_arn)
        url = container.get("ModelDataUrl")
        if url is None:
            return
        bucket, key = s3_location(url)
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError as err:
            raise AwsError(
                "ValidationException",
                f"Could not find model data at {url}: {err.response['Error']['Message']} "
                f"(as {role_arn})",
            ) from err

    return Definitions(own, "Model", "model", check, EnableNetworkIsolation=False)


def endpoint_configs(own: OwnAws, known_models: Definitions) -> Definitions:
    """The account's endpoint configurations: one production variant, on instances or serverless."""

    def check(params: Mapping[str, Any]) -> None:
        refuse(params, *_UNSUPPORTED_OF_CONFIG)
        variants = params["ProductionVariants"]
        if len(variants) != 1:
            raise _unsupported(f"{len(variants)} production variants (one endpoint serves one)")
        variant = variants[0]
        refuse(variant, *_UNSUPPORTED_OF_VARIANT)
        if "ModelName" not in variant:
            raise _unsupported("InferenceComponents (a production variant without ModelName)")
        known_models.find(variant["ModelName"])
        if ("InstanceType" in variant) == ("ServerlessConfig" in variant):
            raise AwsError(
                "ValidationException",
                f"Production variant {variant['VariantName']} must have either an InstanceType "
                "or a ServerlessConfig",
            )
        if "ServerlessConfig" in variant:
            _check_serverless(variant, params)
        else:
            _check_instances(own, variant)

    return Definitions(own, "EndpointConfig", "endpoint configuration", check)


def container_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """A model's only container. AwsError ValidationException for a chain of several."""
    containers = model.get("Containers") or []
    if "PrimaryContainer" in model and not containers:
        container: Mapping[str, Any] = model["PrimaryContainer"]
        return container
    if "PrimaryContainer" in model or not containers:
        raise AwsError("ValidationException", "Either PrimaryContainer or Containers must be given")
    if len(containers) > 1:
        raise _unsupported("inference pipelines (a model with several Containers)")
    only: Mapping[str, Any] = containers[0]
    return only


def refuse(params: Mapping[str, Any], *members: str) -> None:
    """Raise AwsError ValidationException naming the first of `members` that is given."""
    for member in members:
        if params.get(member):
            raise _unsupported(member)


def _check_serverless(variant: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    serverless = variant["ServerlessConfig"]
    warm, most = serverless.get("ProvisionedConcurrency", 0), serverless["MaxConcurrency"]
    if warm > most:
        raise AwsError(
            "ValidationException", f"ProvisionedConcurrency {warm} exceeds MaxConcurrency {most}"
        )
    if serverless["MemorySizeInMB"] not in _SERVERLESS_MEMORY_MB:
        raise AwsError(
            "ValidationException",
            f"Memory size {serverless['MemorySizeInMB']} MB is not supported for serverless "
            f"endpoints. Supported: {', '.join(map(str, _SERVERLESS_MEMORY_MB))}",
        )
    if params.get("DataCaptureConfig"):
        raise AwsError(
            "ValidationException", "Serverless endpoints do not support DataCaptureConfig"
        )


def _check_instances(own: OwnAws, variant: Mapping[str, Any]) -> None:
    if "InitialInstanceCount" not in variant:
        raise AwsError(
            "ValidationException",
            f"Production variant {variant['VariantName']} must have an InitialInstanceCount",
        )
    model = own.client("sagemaker").meta.service_model
    known = model.shape_for("ProductionVariantInstanceType").enum
    if variant["InstanceType"] not in known:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{variant['InstanceType']}' at "
            "'productionVariants.1.member.instanceType' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(known)}]",
        )


def _unsupported(what: str) -> AwsError:
    return AwsError("ValidationException", f"local_aws does not support {what}")
