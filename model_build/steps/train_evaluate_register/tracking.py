"""The connection to MLflow: quick to find out that there is none, patient once there is one."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import mlflow_login
import model_name as names

# MLflow's own defaults (7 retries with growing pauses, 120 s each) take minutes to give up.
# With these a closed port takes 2 s, an address that never answers 15 s.
_QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
}


class TrackingError(Exception):
    """MLflow can't be reached or refuses."""


def connect(tracking_uri: str, experiment_name: str) -> str:
    """Point MLflow at the server and choose the experiment; its id. Raises TrackingError."""
    # sagemaker-mlflow, there for SageMaker's managed MLflow, warns about each other address.
    logging.getLogger("mlflow.tracking.request_header.registry").setLevel(logging.ERROR)
    import mlflow  # seconds to import
    from mlflow.exceptions import MlflowException

    # Its own lines "View run at" have links that open another mode of its pages; see mlflow_pages.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    try:
        with _set_environment(_QUICK):
            experiment = mlflow.set_experiment(experiment_name)
    except MlflowException as err:
        reason = mlflow_login.explain_refused_login(err, os.environ) or (
            f"can't be reached or refuses: {err}. "
            "Check MLflowTrackingURI, and that the job's network reaches it"
        )
        raise TrackingError(f"MLflow at {tracking_uri} {reason}") from err
    experiment_id: str = experiment.experiment_id
    return experiment_id


def check_model_name(model_name: str) -> None:
    """Ask the registry for the model before it is trained: a version comes at the very end.

    Raises TrackingError if the registry would not take one of that name, or nothing could deploy
    it. MLflow itself takes some for as long as nobody registers a version.
    """
    problem = names.find_problem(model_name)
    if problem is not None:
        raise TrackingError(
            f"no model can be registered as {model_name!r}: {problem}. Check RegisteredModelName"
        )
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        MlflowClient().get_registered_model(model_name)
    except MlflowException as err:
        if err.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise TrackingError(
                f"MLflow's registry refuses the model {model_name!r}: {str(err).rstrip('.')}. "
                "Check RegisteredModelName, and what the login may read"
            ) from err


@contextmanager
def _set_environment(values: Mapping[str, str]) -> Iterator[None]:
    """MLflow reads its settings from the environment at each request."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
