"""What local_aws adds to a pipeline execution: the time of one whose two scripts do next to
nothing.

It is model_build's own pipeline (its steps, the SDK's drivers, the training step's requirements);
only the scripts are replaced, so all of its time is overhead. Beside it, in the same
run, the time that two empty Python processes take.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS = 6


def main() -> None:
    from local_aws.account import ROLE_NAME, furnish
    from local_aws.gateway import Gateway
    from local_aws.services import all_services

    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder) / "state", all_services).start()
        try:
            os.environ.update(gateway.own.credentials_environment(None))
            furnish(gateway.own, {})
            bucket = f"local-{gateway.own.account}-{gateway.own.region}"
            role = f"arn:aws:iam::{gateway.own.account}:role/{ROLE_NAME}"
            create_pipeline(Path(folder) / "steps", bucket, role)
            measure(gateway.own.client("sagemaker"))
        finally:
            gateway.close()


def create_pipeline(steps: Path, bucket: str, role: str) -> None:
    """model_build's pipeline with empty scripts."""
    from model_build import pipeline

    shutil.copytree(pipeline.STEPS, steps)
    (steps / "prepare_data" / "prepare_data.py").write_text(
        "def main():\n    open('/opt/ml/processing/output/data', 'w').write('to hand on')\n"
    )
    (steps / "train_evaluate_register" / "train.py").write_text("")
    pipeline.STEPS = steps
    built = pipeline.get_pipeline(
        role=role,
        bucket=bucket,
        pipeline_name="overhead",
        base_job_prefix="overhead",
        region="us-east-1",
        mlflow_tracking_uri="http://127.0.0.1:9",
    )
    built.upsert(role_arn=role)


def measure(sagemaker: Any) -> None:
    overheads = []
    for run in range(RUNS):
        begun = time.perf_counter()
        arn = sagemaker.start_pipeline_execution(
            PipelineName="overhead",
            # Another seed each time: PrepareData must not come from the cache.
            PipelineParameters=[{"Name": "RandomSeed", "Value": str(run)}],
        )["PipelineExecutionArn"]
        while True:
            execution = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            if execution["PipelineExecutionStatus"] != "Executing":
                break
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        assert execution["PipelineExecutionStatus"] == "Succeeded", execution
        if run:  # the first one may have to build the layer of requirements
            overheads.append(seconds)
    begun = time.perf_counter()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", ""], check=True)
    empty = time.perf_counter() - begun
    print(
        f"execution with empty scripts, {len(overheads)} runs: min {min(overheads):.2f} s, "
        f"median {statistics.median(overheads):.2f} s, max {max(overheads):.2f} s; "
        f"two empty Python processes: {empty:.2f} s"
    )


if __name__ == "__main__":
    main()
