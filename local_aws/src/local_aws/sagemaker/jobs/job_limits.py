"""What a job may ask for on AWS that one process on one machine cannot give it.

Only what would change the job's result is refused; encryption at rest, subnets or spot prices do
not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local_aws.errors import AwsError

TRAINING_MEMBERS = (
    "CheckpointConfig",
    "DebugRuleConfigurations",
    "EnableNetworkIsolation",
    "MlflowConfig",
    "ModelPackageConfig",
    "ProfilerRuleConfigurations",
    "ServerlessJobConfig",
    "TensorBoardOutputConfig",
)


def check_training(request: Mapping[str, Any]) -> None:
    """Raise AwsError naming everything in a CreateTrainingJob request that is not emulated."""
    _refuse("CreateTrainingJob", list(_training_problems(request)))


def check_processing(request: Mapping[str, Any]) -> None:
    """Raise AwsError naming everything in a CreateProcessingJob request that is not emulated."""
    _refuse("CreateProcessingJob", list(_processing_problems(request)))


def _training_problems(request: Mapping[str, Any]) -> Iterator[str]:
    for name in TRAINING_MEMBERS:
        if request.get(name):
            yield name
    resources = request.get("ResourceConfig", {})
    if resources.get("InstanceGroups"):
        yield "ResourceConfig.InstanceGroups"
    if "InstanceType" not in resources:
        yield "ResourceConfig without InstanceType"
    if resources.get("InstanceCount", 1) != 1:
        yield f"ResourceConfig.InstanceCount {resources['InstanceCount']}"
    algorithm = request["AlgorithmSpecification"]
    if "TrainingImage" not in algorithm:
        yield "AlgorithmSpecification without TrainingImage"
    if not algorithm.get("ContainerEntrypoint"):
        yield "AlgorithmSpecification without ContainerEntrypoint (the image's own program)"
    mode = algorithm.get("TrainingInputMode", "File")
    channels = request.get("InputDataConfig", ())
    if mode != "File" and not all(channel.get("InputMode") == "File" for channel in channels):
        yield f"AlgorithmSpecification.TrainingInputMode {mode}"
    for index, channel in enumerate(channels):
        place = f"InputDataConfig[{index}]"
        if channel.get("InputMode", "File") != "File":
            yield f"{place}.InputMode {channel['InputMode']}"
        for name in ("CompressionType", "RecordWrapperType"):
            if channel.get(name, "None") != "None":
                yield f"{place}.{name} {channel[name]}"
        if channel.get("ShuffleConfig"):
            yield f"{place}.ShuffleConfig"
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            yield f"{place}.DataSource other than S3DataSource"
        elif source["S3DataType"] != "S3Prefix":
            yield f"{place}.DataSource.S3DataSource.S3DataType {source['S3DataType']}"


def _processing_problems(request: Mapping[str, Any]) -> Iterator[str]:
    count = request["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
    if count != 1:
        yield f"ProcessingResources.ClusterConfig.InstanceCount {count}"
    if request.get("NetworkConfig", {}).get("EnableNetworkIsolation"):
        yield "NetworkConfig.EnableNetworkIsolation"
    if not request["AppSpecification"].get("ContainerEntrypoint"):
        yield "AppSpecification without ContainerEntrypoint (the image's own program)"
    for index, entry in enumerate(request.get("ProcessingInputs", ())):
        place = f"ProcessingInputs[{index}]"
        source = entry.get("S3Input")
        if source is None or entry.get("AppManaged"):
            yield f"{place} other than S3Input"
            continue
        yield from _path_problems(f"{place}.S3Input", source)
        if source["S3DataType"] != "S3Prefix":
            yield f"{place}.S3Input.S3DataType {source['S3DataType']}"
        if source.get("S3InputMode", "File") != "File":
            yield f"{place}.S3Input.S3InputMode {source['S3InputMode']}"
        if source.get("S3CompressionType", "None") != "None":
            yield f"{place}.S3Input.S3CompressionType {source['S3CompressionType']}"
    for index, entry in enumerate(request.get("ProcessingOutputConfig", {}).get("Outputs", ())):
        place = f"ProcessingOutputConfig.Outputs[{index}]"
        if "S3Output" not in entry or entry.get("AppManaged"):
            yield f"{place} other than S3Output"
            continue
        yield from _path_problems(f"{place}.S3Output", entry["S3Output"])


def _path_problems(place: str, member: Mapping[str, Any]) -> Iterator[str]:
    path = member.get("LocalPath", "")
    if not f"{path}/".startswith("/opt/ml/processing/") or ".." in path.split("/"):
        yield f"{place}.LocalPath {path or 'missing'} (only below /opt/ml/processing)"


def _refuse(operation: str, problems: list[str]) -> None:
    if problems:
        raise AwsError(
            "ValidationException",
            f"local_aws does not emulate, for {operation}: {'; '.join(problems)}. "
            "Leave it out here, or run this on AWS.",
        )
