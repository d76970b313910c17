"""PrepareData as the job runs it: its files, its words, its exit code."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import prepare_data
import pyarrow as pa
import pytest

from model_build.step_archive import pack_step
from tests.model_build.steps.tables import csv_of, parquet_of, prepare_files, table

FILES = [
    "data_report.html",
    "data_report.json",
    "dataset.json",
    "raw_rows.json",
    "test.parquet",
    "test_units.parquet",
    "train.parquet",
]

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["module", "archive"])
def run_script(tmp_path: Path, request: pytest.FixtureRequest) -> Script:
    """The step as a person starts it, and packed as SageMaker gets it."""
    module = Path(prepare_data.__file__)
    script = module if request.param == "module" else pack_step(module.parent, "prepare_data")

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                script,
                *("--output", str(tmp_path / "output")),
                *("--message-file", str(tmp_path / "out" / "message")),
            ],
            env={"PATH": os.environ["PATH"], **environment},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_script_writes_what_the_training_step_reads(run_script: Script, tmp_path: Path) -> None:
    done = run_script(INPUT_DATA_URI="sklearn:diabetes", TARGET_COLUMN="target")
    assert done.returncode == 0, done.stderr
    train, test = (
        pd.read_parquet(tmp_path / "output" / f"{part}.parquet") for part in ("train", "test")
    )
    assert len(train) + len(test) == 442
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == FILES
    assert not (tmp_path / "out").exists()


def test_script_leaves_the_cause_of_its_failure_for_sagemaker(
    run_script: Script, tmp_path: Path
) -> None:
    done = run_script(INPUT_DATA_URI="sklearn:diabetes", TARGET_COLUMN="price")
    assert done.returncode == 1
    message = (tmp_path / "out" / "message").read_text(encoding="utf-8")
    assert message.startswith("sklearn:diabetes has no column 'price' to predict; it has 'age'")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TARGET_COLUMN": ""}, "the environment variable TARGET_COLUMN is empty"),
        ({"TARGET_COLUMN": None}, "the environment variable TARGET_COLUMN is empty"),
        ({"INPUT_DATA_URI": None}, "the environment variable INPUT_DATA_URI is empty"),
        ({"INPUT_DATA_URI": " "}, "the environment variable INPUT_DATA_URI is empty"),
        ({"TASK": "ranking"}, "Task is 'ranking'; give one of auto, regression, classification"),
        ({"TASK": ""}, "Task is ''; give one of auto, regression, classification"),
        ({"ODD_VALUES": "drop"}, "OddValues is 'drop'; give one of refuse, missing, text"),
        ({"SPLIT_BY": "date"}, "SplitBy is 'date'; give row, time:<column> or group:<column>"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    variables: dict[str, str | None],
    told: str,
) -> None:
    right = {"INPUT_DATA_URI": "sklearn:diabetes", "TARGET_COLUMN": "target"}
    for name, value in {**right, **variables}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    argv = ["--output", str(tmp_path), "--message-file", str(tmp_path / "message")]
    assert prepare_data.main(argv) == 1
    assert told in caplog.text


def test_the_task_stands_in_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INPUT_DATA_URI", "sklearn:iris")
    monkeypatch.setenv("TARGET_COLUMN", "target")
    caplog.set_level("INFO")
    assert prepare_data.main(["--output", str(tmp_path / "output")]) == 0
    assert "sklearn:iris: classification into 3 classes, " in caplog.text


def test_nothing_is_left_of_a_table_whose_target_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INPUT_DATA_URI", "sklearn:digits")
    monkeypatch.setenv("TARGET_COLUMN", "pixel_0_2")
    message = tmp_path / "message"
    argv = ["--output", str(tmp_path / "output"), "--message-file", str(message)]
    assert prepare_data.main(argv) == 1
    assert message.read_text(encoding="utf-8").startswith(
        "the target 'pixel_0_2' in sklearn:digits has 17 different values in 1797 rows, all of "
        "them whole numbers, so that they may be classes or amounts: "
    )
    assert not (tmp_path / "output").exists()


def test_message_fits_what_sagemaker_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INPUT_DATA_URI", "sklearn:" + "x" * 5000)
    monkeypatch.setenv("TARGET_COLUMN", "target")
    argv = ["--output", str(tmp_path), "--message-file", str(tmp_path / "message")]
    assert prepare_data.main(argv) == 1
    assert len((tmp_path / "message").read_text(encoding="utf-8")) == 1024


def test_each_finding_is_one_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INPUT_DATA_URI", "sklearn:iris")
    monkeypatch.setenv("TARGET_COLUMN", "target")
    caplog.set_level("INFO")
    argv = ["--output", str(tmp_path / "output"), "--message-file", str(tmp_path / "message")]
    assert prepare_data.main(argv) == 0
    report = json.loads((tmp_path / "output" / "data_report.json").read_text(encoding="utf-8"))
    told = [record.getMessage() for record in caplog.records if record.name == "prepare_data"]
    assert told[:-1] == [finding["message"] for finding in report["findings"]]
    assert told[0] == "1 of 150 rows are exact copies of others; copies are always on the same " + (
        "side of the split"
    )


# --- what becomes of rows and columns


def test_rows_without_target_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = table()
    frame.loc[:3, "target"] = None
    description = prepare_files({"a.csv": csv_of(frame)}, tmp_path).read("dataset.json")
    assert (description["rows"], description["rows_without_target"]) == (196, 4)


def test_a_column_without_values_is_left_out_and_said_so(tmp_path: Path) -> None:
    result = prepare_files({"a.parquet": parquet_of(table(nothing=None))}, tmp_path)
    assert result.read("dataset.json")["dropped_columns"] == [
        {"name": "nothing", "reason": "every value is missing"}
    ]
    assert ": left out, because every value is missing: 'nothing'" in result.findings


def test_a_column_without_values_in_the_training_part_is_left_out(tmp_path: Path) -> None:
    frame = table(200, code=None).astype({"code": object})
    frame.loc[180:, "code"] = "new"
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by="time:size")
    assert result.read("dataset.json")["dropped_columns"] == [
        {"name": "code", "reason": "no value in the training part"}
    ]
    assert list(result.kinds) == ["size"]
    assert result.read("raw_rows.json")["columns"] == ["size"]


def test_gaps_are_those_of_the_whole_table(tmp_path: Path) -> None:
    frame = table(full="x", gappy="y")
    frame.loc[frame.index[:150], "gappy"] = None
    columns = prepare_files({"a.csv": csv_of(frame)}, tmp_path).columns
    assert (columns["full"]["gaps"], columns["gappy"]["gaps"]) == (False, True)


def test_digest_depends_on_the_rows_not_on_their_order(tmp_path: Path) -> None:
    frame = table(city="Bern")

    def digest(frame: pd.DataFrame, name: str) -> str:
        result = prepare_files({"a.csv": csv_of(frame)}, tmp_path / name)
        return str(result.read("dataset.json")["digest"])

    assert digest(frame, "a") == digest(frame.sample(frac=1, random_state=1), "b")
    assert digest(frame, "a") != digest(frame.assign(city="Basel"), "c")
    assert digest(frame, "a") != digest(frame.rename(columns={"city": "town"}), "d")


def test_blanks_around_a_name_are_part_of_it(tmp_path: Path) -> None:
    body = csv_of(table()).replace(b"target", b" target")
    assert prepare_files({"a.csv": body}, tmp_path, target=" target").kinds == {"size": "number"}


# --- the report


def test_the_report_says_of_each_column_what_it_holds(tmp_path: Path) -> None:
    frame = table(
        400,
        city=["Bern", "Basel", None, "Genf"] * 100,
        sold=[str(day.date()) for day in pd.date_range("2024-01-01", periods=400)],
        extra="5",
    ).astype({"extra": object})
    frame.loc[7, "extra"] = "<n/k>"
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, odd_values="missing")
    report = result.read("data_report.json")
    rows = {row["name"]: row for row in report["columns"]}
    assert list(rows) == ["size", "city", "sold", "extra", "target"]
    assert (rows["city"]["missing"], rows["city"]["distinct_in_training"]) == (100, 3)
    assert (rows["sold"]["least"], rows["sold"]["most"]) == (
        "2024-01-01",
        "2025-02-03",
    )
    assert (rows["size"]["least"], rows["size"]["most"]) == (0.25, 199.75)
    assert (rows["extra"]["odd_values"], rows["extra"]["first_odd_value"]) == (
        1,
        "first '<n/k>' (a.csv, row 8)",
    )
    assert rows["target"]["is_target"]
    for part in ("train", "test"):
        values = result.train if part == "train" else result.test
        assert report["target_values"][part]["mean"] == pytest.approx(values["target"].mean())
        assert report["target_values"][part]["quantiles"]["0.5"] == values["target"].median()
    page = (tmp_path / "data_report.html").read_text(encoding="utf-8")
    assert "&lt;n/k&gt;" in page
    assert "<n/k>" not in page


def test_the_report_counts_the_classes_of_each_part(tmp_path: Path) -> None:
    frame = table(200).assign(target=["<yes>", "no", "no", "no"] * 50)
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path)
    report = result.read("data_report.json")
    assert (report["task"], report["classes"]) == ("classification", ["<yes>", "no"])
    assert report["columns"][-1]["kind"] == "text"
    for part in ("train", "test"):
        rows = (result.train if part == "train" else result.test)["target"].value_counts()
        assert report["target_values"][part] == {
            "classes": [{"class": name, "rows": rows[name]} for name in ("<yes>", "no")]
        }
    page = (tmp_path / "data_report.html").read_text(encoding="utf-8")
    negative = int((result.train["target"] == "no").sum())
    share = f"{negative / len(result.train):.6g}"
    assert f'<td>no</td><td class="number">{negative}</td><td class="number">{share}</td>' in page
    assert "<td>&lt;yes&gt;</td>" in page


def tables_of(page: str) -> list[list[list[str]]]:
    """The text of each cell, by table and row."""
    return [
        [
            [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall("<tr>(.*?)</tr>", table)
        ]
        for table in re.findall("<table>(.*?)</table>", page)
    ]


def test_the_page_shows_the_whole_report(tmp_path: Path) -> None:
    frame = table(
        40, none=None, cost=["1,5", "2,25"] * 20, extra=["5"] * 37 + ["a<b", "c", "6"]
    ).assign(size=range(40))
    frame.loc[39, "target"] = None
    result = prepare_files(
        {"a.csv": csv_of(frame, sep=";")}, tmp_path, odd_values="missing", split_by="time:size"
    )
    page = (tmp_path / "data_report.html").read_text(encoding="utf-8")
    facts, columns, targets, dropped = tables_of(page)
    assert facts == [
        ["source", "s3://tables/houses"],
        ["target", "target"],
        ["task", "regression"],
        ["rows", f"{len(result.train)} to train, {len(result.test)} to test"],
        ["split", "time:size, seed 42"],
        ["exact copies of other rows", "0"],
        ["rows left out without a target", "1"],
        ["digest", result.read("dataset.json")["digest"]],
    ]
    assert columns == [
        ["column", "kind", "missing", "distinct in training", "least", "most", "odd values"],
        ["size", "number", "0", str(len(result.train)), "0", "38", ""],
        ["cost", "number (decimal ,)", "0", "2", "1.5", "2.25", ""],
        ["extra", "number", "2", "1", "5", "5", "2: first 'a<b' (a.csv, row 38)"],
        ["target (target)", "number", "0", str(len(result.train)), "0.5", "38.5", ""],
    ]
    quantiles = ["0%", "5%", "25%", "50%", "75%", "95%", "100%"]
    assert targets[0] == ["part", "mean", *quantiles]
    assert [row[0] for row in targets[1:]] == ["train", "test"]
    for row, part in zip(targets[1:], (result.train, result.test), strict=True):
        values = part["target"]
        assert row[1] == f"{values.mean():.6g}"
        assert [row[2], row[5], row[8]] == [
            f"{value:.6g}" for value in (values.min(), values.median(), values.max())
        ]
    assert dropped == [["column", "because"], ["none", "every value is missing"]]
    warnings = re.findall('<li class="warning">(.*?)</li>', page)
    assert (
        "<code>extra</code>: 2 values are no numbers, taken as missing; first &#x27;a&lt;b&#x27; "
        "(a.csv, row 38)"
    ) in warnings
    assert "<li>fields are separated by &#x27;;&#x27;</li>" in page


def test_the_page_of_a_table_without_findings_says_so(tmp_path: Path) -> None:
    prepare_files({"a.csv": csv_of(table())}, tmp_path)
    page = (tmp_path / "data_report.html").read_text(encoding="utf-8")
    assert "<ul><li>nothing odd was found</li></ul>" in page
    assert [row[0][0] for row in tables_of(page)] == ["source", "column", "part"]


def test_the_page_names_the_first_hundred_objects(tmp_path: Path) -> None:
    from data_report import render_page

    report = prepare_files({"a.csv": csv_of(table())}, tmp_path).read("data_report.json")
    report["objects"] = [
        {"uri": f"s3://tables/{number}<.csv", "etag": f"e{number}", "size_bytes": number}
        for number in range(102)
    ]
    *_, objects = tables_of(render_page(report))
    assert objects[:2] == [["object", "ETag", "bytes"], ["s3://tables/0<.csv", "e0", "0"]]
    assert objects[100] == ["s3://tables/99<.csv", "e99", "99"]
    assert len(objects) == 101


def test_preparing_twice_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        prepare_files({"a.csv": csv_of(table(city=["Bärn", "Basel"] * 100))}, tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    for name in FILES:
        if name.endswith(".json"):
            text = (tmp_path / "a" / name).read_text(encoding="utf-8")
            sorted_text = json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False)
            assert text == sorted_text + "\n"


def test_the_first_of_several_odd_values_is_told_and_a_long_one_is_cut() -> None:
    from findings import OddValues
    from raw_table import RawBatch

    values = pa.array(["5", "first", "6", "last"])
    batch = RawBatch(columns=pa.table({"x": values}), file="a.csv", first_row=101)
    odd = OddValues()
    odd.add(values, np.array([False, True, False, True]), batch)
    odd.add(values, np.array([True, False, False, False]), batch)
    assert (odd.count, str(odd)) == (3, "first 'first' (a.csv, row 102)")
    odd.value = "x" * 60
    assert str(odd) == f"first {'x' * 60!r} (a.csv, row 102)"
    odd.value = "x" * 61
    assert str(odd) == f"first {'x' * 60 + '...'!r} (a.csv, row 102)"


def test_values_of_several_batches_are_profiled_together() -> None:
    from column_profile import MOST_DISTINCT, ColumnProfile

    profile = ColumnProfile(kind="number")
    profile.count(pa.chunked_array([pa.array(range(MOST_DISTINCT), pa.float64())]))
    assert (profile.distinct, profile.least, profile.most) == (10_000, 0, 9999)
    profile.count(pa.chunked_array([pa.nulls(3, pa.float64())]))
    profile.count(pa.chunked_array([pa.array([-5.0, 20_000.0, None])]))
    assert (profile.distinct, profile.least, profile.most) == (10_001, -5, 20_000)
    assert (profile.rows, profile.missing, profile.filled) == (10_006, 4, 10_002)


def test_many_different_values_are_counted_up_to_a_limit(tmp_path: Path) -> None:
    result = prepare_files({"a.csv": csv_of(table(30_000))}, tmp_path)
    rows = {row["name"]: row for row in result.read("data_report.json")["columns"]}
    assert rows["size"]["distinct_in_training"] == 10_001
    assert "over 10000" in (tmp_path / "data_report.html").read_text(encoding="utf-8")
