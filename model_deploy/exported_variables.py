"""Short facts about a build or a test, for CodePipeline's variables: shell lines that export them.

    export MODEL_VERSION=7

A buildspec sources the file (`. ./build-variables.sh`), and CodeBuild exports what its `env` lists.
CodePipeline puts the values into an approval's message, which has 1000 characters for all of them
and takes `#{` for a variable of its own, so every value is one short line without it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

_LONGEST_TEXT = 200
_LONGEST_URL = 400
# The run's metrics that model_build logs, and how the approval's message calls them.
_LIMITED_METRIC = ("median_absolute_error", "max_median_absolute_error", "median AE")
_SHOWN_METRICS = 3


def to_shell(variables: Mapping[str, str]) -> str:
    """One `export NAME=value` line for each, quoted, in order."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(lines) + "\n"


def shorten(text: str, longest: int = _LONGEST_TEXT) -> str:
    """The text as one printable line of at most `longest` characters, without `#{`."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(printable.split()).replace("#{", "# {")
    return line if len(line) <= longest else f"{line[: longest - 3].rstrip()}..."


def describe_metrics(metrics: Mapping[str, float]) -> str:
    """A run's metrics for the one who approves: `median AE 35.2 (limit 66.1), r2 0.47`.

    Of a run without the limited metric the first three by name; `no metrics` when there are none.
    """
    metric, limit, shown_as = _LIMITED_METRIC
    if metric not in metrics:
        first = sorted(metrics)[:_SHOWN_METRICS]
        return shorten(", ".join(f"{name} {metrics[name]:.3g}" for name in first) or "no metrics")
    described = f"{shown_as} {metrics[metric]:.3g}"
    if limit in metrics:
        described += f" (limit {metrics[limit]:.3g})"
    if "r2" in metrics:
        described += f", r2 {metrics['r2']:.3g}"
    return described


def version_page(tracking_uri: str, model_name: str, version: str) -> str:
    """The address of the version's page in MLflow's UI, without credentials.

    SageMaker's managed MLflow (an ARN) opens from Studio, by a link that lives for minutes: for it,
    the SageMaker console of its region. A registry without a server has no page: `models:/` URI.
    """
    if tracking_uri.startswith("arn:"):
        region = tracking_uri.split(":")[3]
        return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}"
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return shorten(f"models:/{model_name}/{version}")
    host = parts.netloc.rpartition("@")[2]
    server = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    page = f"{server}/#/models/{quote(model_name, safe='')}/versions/{version}"
    # A link that was cut leads nowhere; MLflow's first page leads on.
    return page if len(page) <= _LONGEST_URL else f"{server}/"
