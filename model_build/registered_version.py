"""What an execution registered, read back from MLflow: never assumed."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_build import mlflow_login
from model_build.errors import ServiceError
from model_build.training_step import mlflow_pages

EXECUTION_TAG = "sagemaker.pipeline_execution_arn"
# A line for each; the training step writes it.
WARNINGS_TAG = "data.warnings"
# Of the run, in one line for people, and of the version: the metric that the gate compared.
GATE_SUMMARY_TAG = "gate.summary"
GATE_METRIC_TAG = "gate.metric"

# The execution is over; whether MLflow answers is known in seconds or it is reported as it is.
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """A version, its run with metrics and warnings about the data, and where a person finds it.

    `gate_summary` and `gate_metric` are empty where another training than ours registered it.
    """

    model_name: str
    version: int
    run_id: str
    metrics: Mapping[str, float]
    gate_metric: str
    gate_summary: str
    data_warnings: Sequence[str]
    url: str


def find_registered_version(
    tracking_uri: str, model_name: str, execution_arn: str
) -> RegisteredVersion:
    """The version of `model_name` tagged with this execution.

    Raises ServiceError when MLflow can't be asked, or has no such version.
    """
    for name, value in _QUICK.items():
        os.environ.setdefault(name, value)
    # sagemaker-mlflow, where it is installed, warns about each address that is no ARN.
    logging.getLogger("mlflow.tracking.request_header.registry").setLevel(logging.ERROR)
    import mlflow  # seconds to import
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if tracking_uri.startswith("arn:"):
        # SageMaker's plugin signs requests for MLflow's global address, whatever the client's is.
        mlflow.set_tracking_uri(tracking_uri)
    try:
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        # MLflow's filters can't hold each name: one may have both kinds of quotes.
        tagged = client.search_model_versions(f"tags.`{EXECUTION_TAG}` = '{execution_arn}'")
        found = [version for version in tagged if version.name == model_name]
        if not found:
            raise ServiceError(
                f"the execution succeeded, but MLflow at {tracking_uri} has no version of "
                f"{model_name!r} tagged {EXECUTION_TAG} = {execution_arn}. "
                "Did the jobs use another MLflow server?"
            )
        # A job that AWS ran twice registers twice; the later one is what the execution ended with.
        latest = max(found, key=lambda version: int(version.version))
        run = client.get_run(latest.run_id).data
    except MlflowException as err:
        refused = mlflow_login.explain_refused_login(err, os.environ)
        reason = f"it {refused}" if refused else f"{err}. Check that this machine reaches it"
        raise ServiceError(
            f"the execution succeeded, but what it registered can't be read from MLflow at "
            f"{tracking_uri}: {reason}"
        ) from err
    return RegisteredVersion(
        model_name=model_name,
        version=int(latest.version),
        run_id=latest.run_id,
        metrics=run.metrics,
        gate_metric=latest.tags.get(GATE_METRIC_TAG, ""),
        gate_summary=run.tags.get(GATE_SUMMARY_TAG, ""),
        data_warnings=run.tags.get(WARNINGS_TAG, "").splitlines(),
        url=mlflow_pages.version_page(tracking_uri, model_name, str(latest.version)),
    )
