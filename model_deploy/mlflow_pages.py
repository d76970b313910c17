"""Where a person sees a run, an experiment, a model or a version: MLflow's own pages.

MLflow 3 opens each page in its mode for GenAI, in which an experiment has traces and no runs and
the menu no model registry, unless the address says otherwise (mlflow/mlflow#24498). It forgets
which mode it was, so each address says it. The same file is in each place that shows a link.

Where MLflow has no web page of its own, the text says what to look for and where: a database's or
a folder's MLflow has none, and SageMaker's managed one opens from Studio.
"""

from urllib.parse import quote, urlsplit, urlunsplit

_MODE = "?workflowType=machine_learning"


def home_page(tracking_uri: str) -> str:
    """MLflow's first page, which leads on to all experiments and models."""
    return _locate(tracking_uri, "", "MLflow")


def experiment_page(tracking_uri: str, experiment_id: str) -> str:
    """The experiment with the list of its runs."""
    return _locate(tracking_uri, f"experiments/{experiment_id}", f"experiment {experiment_id}")


def run_page(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """The run with its metrics, parameters and files."""
    return _locate(tracking_uri, f"experiments/{experiment_id}/runs/{run_id}", f"run {run_id}")


def artifact_page(tracking_uri: str, experiment_id: str, run_id: str, path: str) -> str:
    """One of the run's files: a picture is shown as one. A name with a space, MLflow finds not."""
    return _locate(
        tracking_uri,
        f"experiments/{experiment_id}/runs/{run_id}/artifacts/{quote(path)}",
        f"{path} of run {run_id}",
    )


def model_page(tracking_uri: str, name: str) -> str:
    """The registered model with its versions."""
    return _locate(tracking_uri, f"models/{_quote_name(name)}", f"models:/{name}")


def version_page(tracking_uri: str, name: str, version: str) -> str:
    """The registered model's version with its description, aliases, stage and tags."""
    return _locate(
        tracking_uri, f"models/{_quote_name(name)}/versions/{version}", f"models:/{name}/{version}"
    )


def _locate(tracking_uri: str, path: str, thing: str) -> str:
    parts = urlsplit(tracking_uri)
    login, at, host = parts.netloc.rpartition("@")
    if parts.scheme in ("http", "https"):
        server = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        return f"{server}/#/{path}{_MODE}"
    where = tracking_uri.replace(f"{login}{at}", "", 1)
    return f"{thing} in {where}" + (
        ", which opens from SageMaker Studio" if parts.scheme == "arn" else ""
    )


def _quote_name(name: str) -> str:
    # Of a model's name the pages undo the quoting twice, which tells only where it has a `%`.
    return quote(name.replace("%", "%25"), safe="")
