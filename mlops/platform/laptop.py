"""The inference image where local-aws stands for AWS: there is no Docker, its server is a process.

An image is what ECR has a manifest of; local-aws reads from its annotations what to start.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from mlops.account import Account
from mlops.errors import InputError

# Where local-aws says that its MLflow answers.
MLFLOW_PARAMETER = "/local-aws/mlflow-tracking-uri"
TAG = "latest"
_PROJECT_DIR = Path(__file__).resolve().parents[2]
_EMPTY_CONFIG = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # {}


def require_local(account: Account) -> None:
    """Raise InputError in a real account, where the names of this size would stand for nothing."""
    if not account.is_local:
        raise InputError(
            f"the stack laptop is for local-aws, and this is {account.describe()}. "
            "Deploy single-user or team there."
        )


def find_tracking_uri(account: Account, environment: dict[str, str]) -> str:
    """MLflow's address: MLFLOW_TRACKING_URI's, or the one that local-aws started."""
    named = environment.get("MLFLOW_TRACKING_URI")
    if named:
        return named
    ssm = account.client("ssm")
    try:
        return str(ssm.get_parameter(Name=MLFLOW_PARAMETER)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound as err:
        raise InputError(
            "which MLflow? local-aws runs without one; set MLFLOW_TRACKING_URI, or pass "
            "--parameter laptop.TrackingUri=http://..."
        ) from err


def publish_image(account: Account, repository: str) -> str:
    """Put the image that serves with this interpreter and the server in serving/; its address."""
    server = ["--app-dir", str(_PROJECT_DIR), "serving.app:app"]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "size": 2,
                "digest": _EMPTY_CONFIG,
            },
            "layers": [],
            "annotations": {
                "local-aws.command": json.dumps(
                    ["python3", "-m", "uvicorn", *server, "--host", "127.0.0.1", "--port", "{port}"]
                ),
                "local-aws.python": sys.executable,
                "local-aws.environment": json.dumps(
                    {"__pyfunc_model_path__": "/opt/ml/model", "MLFLOW_DISABLE_TELEMETRY": "true"}
                ),
                "local-aws.requirements": "requirements.txt",
            },
        }
    )
    ecr = account.client("ecr")
    with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(repositoryName=repository, imageTag=TAG, imageManifest=manifest)
    found = ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]
    return f"{found['repositoryUri']}:{TAG}"
