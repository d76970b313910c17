"""The files below /opt/ml."""

from __future__ import annotations

import json
from pathlib import Path

from local_aws.sagemaker.jobs.container_contract import (
    failure_text,
    final_metrics,
    local_folder,
    read_start,
    write_processing_files,
)


def test_processing_container_finds_its_own_job(tmp_path: Path) -> None:
    cluster = {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}
    request = {"ProcessingJobName": "p", "ProcessingResources": cluster, "Tags": [{"Key": "k"}]}
    write_processing_files(tmp_path, request, "arn:p")
    config = json.loads((tmp_path / "config/processingjobconfig.json").read_text())
    assert config == {
        "ProcessingJobArn": "arn:p",
        "ProcessingJobName": "p",
        "ProcessingResources": cluster,
    }
    resources = json.loads((tmp_path / "config/resourceconfig.json").read_text())
    assert resources["hosts"] == ["algo-1"]
    assert resources["current_instance_type"] == "ml.m5.large"


def test_container_path_is_below_root() -> None:
    assert local_folder(Path("/jobs/a"), "/opt/ml/x") == Path("/jobs/a/opt/ml/x")


def test_metric_is_the_last_value_that_is_a_number() -> None:
    log = "loss=0.5\nloss=0.25\nloss=none\nrmse: 3\n"
    definitions = [
        {"Name": "loss", "Regex": r"^loss=(.*)$"},
        {"Name": "rmse", "Regex": r"rmse: ([0-9.]+)"},
        {"Name": "absent", "Regex": r"r2=(.*)"},
    ]
    found = final_metrics(log, definitions)
    assert [(metric["MetricName"], metric["Value"]) for metric in found] == [
        ("loss", 0.25),
        ("rmse", 3.0),
    ]


def test_only_the_first_kilobyte_of_a_message_counts(tmp_path: Path) -> None:
    (tmp_path / "message").write_text("x" * 5000)
    assert read_start(tmp_path / "message") == "x" * 1024
    assert read_start(tmp_path / "none") == ""


def test_pips_words_replace_the_drivers_general_ones_but_not_the_scripts(tmp_path: Path) -> None:
    pip_failure = tmp_path / "pip-failure.txt"
    pip_failure.write_text("pip install failed: no such package")
    assert failure_text(tmp_path, pip_failure) == "pip install failed: no such package"
    (tmp_path / "output").mkdir()
    failure = tmp_path / "output/failure"
    failure.write_text("Training Execution failed. For more details, see CloudWatch logs")
    assert failure_text(tmp_path, pip_failure) == "pip install failed: no such package"
    failure.write_text("ValueError: no target")
    assert failure_text(tmp_path, pip_failure) == "ValueError: no target"
