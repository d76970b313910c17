"""What the demo ends with: the state of the registry and of the endpoints, read back from MLflow
and AWS.

`demo.json` and the table on the screen come from here; nothing in them is remembered by the
demo itself.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from rich.table import Table

from model_deploy.mlflow_pages import version_page

# The sagemaker-mlflow plugin wants each tracking server to be an ARN, and logs a warning at every
# request to one that isn't.
logging.getLogger("mlflow.tracking.request_header.registry").setLevel(logging.ERROR)


def read_versions(tracking_uri: str, model_name: str) -> list[dict[str, Any]]:
    """Each registered version.

    Oldest first, with its page, stage, aliases, what its run says of it, and in which metric its
    gate found it good ({"name", "value"}; None where it is not tagged so, as of one registered by
    hand).
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    aliases: dict[str, list[str]] = {}
    for alias, version in client.get_registered_model(model_name).aliases.items():
        aliases.setdefault(str(version), []).append(alias)
    rows = []
    quote = '"' if "'" in model_name else "'"
    for version in client.search_model_versions(f"name={quote}{model_name}{quote}"):
        # One registered by hand may have no run.
        tags = client.get_run(version.run_id).data.tags if version.run_id else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated, and shown here
            stage = version.current_stage
        rows.append(
            {
                "version": str(version.version),
                "url": version_page(tracking_uri, model_name, str(version.version)),
                "stage": stage,
                "aliases": sorted(aliases.get(str(version.version), [])),
                "metric": _metric(version.tags),
                "gate": version.tags.get("gate.summary"),
                "run_id": version.run_id,
                "pipeline_execution_arn": tags.get("sagemaker.pipeline_execution_arn"),
            }
        )
    return sorted(rows, key=lambda row: int(row["version"]))


def _metric(tags: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        return {"name": tags["gate.metric"], "value": float(tags["gate.value"])}
    except (KeyError, ValueError):
        return None


def read_endpoints(sagemaker: Any, project: str) -> list[dict[str, Any]]:
    """Each endpoint of the project with the model version that it really serves.

    By its tags and its model's archive.
    """
    rows = []
    pages = sagemaker.get_paginator("list_endpoints").paginate()
    names = (row["EndpointName"] for page in pages for row in page["Endpoints"])
    # Only then described: an account may have many.
    for name in sorted(name for name in names if name.startswith(f"{project}-")):
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
        configuration = sagemaker.describe_endpoint_config(
            EndpointConfigName=endpoint["EndpointConfigName"]
        )
        model = sagemaker.describe_model(
            ModelName=configuration["ProductionVariants"][0]["ModelName"]
        )
        tags = sagemaker.list_tags(ResourceArn=model["ModelArn"])["Tags"]
        tag = {entry["Key"]: entry["Value"] for entry in tags}
        rows.append(
            {
                "name": name,
                "status": endpoint["EndpointStatus"],
                "model_name": _decoded(tag.get("mlflow:model-name")),
                "model_version": tag.get("mlflow:model-version"),
                "model_data_url": model["PrimaryContainer"]["ModelDataUrl"],
            }
        )
    return rows


def _decoded(tag: str | None) -> str | None:
    """A model's name from its tag: `=` and two digits are a byte that no tag can hold."""
    return tag and unquote(tag.replace("=", "%"))


def read_prediction(
    runtime: Any, endpoint_name: str, tracking_uri: str, model_uri: str
) -> dict[str, Any]:
    """The model's own example rows.

    What the endpoint answers, and what the registered model says offline. Of a classifier, labels,
    and besides them the endpoint's classes and probabilities.
    """
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    with tempfile.TemporaryDirectory(prefix="mlops-demo-") as folder:
        path = mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)
        return _compare(runtime, endpoint_name, mlflow.pyfunc.load_model(path))


def _compare(runtime: Any, endpoint_name: str, model: Any) -> dict[str, Any]:
    import numpy as np

    example = model.input_example
    # Not DataFrame.to_json: it rounds to 10 digits, enough to take another branch in a tree.
    rows = example.astype(object).where(example.notna(), None).to_dict(orient="split", index=False)
    body = json.dumps({"dataframe_split": rows})
    response = runtime.invoke_endpoint(
        EndpointName=endpoint_name, Body=body, ContentType="application/json"
    )
    answer = json.loads(response["Body"].read())
    return {
        "inputs": [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]],
        "endpoint": answer["predictions"],
        # As Python's own values, which are what JSON has: numbers, words, true and false.
        "offline": np.asarray(model.predict(example)).tolist(),
        **{name: answer[name] for name in ("classes", "probabilities") if name in answer},
    }


def table_of(report: Mapping[str, Any]) -> Table:
    """The report as a table: a row for each version, with the endpoint that serves it."""
    table = Table(title=None)
    for heading in ("endpoint", "version", "stage", "alias", "metric"):
        table.add_column(heading)
    for version in report["versions"]:
        serving = [
            f"{endpoint['name']} ({endpoint['status']})"
            for endpoint in report["endpoints"]
            if endpoint["model_version"] == version["version"]
        ]
        metric = version["metric"]
        table.add_row(
            "\n".join(serving) or "-",
            version["version"],
            version["stage"],
            ", ".join(version["aliases"]) or "-",
            "-" if metric is None else f"{metric['name']} {_short(metric['value'])}",
        )
    return table


def _short(value: float) -> str:
    """Three digits, and no fewer than stand before the point: 0.121, 53.1, 12,345."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
