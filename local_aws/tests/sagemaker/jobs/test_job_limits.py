"""What jobs may not ask for here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from local_aws.errors import AwsError
from local_aws.sagemaker.jobs.job_limits import check_processing, check_training

TRAINING: dict[str, Any] = {
    "AlgorithmSpecification": {"TrainingImage": "image", "ContainerEntrypoint": ["python3"]},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    "InputDataConfig": [
        {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/x"}}}
    ],
    "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    "EnableManagedSpotTraining": True,
    "EnableInterContainerTrafficEncryption": True,
}
PROCESSING: dict[str, Any] = {
    "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3"]},
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "VolumeKmsKeyId": "key"}},
    "ProcessingInputs": [
        {"S3Input": {"S3DataType": "S3Prefix", "LocalPath": "/opt/ml/processing/input"}}
    ],
    "ProcessingOutputConfig": {"Outputs": [{"S3Output": {"LocalPath": "/opt/ml/processing/out"}}]},
    "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1"]}},
}


def test_what_does_not_change_the_result_is_accepted() -> None:
    check_training(TRAINING)
    check_processing(PROCESSING)


def problem(check: Callable[[Any], None], request: Any, path: str, value: Any) -> str:
    """What is refused when the member at the path (dots between names) has that value."""
    changed = copy.deepcopy(request)
    place = changed
    *names, last = path.split(".")
    for name in names:
        place = place[int(name) if name.isdigit() else name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(AwsError) as refused:
        check(changed)
    assert refused.value.code == "ValidationException"
    return str(refused.value).partition(": ")[2].partition(". Leave it out here")[0]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("ResourceConfig.InstanceCount", 2, "ResourceConfig.InstanceCount 2"),
        ("ResourceConfig.InstanceGroups", [{}], "ResourceConfig.InstanceGroups"),
        ("CheckpointConfig", {"S3Uri": "s3://b/c"}, "CheckpointConfig"),
        ("EnableNetworkIsolation", True, "EnableNetworkIsolation"),
        ("InputDataConfig.0.InputMode", "FastFile", "InputDataConfig[0].InputMode FastFile"),
        (
            "InputDataConfig.0.DataSource.S3DataSource.S3DataType",
            "ManifestFile",
            "InputDataConfig[0].DataSource.S3DataSource.S3DataType ManifestFile",
        ),
        (
            "InputDataConfig.0.DataSource",
            {"FileSystemDataSource": {}},
            "InputDataConfig[0].DataSource other than S3DataSource",
        ),
        (
            "AlgorithmSpecification.TrainingInputMode",
            "Pipe",
            "AlgorithmSpecification.TrainingInputMode Pipe",
        ),
        (
            "AlgorithmSpecification.ContainerEntrypoint",
            None,
            "AlgorithmSpecification without ContainerEntrypoint (the image's own program)",
        ),
    ],
)
def test_training_member_is_refused_by_name(path: str, value: Any, expected: str) -> None:
    assert problem(check_training, TRAINING, path, value) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "ProcessingResources.ClusterConfig.InstanceCount",
            3,
            "ProcessingResources.ClusterConfig.InstanceCount 3",
        ),
        ("NetworkConfig.EnableNetworkIsolation", True, "NetworkConfig.EnableNetworkIsolation"),
        ("ProcessingInputs.0.S3Input", None, "ProcessingInputs[0] other than S3Input"),
        (
            "ProcessingInputs.0.S3Input.LocalPath",
            "/opt/ml/processing/../../etc",
            "ProcessingInputs[0].S3Input.LocalPath /opt/ml/processing/../../etc "
            "(only below /opt/ml/processing)",
        ),
        (
            "ProcessingInputs.0.S3Input.S3InputMode",
            "Pipe",
            "ProcessingInputs[0].S3Input.S3InputMode Pipe",
        ),
        (
            "ProcessingOutputConfig.Outputs.0.S3Output.LocalPath",
            "/tmp/out",
            "ProcessingOutputConfig.Outputs[0].S3Output.LocalPath /tmp/out "
            "(only below /opt/ml/processing)",
        ),
    ],
)
def test_processing_member_is_refused_by_name(path: str, value: Any, expected: str) -> None:
    assert problem(check_processing, PROCESSING, path, value) == expected
