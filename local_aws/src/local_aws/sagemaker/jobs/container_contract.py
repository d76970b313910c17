"""What SageMaker puts below /opt/ml before a container starts, and what is there when it has ended.

Sources, in the SageMaker developer guide: "How Amazon SageMaker AI Provides Training Information",
"How Amazon SageMaker AI Processing Configures Your Processing Container".
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HOST = "algo-1"
GROUP = "homogeneousCluster"
REASON_LENGTH = 1024
# What the SDK's sm_train.sh and drivers write when the script itself left no failure file.
SDK_FAILURE = re.compile(r"^\s*(Training Execution failed|Traceback .*CalledProcessError)", re.S)


def write_training_files(opt_ml: Path, request: Mapping[str, Any]) -> None:
    """Folders and JSON files of a training container, except the data."""
    for folder in ("model", "output/data", "output/metrics", "code", "input/data"):
        (opt_ml / folder).mkdir(parents=True, exist_ok=True)
    config = opt_ml / "input/config"
    config.mkdir(parents=True, exist_ok=True)
    channels = {
        channel["ChannelName"]: _channel_settings(channel, request)
        for channel in request.get("InputDataConfig", ())
    }
    _write(config / "hyperparameters.json", request.get("HyperParameters", {}))
    _write(config / "inputdataconfig.json", channels)
    _write(config / "resourceconfig.json", _resources(request["ResourceConfig"]["InstanceType"]))


def write_processing_files(opt_ml: Path, request: Mapping[str, Any], arn: str) -> None:
    """Folders and JSON files of a processing container, except the data."""
    (opt_ml / "output").mkdir(parents=True, exist_ok=True)
    config = opt_ml / "config"
    config.mkdir(parents=True, exist_ok=True)
    cluster = request["ProcessingResources"]["ClusterConfig"]
    description = {name: value for name, value in request.items() if name != "Tags"}
    _write(config / "processingjobconfig.json", {"ProcessingJobArn": arn, **description})
    _write(config / "resourceconfig.json", _resources(cluster["InstanceType"]))


def local_folder(root: Path, local_path: str) -> Path:
    """Where a container's path is on this machine."""
    return root / local_path.lstrip("/")


def failure_text(opt_ml: Path, pip_failure: Path) -> str:
    """The cause of a failure as the container left it in /opt/ml/output/failure, or ''.

    Where the SDK's drivers only say that something failed and it was pip, what pip said.
    """
    text = read_start(opt_ml / "output/failure")
    if pip_failure.is_file() and (not text or SDK_FAILURE.match(text)):
        return read_start(pip_failure)
    return text


def read_start(path: Path) -> str:
    """The first 1024 characters of a file without surrounding space; '' when there is none."""
    if not path.is_file():
        return ""
    with path.open(errors="replace") as file:
        return file.read(REASON_LENGTH).strip()


def final_metrics(log: str, definitions: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """FinalMetricDataList: for each metric definition that matched a log line, its last value."""
    metrics = []
    for definition in definitions:
        value = None
        for found in re.finditer(definition["Regex"], log, re.MULTILINE):
            value = _number(found[1] if found.re.groups else found[0], value)
        if value is not None:
            metrics.append(
                {
                    "MetricName": definition["Name"],
                    "Value": value,
                    "Timestamp": datetime.datetime.now(datetime.UTC),
                }
            )
    return metrics


def _number(text: str | None, otherwise: float | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return otherwise


def _channel_settings(channel: Mapping[str, Any], request: Mapping[str, Any]) -> Mapping[str, str]:
    algorithm_mode = request["AlgorithmSpecification"].get("TrainingInputMode", "File")
    source = channel["DataSource"]["S3DataSource"]
    settings = {
        "TrainingInputMode": channel.get("InputMode", algorithm_mode),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    if "ContentType" in channel:
        settings["ContentType"] = channel["ContentType"]
    return settings


def _resources(instance_type: str) -> Mapping[str, Any]:
    group = {"instance_group_name": GROUP, "instance_type": instance_type, "hosts": [HOST]}
    return {
        "current_host": HOST,
        "current_instance_type": instance_type,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, default=str))
