"""Fixtures for all tests: no way to a real account, a registry, a running local_aws."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_NEVER_INHERITED = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "MLFLOW_TRACKING_URI",
    "ARTIFACT_BUCKET",
    "ARTIFACT_BUCKET_KMS_ID",
    "SUBNET_IDS",
    "SECURITY_GROUP_IDS",
    "SAGEMAKER_PIPELINE_ROLE_ARN",
    "SAGEMAKER_JOB_ROLE_ARN",
    "SAGEMAKER_PROJECT_NAME",
    "SAGEMAKER_PROJECT_ID",
    "MODEL_EXECUTION_ROLE_ARN",
    "CONTAINER_IMAGE_URI",
)
# At import, so that they hold for modules that read them when they are imported.
os.environ.update(_CREDENTIALS)
for _name in _NEVER_INHERITED:
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def mlflow_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tracking URI of a registry on SQLite, artifacts on disk beside it.

    Shared: use unique names.
    """
    folder = tmp_path_factory.mktemp("mlflow")
    # Without it artifacts of a database store land in ./mlruns.
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(folder / "artifacts")
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real MLflow server process."""
    from local_aws.tracking_server import TrackingServer

    server = TrackingServer(tmp_path_factory.mktemp("mlflow-server")).start()
    server.wait_until_ready()
    yield server.url
    server.stop()


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A running local_aws gateway with all services, without MLflow. Shared: use unique names."""
    from local_aws.gateway import Gateway
    from local_aws.services import all_services

    running = Gateway(tmp_path_factory.mktemp("local_aws"), all_services).start()
    yield running
    running.close()
