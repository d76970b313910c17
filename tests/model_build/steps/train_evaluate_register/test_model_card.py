"""The model card and the names that a person reads in MLflow, whatever the table's names are."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import model_card
import pandas as pd
import pytest
import registration
import train
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mlflow.exceptions import MlflowException
from training_data import Part, TrainingData

from tests.model_build.steps.train_evaluate_register.jobs import Job
from tests.model_build.steps.train_evaluate_register.recipes import SHIPPED, make_recipe

_RUN = model_card.RunPlace(experiment_id="7", run_id="0" * 32)
_HEADINGS = ["Model", "Data", "Metrics", "Held-out check", "Call it", "Intended use"]
_ODD_NAMES = [
    "a|b",
    "`tick`",
    "```",
    "<script>alert(1)</script>",
    "<!-- deploy:staging -->",
    "<!-- /deploy -->",
    "two\nlines\r\n\n## Model",
    "[l](javascript:alert(1))",
    "![x](http://tracker.example/x.png)",
    "&lt;b&gt;",
    "back\\slash\\",
    "_under_ *star* ~~no~~",
    "# x",
    "1. x",
    "- x",
    "@champion",
    "\u202eright to left",
    "é" * 200,
]


def make_data(
    columns: list[str],
    classes: list[Any] | None = None,
    target: str = "price",
    source: str = "s3://bucket/raw/prices.csv",
    warnings: list[str] | None = None,
) -> TrainingData:
    """Data as PrepareData describes it, with one row of numbers."""
    part = Part(
        features=pd.DataFrame([[1.5] * len(columns)], columns=columns),
        target=pd.Series([1.0]),
    )
    description = {
        "source": source,
        "digest": f"sha256:{'ab' * 32}",
        "target": target,
        "task": "classification" if classes else "regression",
        "columns": [{"name": name, "kind": "number", "gaps": False} for name in columns],
        "split_by": "row",
        "train_rows": 330,
        "test_rows": 110,
        "warnings": warnings or [],
        **({"classes": classes} if classes else {}),
    }
    return TrainingData(
        train=part,
        test=part,
        test_units=pd.Series([0]).to_numpy(),
        description=description,
        raw_rows={"rows": [[1.5]]},
        report_files=[Path("data_report.html"), Path("data_report.json")],
    )


def make_report(task: str, summary: str = "RMSE 57.52 (95 %: 50 to 65)") -> dict[str, Any]:
    told = {"rmse": 57.52, "r2": 0.4} if task == "regression" else {"brier_score": 0.2}
    name = next(iter(told))
    compared = {"value": 72.0, "low": 70.0, "high": 75.0}
    champion = {"value": 61.5} if task == "regression" else None
    measure = {
        "metric": {"name": name},
        "new": compared,
        "baseline": compared,
        "champion": champion,
    }
    return {
        "task": task,
        "verdict": "passed",
        "summary": summary,
        "measures": [measure],
        "metrics": told,
    }


def write(data: TrainingData, request: Mapping[str, Any] | None = None, summary: str = "s") -> str:
    asked = registration.example_request(data) if request is None else request
    report = make_report(data.task, summary)
    return model_card.write_card(data, make_recipe(), report, _RUN, asked)


def require_well_formed(card: str) -> None:
    """Below the limit, its headings and nothing else's, no HTML, one picture, links of ours."""
    assert len(card) <= model_card.LONGEST
    tokens = MarkdownIt().enable("table").parse(card)
    headings = [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"
    ]
    assert headings == _HEADINGS
    kinds = {token.type for token in tokens}
    assert not kinds & {
        "html_block",
        "code_block",
        "hr",
        "table_open",
        "ordered_list_open",
        "blockquote_open",
    }
    inline = [child for token in tokens for child in token.children or []]
    assert "html_inline" not in {child.type for child in inline}
    pictures = [child for child in inline if child.type == "image"]
    assert [str(child.attrs["src"]).partition("?")[0] for child in pictures] == ["get-artifact"]
    links = [str(child.attrs["href"]) for child in inline if child.type == "link_open"]
    assert all(link.startswith(("#/experiments/7/runs/", "get-artifact?")) for link in links)
    assert "<" not in card


def find_request(card: str) -> str:
    """What a reader copies out of it."""
    found = re.search(r"^```json\n(.*?)\n```$", card, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def test_a_card_says_what_it_predicts_from_what_and_how_well() -> None:
    card = write(
        make_data(["size", "rooms"], warnings=["12 rows are copies", "another"]),
        summary="RMSE 57.52 (95 %: 50 to 65), better_than|all",
    )
    require_well_formed(card)
    assert (
        card.splitlines()[0] == "random-forest predicts price from 2 columns of prices: RMSE 57.52"
    )
    for sentence in (
        "**Gate passed**: RMSE 57.52 (95 %: 50 to 65), better_than&#124;all. [The run](",
        "* Predicts: **price**, a number (regression)",
        "* From: 2 numbers (size, rooms)",
        "* Source: s3://bucket/raw/prices.csv, digest sha256:abababababab",
        "* Rows: 440, of which 110 were held out (by row)",
        "* Report: [data_report.html](get-artifact?path=data_report.html&run_id=",
        "* Warning: 12 rows are copies (and 1 more: the run's tag data.warnings)",
        "* RMSE 57.52 (95 %: 70 to 75); the best constant 72; the champion 61.5\n* R2 0.4\n",
        "`raw_rows.json` of the run has 1 held-out row in the table's own words",
        "To be filled in by the model's owner",
    ):
        assert sentence in card
    assert json.loads(find_request(card)) == {
        "dataframe_split": {"columns": ["size", "rooms"], "data": [[1.5, 1.5]]}
    }


@pytest.mark.parametrize("classes", [None, ["a", "b"]])
@pytest.mark.parametrize("name", _ODD_NAMES)
def test_odd_names_are_text_wherever_they_stand(name: str, classes: list[str] | None) -> None:
    odd = classes and [name, "b"]
    card = write(
        make_data([name, "b"], odd, target=name, source=f"s3://bucket/{name}", warnings=[name]),
        summary=name,
    )
    require_well_formed(card)
    assert json.loads(find_request(card))["dataframe_split"]["columns"] == [name, "b"]


@pytest.mark.parametrize("name", ["column", *_ODD_NAMES])
def test_300_columns_and_1000_classes_stay_below_the_limit_in_words(name: str) -> None:
    data = make_data(
        [f"{name} {number}" for number in range(300)],
        [f"{name} {number}" for number in range(1000)],
        source=f"s3://bucket/{name * 30}",
        warnings=[name * 100],
    )
    card = write(data, summary=name * 50)
    require_well_formed(card)
    assert re.search(r"one of 1000 classes .* and 9\d\d more\n", card)
    assert re.search(r"300 numbers \(.* and 2\d\d more\)\n", card)
    assert "too many for here: `serving_input_example.json` of the model's files" in card


@settings(max_examples=200, deadline=None)
@given(
    names=st.lists(
        st.text(st.sampled_from("ab_ |`<>&*[](){}#~@!\\-+=1.\n\t\u2028") | st.characters()),
        min_size=2,
        max_size=30,
        unique=True,
    )
)
def test_any_names_give_a_card_that_is_well_formed(names: list[str]) -> None:
    request = {"dataframe_split": {"columns": names, "data": [[1.5] * len(names)]}}
    data = make_data(["a"], names, target=names[0], source=names[1], warnings=names)
    columns = [{"name": name, "kind": "text", "gaps": False} for name in names]
    described = {**data.description, "columns": columns}
    card = write(dataclasses.replace(data, description=described), request, "".join(names))
    require_well_formed(card)


def test_a_part_that_is_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_card, "LONGEST", 1500)
    card = write(make_data([f"column {number}" for number in range(40)]))
    assert len(card) <= 1500
    assert "Too long for here: the run has it." in card
    assert card.count("## ") == len(_HEADINGS)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("sklearn:diabetes", "diabetes"),
        ("s3://bucket/raw/prices.csv", "prices"),
        ("s3://bucket/raw/prices.csv.gz", "prices"),
        ("s3://bucket/raw/", "raw"),
        ("s3://bucket/two\nlines", "two lines"),
        ("", "data"),
    ],
)
def test_data_is_named_by_its_last_word(source: str, name: str) -> None:
    assert model_card.name_data(source) == name


def test_a_run_is_named_by_what_tells_it_apart() -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/c3f2a1b0d4e5"
    named = model_card.name_run("random-forest", "sklearn:diabetes", arn)
    assert named == "random-forest on diabetes (c3f2a1b0)"
    report = make_report("regression")
    named = model_card.name_run("random-forest", "sklearn:diabetes", arn, report)
    assert named == "random-forest on diabetes, RMSE 57.52 (c3f2a1b0)"
    report["verdict"] = "failed"
    named = model_card.name_run("random-forest", "sklearn:diabetes", "", report)
    assert named == "random-forest on diabetes, RMSE 57.52, gate failed"


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("kind", ["number", "text", "boolean", "integer"])
def test_the_request_of_a_registered_card_is_answered_by_what_serves_the_model(
    start_job: Callable[[Path], Job],
    prepared: Path,
    prepared_classes: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: str,
) -> None:
    job = start_job(prepared if kind == "number" else prepared_classes[kind])
    monkeypatch.setenv("ESTIMATOR", name)
    assert train.main(job.arguments()) == 0
    (version,) = job.versions
    require_limits_of_mlflow(version.description)
    model = mlflow.pyfunc.load_model(f"models:/{job.name}/1")
    status, answer = ask_server(model, find_request(version.description))
    assert status == 200, answer
    assert len(json.loads(answer)["predictions"]) == 1
    assert job.run.info.run_name.startswith(f"{name} on houses, ")
    assert job.run.info.run_name.endswith(" (abc)")
    assert "champion on the prod endpoint" in job.client.get_registered_model(job.name).description


def ask_server(model: Any, body: str) -> tuple[int, str]:
    """What MLflow's server, with this model, answers to a request of JSON."""
    from mlflow.pyfunc import scoring_server

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/invocations",
        "raw_path": b"/invocations",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    asyncio.run(scoring_server.init(model)(scope, receive, send))
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return int(sent[0]["status"]), text


def require_limits_of_mlflow(card: str) -> None:
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    longest = SqlModelVersion.__table__.columns["description"].type.length
    assert len(card) <= model_card.LONGEST < longest == 5000


def test_a_persons_description_of_the_model_stays(job: Job) -> None:
    job.client.create_registered_model(job.name, description="Ours.")
    assert train.main(job.arguments()) == 0
    assert job.client.get_registered_model(job.name).description == "Ours."


def test_a_description_that_mlflow_refuses_fails_no_job(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("planted")

    monkeypatch.setattr(registration.MlflowClient, "update_model_version", refuse)
    assert train.main(job.arguments()) == 0
    assert len(job.versions) == 1
    assert f"version 1 of {job.name} has no model card: planted" in caplog.text


def test_the_experiment_is_the_models_unless_another_is_named(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPERIMENT_NAME", train.AS_THE_MODEL)
    assert train.main(job.arguments()) == 0
    assert job.has_run
    assert job.client.get_experiment_by_name(train.AS_THE_MODEL) is None
