"""Which requests answers are recorded for, and which files are none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from model_deploy import model_name
from model_deploy.errors import ConfigError, ModelNotDeployable
from model_deploy.recorded_answers.cases import read_cases
from model_deploy.request_limits import RequestLimit

LIMIT = RequestLimit.of({})
DESCRIPTION = {"saved_input_example_info": {"serving_input_path": "serving_input_example.json"}}


def model(tmp_path: Path, example: Any = None) -> Path:
    folder = tmp_path / "model"
    folder.mkdir(parents=True)
    example = example or {"dataframe_split": {"columns": ["x"], "data": [[1], [2]]}}
    (folder / "serving_input_example.json").write_text(json.dumps(example))
    return folder


def test_the_input_example_comes_first_then_the_files_by_name(tmp_path: Path) -> None:
    folder = model(tmp_path)
    cases = tmp_path / "cases"
    cases.mkdir()
    (cases / "b.csv").write_bytes(b"x\r\n3\r\n")
    (cases / "a.json").write_bytes(b'{"inputs": [1] }')
    (cases / "README.md").write_text("why these")
    (cases / ".DS_Store").write_text("")
    found = read_cases(folder, DESCRIPTION, cases, LIMIT)
    assert [(case.name, case.content_type) for case in found] == [
        ("the input example", "application/json"),
        ("a.json", "application/json"),
        ("b.csv", "text/csv"),
    ]
    assert found[0].body == (folder / "serving_input_example.json").read_text()
    assert found[1].body == '{"inputs": [1] }'
    assert found[2].body == "x\r\n3\r\n"
    assert {(case.status, case.answer) for case in found} == {(200, None)}


def test_of_a_large_example_the_rows_that_fit_are_sent(tmp_path: Path) -> None:
    rows = [[number] for number in range(100)]
    folder = model(tmp_path, {"dataframe_split": {"columns": ["x"], "data": rows}})
    limit = RequestLimit(size=200, kind="a small endpoint")
    (case,) = read_cases(folder, DESCRIPTION, tmp_path / "none", limit)
    sent = json.loads(case.body)["dataframe_split"]["data"]
    assert 0 < len(sent) < 100
    assert sent == rows[: len(sent)]
    assert case.name.startswith(f"the input example, its first {len(sent)} of 100 rows")
    with pytest.raises(ModelNotDeployable, match="above the limit of a tiny endpoint, 9 bytes"):
        read_cases(folder, DESCRIPTION, tmp_path, RequestLimit(size=9, kind="a tiny endpoint"))


def test_all_files_that_are_no_request_are_named_at_once(tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    cases.mkdir()
    (cases / "broken.json").write_text("{")
    (cases / "list.json").write_text("[1]")
    (cases / "nan.json").write_text('{"inputs": [NaN]}')
    (cases / "latin.csv").write_bytes(b"x\n\xe9")
    (cases / "empty.csv").write_text("\n")
    (cases / "rows.parquet").write_text("PAR1")
    (cases / "large.csv").write_text("x" * 101)
    limit = RequestLimit(size=100, kind="a small endpoint")
    with pytest.raises(ConfigError) as raised:
        read_cases(model(tmp_path), DESCRIPTION, cases, limit)
    problems = raised.value.problems
    assert [problem.split()[0] for problem in problems] == [
        *("broken.json", "empty.csv", "large.csv", "latin.csv", "list.json", "nan.json"),
        "rows.parquet",
    ]
    assert problems[0].startswith("broken.json is not JSON: Expecting property name")
    assert problems[1] == "empty.csv is empty"
    assert problems[2] == "large.csv is 101 bytes, above the limit of a small endpoint, 100 bytes"
    assert "can not be read as UTF-8" in problems[3]
    assert problems[4].startswith("list.json is not a JSON object as /invocations takes it")
    assert problems[5] == "nan.json is not JSON: NaN is no JSON; a missing number is null"
    assert problems[6] == "rows.parquet is none of *.json, *.csv"


def test_no_folder_is_told_with_those_that_exist(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cases" / "churm").mkdir(parents=True)
    with caplog.at_level(logging.INFO):
        read_cases(model(tmp_path), DESCRIPTION, tmp_path / "cases" / "churn", LIMIT)
    assert caplog.messages[0].endswith("cases/churn; there are of: churm")


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"saved_input_example_info": None},
        {"saved_input_example_info": {"serving_input_path": "gone.json"}},
    ],
)
def test_a_model_without_an_input_example_is_refused(
    tmp_path: Path, description: dict[str, Any]
) -> None:
    with pytest.raises(ModelNotDeployable, match="it has no input example that could be sent"):
        read_cases(model(tmp_path), description, tmp_path / "none", LIMIT)


def test_an_input_example_outside_of_the_model_is_none(tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text('{"inputs": [1]}')
    for path in ("../outside.json", str(tmp_path / "outside.json")):
        outside = {"saved_input_example_info": {"serving_input_path": path}}
        with pytest.raises(ModelNotDeployable, match="it has no input example that could be sent"):
            read_cases(model(tmp_path / path.replace("/", "_")), outside, tmp_path, LIMIT)


def test_an_input_example_with_nan_is_no_request(tmp_path: Path) -> None:
    folder = model(tmp_path, {"inputs": [float("nan")]})
    with pytest.raises(ModelNotDeployable) as raised:
        read_cases(folder, DESCRIPTION, tmp_path / "none", LIMIT)
    assert raised.value.problems == (
        "the request of its input example, serving_input_example.json, is not JSON: NaN is no "
        "JSON; a missing number is null. Log it with another one.",
    )


@pytest.mark.parametrize("name", ["n" * 256, "\u540d" * 100])
def test_a_name_that_no_folder_can_have_has_no_cases(tmp_path: Path, name: str) -> None:
    (tmp_path / "cases").mkdir()
    assert model_name.find_problem(name) is None
    folder = tmp_path / "cases" / model_name.encode(name)
    (example,) = read_cases(model(tmp_path), DESCRIPTION, folder, LIMIT)
    assert example.name == "the input example"


def test_a_file_beside_the_folders_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("README.md", ".gitkeep", "mine.json"):
        (tmp_path / "cases" / "churn").mkdir(parents=True, exist_ok=True)
        (tmp_path / "cases" / name).write_text("{}")
    read_cases(model(tmp_path), DESCRIPTION, tmp_path / "cases" / "churn", LIMIT)
    assert caplog.messages == [
        f"{tmp_path}/cases/mine.json is no case of any model; put it into the folder of one, such "
        f"as {tmp_path}/cases/churn"
    ]
