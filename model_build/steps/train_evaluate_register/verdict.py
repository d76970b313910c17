"""The gate, asked about this job's model: what it is told, and where its answer is kept.

test rows, predictions ─┬─▶ losses ─▶ gate ─▶ report ─▶ MLflow: gate_report.json, gate.png, tags
@champion ──────────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

import champion
import evaluation
import gate
import mlflow
import pandas as pd
import plots
from evaluation import Measure, Predictions
from training_data import TrainingData


def reach(
    data: TrainingData,
    predicted: Predictions,
    measures: Sequence[Measure],
    *,
    measured: Mapping[str, float],
    model_name: str,
    split: Mapping[str, Any],
    rules: gate.Rules,
) -> dict[str, Any]:
    """The gate's report, after the champion of this moment was asked about the same rows.

    Raises ChampionError if MLflow does not answer.
    """
    serving, theirs = champion.ask_champion(model_name, data, split)
    actual = data.test.target
    return gate.judge(
        task=data.task,
        measured=measured,
        actual=actual.to_numpy(),
        units=data.test_units,
        losses=[list_losses(measure, actual, predicted, theirs) for measure in measures],
        constant_is=evaluation.describe_constant(data.classes),
        champion=serving,
        rules=rules,
    )


def list_losses(
    measure: Measure,
    actual: "pd.Series[Any]",
    predicted: Predictions,
    theirs: Predictions | None = None,
) -> gate.Losses:
    """What each row adds to the metric: of the new model, the best constant and the champion."""
    return gate.Losses(
        metric=measure.metric,
        summarise=measure.summarise,
        new=measure.losses(actual, predicted),
        constant=measure.losses(actual, measure.constant),
        champion=None if theirs is None else measure.losses(actual, theirs),
    )


def keep(report: Mapping[str, Any]) -> dict[str, str]:
    """Log the report to the active run; the tags that a registered version gets of it."""
    mlflow.log_dict(dict(report), "gate_report.json")
    mlflow.log_figure(plots.plot_gate(report), "gate.png")
    name = next(iter(report["metrics"]))
    tags = {"gate.verdict": report["verdict"], "gate.summary": report["summary"]}
    if report["reason"]:
        tags["gate.reason"] = report["reason"]
    mlflow.set_tags(tags)
    for measure in report["measures"]:
        baseline = f"baseline_{measure['metric']['name']}"
        mlflow.log_metric(baseline, measure["baseline"]["value"])
    return {
        "gate.metric": name,
        "gate.value": f"{report['metrics'][name]:.10g}",
        "gate.summary": report["summary"],
    }
