"""The model card: a version's description in Markdown, and the names that a person reads in MLflow.

    table, recipe, gate's report ─▶ card ─▶ description of the version
                                       └─▶ a later stage's test adds its section before "## Model"

Names of columns, classes and files come from tables: they are text in it, whatever they hold. Each
part has its own longest length, so that all of them together stay below what MLflow takes.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import metrics
from model import Recipe
from training_data import TrainingData

# MLflow's database has 5000 characters for a description (SqlModelVersion.description). The rest is
# for the sections of the stages, and for what a person adds.
LONGEST = 3600

_LONGEST_NAME = 60
_LONGEST_LIST = 300
_LONGEST_SENTENCE = 400
_LONGEST_REQUEST = 900
_DIGEST_LETTERS = 19  # sha256: and twelve digits

_KINDS = {
    "number": ("number", "numbers"),
    "boolean": ("truth value", "truth values"),
    "text": ("text", "texts"),
    "date": ("date", "dates"),
}
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
_MARKS = re.compile(r"[\\*\[\]{}~#@!]|(?<![^\W_])_|_(?![^\W_])|^(?:[-+=]|\d+[.)])")
_FILE_SUFFIX = re.compile(r"\.(csv|parquet|gz|txt|tsv)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class RunPlace:
    """Where the run is, and by which it is shown."""

    experiment_id: str
    run_id: str


def name_run(
    estimator: str, source: str, execution_arn: str, report: Mapping[str, Any] | None = None
) -> str:
    """`random-forest on diabetes, RMSE 57.52 (c3f2a1b0)`; without the metric until it is known.

    The end is that of the pipeline's execution, so that two runs with one result are told apart.
    """
    name = f"{estimator} on {name_data(source)}"
    if report is not None:
        metric = metrics.METRICS[report["task"]][0]
        name += f", {metric.label} {report['metrics'][metric.name]:.4g}"
        if report["verdict"] != "passed":
            name += ", gate failed"
    execution = execution_arn.rpartition("/")[2][:8]
    return f"{name} ({execution})" if execution else name


def name_data(source: str) -> str:
    """`prices` of s3://bucket/raw/prices.csv, `diabetes` of sklearn:diabetes."""
    last = re.split(r"[/:]", source.rstrip("/"))[-1]
    while _FILE_SUFFIX.search(last):
        last = _FILE_SUFFIX.sub("", last)
    return _cut(_one_line(last), _LONGEST_NAME) or "data"


def escape(text: str, longest: int = _LONGEST_NAME) -> str:
    """The text as one line of Markdown that shows it as it is, at most `longest` characters.

    What would be markup or HTML is written as an entity or behind a backslash; a text that is cut
    ends in three dots.
    """
    told = "".join(_ENTITIES.get(c, c) for c in _MARKS.sub(r"\\\g<0>", _one_line(text)))
    if len(told) <= longest:
        return told
    kept = told[: longest - 3]
    # Half an entity or a lone backslash would change what follows.
    return re.sub(r"(&[^;]*|\\+)$", "", kept).rstrip() + "..."


def write_card(
    data: TrainingData,
    recipe: Recipe,
    report: Mapping[str, Any],
    run: RunPlace,
    request: Mapping[str, Any],
) -> str:
    """The description of a version that passed the gate (`report`).

    `request` is a request that the model's endpoint answers.
    """
    parts = [
        _say_what(data, recipe, report),
        _describe_gate(report, run),
        _describe_model(data, recipe),
        _describe_data(data, run),
        _list_metrics(report),
        _describe_check(data),
        _describe_call(request),
        "## Intended use\n\nTo be filled in by the model's owner: what it is for, what it is not "
        "for, who is affected.",
    ]
    return _fit(parts)


def describe_registered_model(data: TrainingData) -> str:
    """What a registered model is told of itself when its first version comes."""
    return (
        f"Predicts {escape(data.description['target'])}. Each version's page has its model card, "
        "its stage and its aliases: Staging and challenger serve on the staging endpoint, "
        "Production and champion on the prod endpoint."
    )


def _say_what(data: TrainingData, recipe: Recipe, report: Mapping[str, Any]) -> str:
    first = metrics.METRICS[data.task][0]
    return (
        f"{escape(recipe.name)} predicts {escape(data.description['target'])} from "
        f"{_count(len(data.columns), 'column', 'columns')} of "
        f"{escape(name_data(str(data.description['source'])))}: "
        f"{first.label} {report['metrics'][first.name]:.4g}"
    )


def _describe_gate(report: Mapping[str, Any], run: RunPlace) -> str:
    page = f"#/experiments/{run.experiment_id}/runs/{run.run_id}?workflowType=machine_learning"
    return (
        f"![The gate: new, constant, champion](get-artifact?path=gate.png&run_id={run.run_id})\n\n"
        f"**Gate {report['verdict']}**: {escape(report['summary'], _LONGEST_SENTENCE)}. "
        f"[The run]({page}) has this picture (`gate.png`), `gate_report.json` and the plots."
    )


def _describe_model(data: TrainingData, recipe: Recipe) -> str:
    target = f"* Predicts: **{escape(data.description['target'])}**, "
    if data.classes:
        classes = _enumerate([str(value) for value in data.classes])
        target += f"one of {len(data.classes)} classes with their probabilities: {classes}"
    else:
        target += "a number (regression)"
    by_kind: dict[str, list[str]] = {}
    for column in data.columns:
        by_kind.setdefault(column["kind"], []).append(column["name"])
    told = [
        f"{_count(len(names), *_KINDS[kind])} ({_enumerate(names)})"
        for kind, names in by_kind.items()
    ]
    parameters = [
        f"{parameter.keyword} {recipe.parameters[parameter.name]:g}"
        for parameter in recipe.estimator.parameters
    ]
    chosen = _cut(", ".join(parameters), _LONGEST_LIST)
    return "\n".join(
        [
            "## Model\n",
            target,
            f"* From: {'; '.join(told)}",
            f"* Estimator: {escape(recipe.name)}{chosen and f' ({escape(chosen, 400)})'}",
        ]
    )


def _describe_data(data: TrainingData, run: RunPlace) -> str:
    description = data.description
    rows = description["train_rows"] + description["test_rows"]
    lines = [
        "## Data\n",
        f"* Source: {escape(str(description['source']), _LONGEST_LIST)}, "
        f"digest {escape(str(description['digest'])[:_DIGEST_LETTERS])}",
        f"* Rows: {rows:,}, of which {description['test_rows']:,} were held out "
        f"(by {escape(str(description['split_by']))})",
    ]
    reports = [path.name for path in data.report_files if path.suffix == ".html"]
    if reports:
        lines.append(
            f"* Report: [{reports[0]}](get-artifact?path={reports[0]}&run_id={run.run_id}) "
            "of the run"
        )
    warnings = description["warnings"]
    if warnings:
        more = f" (and {len(warnings) - 1} more: the run's tag data.warnings)"
        lines.append(
            f"* Warning: {escape(str(warnings[0]), _LONGEST_SENTENCE // 2)}"
            f"{more if len(warnings) > 1 else ''}"
        )
    return "\n".join(lines)


def _list_metrics(report: Mapping[str, Any]) -> str:
    # No table: MLflow's page sets its cells without any space between them.
    compared = {measure["metric"]["name"]: measure for measure in report["measures"]}
    lines, others = [], []
    for metric in metrics.METRICS[report["task"]]:
        if metric.name not in report["metrics"]:
            continue
        told = f"{metric.label} {report['metrics'][metric.name]:.4g}"
        measure = compared.get(metric.name)
        if measure is None:
            others.append(told)
            continue
        told += f" (95 %: {measure['new']['low']:.4g} to {measure['new']['high']:.4g})"
        told += f"; the best constant {measure['baseline']['value']:.4g}"
        if measure["champion"] is not None:
            told += f"; the champion {measure['champion']['value']:.4g}"
        lines.append(f"* {told}")
    lines += [f"* {', '.join(others)}"] if others else []
    return "\n".join(["## Metrics\n", "Of the held-out rows:\n", *lines])


def _describe_check(data: TrainingData) -> str:
    rows = len(data.raw_rows["rows"])
    if rows:
        told = (
            f"`raw_rows.json` of the run has {_count(rows, 'held-out row', 'held-out rows')} in "
            "the table's own words, with the model's answers. Each stage's endpoint must give the "
            "same answers before the version gets the stage."
        )
    else:
        told = "No held-out row was kept: the endpoints are asked the input example alone."
    return f"## Held-out check\n\n{told}"


def _describe_call(request: Mapping[str, Any]) -> str:
    # JSON that no parser of Markdown or HTML takes for anything else.
    body = re.sub(
        r"[<>&`\u007f-\u009f\u2028\u2029\ufeff]",
        lambda found: f"\\u{ord(found.group()):04x}",
        json.dumps(request, ensure_ascii=False),
    )
    if len(body) > _LONGEST_REQUEST:
        return (
            "## Call it\n\nA request that works has "
            f"{len(body):,} characters, too many for here: `serving_input_example.json` of the "
            "model's files. Content type `application/json`."
        )
    return (
        "## Call it\n\nA request of one row, content type `application/json`, for `mlops invoke "
        "ENDPOINT --data TEXT` or the endpoint itself:\n\n"
        f"```json\n{body}\n```"
    )


def _fit(parts: Sequence[str]) -> str:
    """All parts; the longest ones are replaced by a sentence until the card is short enough."""
    kept = list(parts)
    while len("\n\n".join(kept)) > LONGEST:
        # What comes first is what was decided; it stays.
        longest = max(range(2, len(kept)), key=lambda place: len(kept[place]))
        heading = kept[longest].partition("\n")[0]
        kept[longest] = f"{heading}\n\nToo long for here: the run has it."
    return "\n\n".join(kept) + "\n"


def _enumerate(names: Sequence[str]) -> str:
    """Names, escaped, as many as have room, and how many there are more."""
    shown: list[str] = []
    for name in names:
        shown.append(escape(name, _LONGEST_NAME // 2))
        if len(", ".join(shown)) > _LONGEST_LIST:
            shown.pop()
            break
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _one_line(text: str) -> str:
    printable: Iterable[str] = (letter if letter.isprintable() else " " for letter in text)
    return " ".join("".join(printable).split())


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3].rstrip()}..."
