"""Short facts about a build or a test, for CodePipeline's variables: shell lines that export them.

    export MODEL_VERSION=7

A buildspec sources the file (`. ./build-variables.sh`), and CodeBuild exports what its `env` lists.
CodePipeline puts the values into an approval's message, which has 1000 characters for all of them
and takes `#{` for a variable of its own, so every value is one short line without it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from model_deploy import mlflow_pages

# What the training step's gate leaves with the run.
GATE_REPORT = "gate_report.json"

_LONGEST_TEXT = 200
_LONGEST_URL = 400
_GATE_REPORT_VERSION = 1
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


def describe_code_on_load(sentences: Sequence[str]) -> str:
    """What runs code when the model is loaded, in a line for the one who approves; or "none"."""
    if not sentences:
        return "none"
    line = "; ".join(sentences)
    if len(line) <= _LONGEST_TEXT:
        return shorten(line)
    more = len(sentences) - 1
    rest = f" (and {more} more: see the build's log)" if more else ""
    return shorten(sentences[0], _LONGEST_TEXT - len(rest)) + rest


def describe_gate(report: bytes | None, metrics: Mapping[str, float]) -> str:
    """The summary in gate_report.json for the one who approves.

    Of a run without such a report (None), or with one that can't be read, that is said, and the
    first three metrics by name: `no gate report; accuracy 0.912, f1 0.5, loss 2e-07`.
    """
    described = "no gate report"
    if report is not None:
        try:
            return _gate_summary(report)
        except ValueError as err:
            described = f"gate report not readable ({err})"
    first = sorted(metrics)[:_SHOWN_METRICS]
    listed = ", ".join(f"{name} {metrics[name]:.3g}" for name in first) or "no metrics"
    # What was wrong may be long: the metrics are not to be cut off by it.
    return shorten(f"{shorten(described, _LONGEST_TEXT // 2)}; {listed}")


def _gate_summary(report: bytes) -> str:
    """Raises ValueError with what is wrong."""
    try:
        document: Any = json.loads(report)
    except (ValueError, RecursionError) as err:
        raise ValueError("it is not JSON") from err
    if not isinstance(document, dict):
        raise ValueError("it is no object")
    if document.get("version") != _GATE_REPORT_VERSION:
        version = document.get("version")
        raise ValueError(f"its version is {version!r}, not {_GATE_REPORT_VERSION}")
    verdict, summary = document.get("verdict"), document.get("summary")
    if verdict not in ("passed", "failed") or not isinstance(summary, str) or not summary.strip():
        raise ValueError("it lacks verdict or summary")
    # The training step registers no such version; a person may have.
    return shorten(summary if verdict == "passed" else f"gate NOT passed: {summary}")


def version_link(tracking_uri: str, model_name: str, version: str) -> str:
    """What an approval links to: the version's page in MLflow's UI.

    SageMaker's managed MLflow (an ARN) opens from Studio, by a link that lives for minutes: for it,
    the SageMaker console of its region.
    """
    if tracking_uri.startswith("arn:"):
        region = tracking_uri.split(":")[3]
        return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}"
    page = mlflow_pages.version_page(tracking_uri, model_name, version)
    if len(page) > _LONGEST_URL:
        # A link that was cut leads nowhere; MLflow's first page leads on.
        page = mlflow_pages.home_page(tracking_uri)
    return shorten(page, _LONGEST_URL)
