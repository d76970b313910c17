"""What is predicted follows from the target; where nobody can tell, the table is refused."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from errors import DataError

from tests.model_build.steps.tables import Result, csv_of, parquet_of, prepare_files, table


def prepare_csv(folder: Path, *values: Any, rows: int = 200, **options: Any) -> Result:
    """A CSV table in whose target these values take turns."""
    target = [values[row % len(values)] for row in range(rows)]
    return prepare_files({"a.csv": csv_of(table(rows).assign(target=target))}, folder, **options)


def prepare_parquet(folder: Path, target: pa.Array, **options: Any) -> Result:
    columns = pa.table({"size": np.arange(len(target)) + 0.5, "target": target})
    pq.write_table(columns, folder / "a.parquet")
    body = (folder / "a.parquet").read_bytes()
    return prepare_files({"a.parquet": body}, folder / "out", **options)


def refusal(folder: Path, *values: Any, **options: Any) -> str:
    """What is said of a target in which these values take turns."""
    with pytest.raises(DataError) as refused:
        prepare_csv(folder, *values, **options)
    return str(refused.value).replace("the target 'target' in s3://tables/houses ", "")


def described(result: Result) -> tuple[str, str, list[Any] | None]:
    """Task, kind and classes, all as dataset.json has them; the files' type must fit the kind."""
    facts = result.read("dataset.json")
    types = {"number": pa.float64(), "boolean": pa.bool_(), "text": pa.string()}
    for part in ("train", "test"):
        schema = pq.read_schema(result.folder / f"{part}.parquet")
        assert schema.field("target").type == types[facts["target_kind"]]
    assert [type(name) for name in facts.get("classes", ())] == [
        {"number": int, "boolean": bool, "text": str}[facts["target_kind"]]
        for _ in facts.get("classes", ())
    ]
    return facts["task"], facts["target_kind"], facts.get("classes")


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (("yes", "no"), "text", ["no", "yes"]),
        (("yes", "no", ""), "text", ["no", "yes"]),
        (("T", "F"), "text", ["F", "T"]),
        (("<=50K", ">50K"), "text", ["<=50K", ">50K"]),
        ((*["A"] * 30, "7"), "text", ["7", "A"]),
        (("True", "False"), "boolean", [False, True]),
        (("TRUE", "false", "true ", ""), "boolean", [False, True]),
        (("true", "NA", "false"), "boolean", [False, True]),
    ],
)
def test_text_and_booleans_are_classes(
    tmp_path: Path, values: tuple[str, ...], kind: str, classes: list[Any]
) -> None:
    result = prepare_csv(tmp_path, *values)
    assert described(result) == ("classification", kind, classes)


@pytest.mark.parametrize(
    ("target", "kind", "classes"),
    [
        (pa.array(["x", "y", None, ""] * 50).dictionary_encode(), "text", ["x", "y"]),
        (pa.array(["x", "y"] * 100, pa.large_string()), "text", ["x", "y"]),
        (pa.array([True, None, False] * 60), "boolean", [False, True]),
    ],
)
def test_text_and_booleans_of_parquet_are_classes(
    tmp_path: Path, target: pa.Array, kind: str, classes: list[Any]
) -> None:
    result = prepare_parquet(tmp_path, target)
    assert described(result) == ("classification", kind, classes)


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        ([3, 1, 2, 1], "number", [1, 2, 3]),
        ([True, False], "boolean", [False, True]),
        (["b", "a"], "text", ["a", "b"]),
    ],
)
def test_categories_of_pandas_are_classes(
    tmp_path: Path, values: list[Any], kind: str, classes: list[Any]
) -> None:
    frame = table(200).assign(target=pd.Categorical(values * (200 // len(values))))
    result = prepare_files({"a.parquet": parquet_of(frame)}, tmp_path / "a")
    assert described(result) == ("classification", kind, classes)


def test_categories_are_classes_however_few_rows_they_have(tmp_path: Path) -> None:
    frame = table(60).assign(target=pd.Categorical([row // 2 for row in range(60)]))
    result = prepare_files({"a.parquet": parquet_of(frame)}, tmp_path)
    assert described(result)[0] == "classification"


def test_numbers_are_classes_only_if_every_file_has_them_as_categories(tmp_path: Path) -> None:
    frame = table(200).assign(target=[1, 2] * 100)
    files = {
        "a.parquet": parquet_of(frame.astype({"target": "category"})),
        "b.parquet": parquet_of(frame),
    }
    with pytest.raises(DataError, match="may be classes or amounts"):
        prepare_files(files, tmp_path)


@pytest.mark.parametrize(
    "metadata", [b"", b"not JSON", b"[]", b'{"columns": [1]}', b'{"columns": [{"name": "x"}]}']
)
def test_notes_of_another_program_than_pandas_are_passed_over(
    tmp_path: Path, metadata: bytes
) -> None:
    columns = pa.table({"size": np.arange(200) + 0.5, "target": np.arange(200) * 0.5})
    pq.write_table(columns.replace_schema_metadata({b"pandas": metadata}), tmp_path / "a.parquet")
    files = {"a.parquet": (tmp_path / "a.parquet").read_bytes()}
    assert described(prepare_files(files, tmp_path / "out"))[0] == "regression"


def test_categories_with_fractions_are_amounts(tmp_path: Path) -> None:
    frame = table(200).assign(target=pd.Categorical([1.5, 2.0] * 100))
    result = prepare_files({"a.parquet": parquet_of(frame)}, tmp_path)
    assert described(result) == ("regression", "number", None)


@pytest.mark.parametrize("write", [csv_of, parquet_of])
def test_folders_of_hive_can_be_the_target(write: Any, tmp_path: Path) -> None:
    suffix = "csv" if write is csv_of else "parquet"
    frame = table(60)[["size"]]
    files = {
        f"target=yes/a.{suffix}": write(frame),
        f"target=no/a.{suffix}": write(frame + 100),
        f"target=__HIVE_DEFAULT_PARTITION__/a.{suffix}": write(frame + 200),
    }
    result = prepare_files(files, tmp_path)
    assert described(result) == ("classification", "text", ["no", "yes"])
    assert result.read("dataset.json")["rows_without_target"] == 60


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (("0", "1"), [0, 1]),
        (("1.0", "2", " 1", "+2"), [1, 2]),
        (("-0.0", "0", "-1"), [-1, 0]),
        (("1,000", "2,000"), [1000, 2000]),
        (("5", "4", "3", "2", "1", "NA"), [1, 2, 3, 4, 5]),
    ],
)
def test_whole_numbers_are_classes_if_that_is_asked_for(
    tmp_path: Path, values: tuple[str, ...], classes: list[int]
) -> None:
    result = prepare_csv(tmp_path, *values, task="classification")
    assert described(result) == ("classification", "number", classes)


@pytest.mark.parametrize(
    "target",
    [
        pa.array([0, 1] * 100, pa.int8()),
        pa.array([0.0, 1.0, float("nan"), None] * 50),
        pa.array([decimal.Decimal("0.00"), decimal.Decimal("1.00")] * 100),
    ],
)
def test_whole_numbers_of_parquet_are_classes_if_that_is_asked_for(
    tmp_path: Path, target: pa.Array
) -> None:
    result = prepare_parquet(tmp_path, target, task="classification")
    assert described(result) == ("classification", "number", [0, 1])


# --- numbers that may be either


@pytest.mark.parametrize(
    ("values", "told", "examples"),
    [
        (("0", "1"), 2, "0 (100 rows), 1 (100 rows). Set"),
        (("1.0", "2.0"), 2, "1 (100 rows), 2 (100 rows). Set"),
        (("0", "0", "1", "2", "3", "7"), 5, "0 (68 rows), 1 (33 rows), 2 (33 rows), 3 (33 rows)"),
        (tuple(map(str, range(20))), 20, "0 (10 rows), 1 (10 rows), 2 (10 rows), 3 (10 rows), 4 "),
        (("1,500", "99", "2,000"), 3, "1500 (67 rows), 99 (67 rows), 2000 (66 rows). Set"),
    ],
)
def test_few_whole_numbers_are_refused_with_both_choices_named(
    tmp_path: Path, values: tuple[str, ...], told: int, examples: str
) -> None:
    message = refusal(tmp_path / "x", *values)
    assert message.startswith(f"has {told} different values in 200 rows, all of them whole num")
    assert (
        f", all of them whole numbers, so that they may be classes or amounts: {examples}"
        in message
    )
    assert message.endswith("Set the parameter Task=classification or Task=regression")
    result = prepare_csv(tmp_path / "y", *values, task="regression")
    assert described(result) == ("regression", "number", None)


def test_three_rows_a_value_are_enough_for_classes(tmp_path: Path) -> None:
    numbers = list(map(str, range(20)))
    assert "may be classes or amounts" in refusal(tmp_path, *numbers, rows=60)
    result = prepare_csv(tmp_path, *(f"class {number}" for number in numbers), rows=60)
    assert described(result)[0] == "classification"


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        (("0", "1", "0.5"), 200),
        (tuple(map(str, range(21))), 200),
        (tuple(map(str, range(20))), 59),
        # Whole prices in a small table: hardly two of them are equal.
        (tuple(str(100_000 + 500 * row) for row in range(15)), 30),
    ],
)
def test_other_numbers_are_amounts(tmp_path: Path, values: tuple[str, ...], rows: int) -> None:
    result = prepare_csv(tmp_path, *values, rows=rows)
    assert described(result) == ("regression", "number", None)


# --- what can't be what is asked for


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (("true", "false"), "is true or false, and Task is regression, which predicts numbers: "),
        (
            ("yes", "no"),
            "is not numeric but text, and Task is regression: none of its values looks like a num",
        ),
        (
            ("1", "2", "3", "n/a?"),
            "is not numeric but text, and Task is regression: only 150 of 200 values are numbers; "
            "of the others, first 'n/a?' (a.csv, row 4). Correct it, or set the parameter "
            "Task=classification if its values are classes, or the parameter TargetColumn",
        ),
    ],
)
def test_no_numbers_no_regression(tmp_path: Path, values: tuple[str, ...], told: str) -> None:
    assert refusal(tmp_path, *values, task="regression").startswith(told)


@pytest.mark.parametrize(
    ("value", "rows"), [("2.5", 66), ("inf", 66), ("1e-3", 66), ("-0.5", 66), ("1e20", 66)]
)
def test_fractions_are_no_classes(tmp_path: Path, value: str, rows: int) -> None:
    assert refusal(tmp_path, "1", "2", value, task="classification") == (
        f"can't be classes: {rows} of its numbers are not whole, or beyond 2^53, first '{value}' "
        "(a.csv, row 3). Correct them, or set the parameter Task=regression"
    )


@pytest.mark.parametrize("task", ["auto", "regression", "classification"])
def test_dates_are_never_predicted(tmp_path: Path, task: str) -> None:
    assert refusal(tmp_path, "2024-01-01", "2024-01-02", task=task) == (
        "is a date; only numbers and classes can be predicted. Set the parameter TargetColumn"
    )


@pytest.mark.parametrize(
    ("task", "value"),
    [
        *(("auto", value) for value in ("yes", "true", "7", "7.5")),
        *(("regression", value) for value in ("7", "7.5")),
        *(("classification", value) for value in ("yes", "true", "7")),
    ],
)
def test_one_value_is_nothing_to_learn(tmp_path: Path, task: str, value: str) -> None:
    assert refusal(tmp_path, value, task=task).startswith("is the same in every row, so there is")


@pytest.mark.parametrize(
    ("values", "rows", "told"),
    [
        (
            [f"house-{row}" for row in range(200)],
            200,
            "has 200 different values in 200 rows, and that is no set of classes, which has 2 to "
            "100: 'house-0' (1 row), 'house-1' (1 row), 'house-2' (1 row), 'house-3' (1 row), "
            "'house-4' (1 row) and 195 more. Set the parameter TargetColumn",
        ),
        (
            [f"house-{row}" for row in range(3000)],
            3000,
            "has over 1000 different values, and that is no set of classes, which has 2 to 100: "
            "'house-0', 'house-1', 'house-2', 'house-3', 'house-4'. Set the parameter TargetColumn",
        ),
        (
            list(map(str, range(101))),
            303,
            "has 101 different values in 303 rows, and that is no set of classes, which has 2 to "
            "100: 0 (3 rows), 1 (3 rows), 2 (3 rows), 3 (3 rows), 4 (3 rows) and 96 more. Set the "
            "parameter Task=regression or TargetColumn",
        ),
    ],
)
def test_too_many_values_are_no_classes(
    tmp_path: Path, values: list[str], rows: int, told: str
) -> None:
    assert refusal(tmp_path, *values, rows=rows, task="classification") == told


def test_a_hundred_classes_are_enough(tmp_path: Path) -> None:
    values = [f"c{row}" for row in range(100)]
    result = prepare_csv(tmp_path, *values, rows=2000)
    assert described(result) == ("classification", "text", sorted(values))


def test_names_are_no_classes_unless_that_is_asked_for(tmp_path: Path) -> None:
    names = [f"house-{row}" for row in range(30)]
    assert refusal(tmp_path, *names, rows=60) == (
        "has 30 different values in 60 rows, as names have rather than classes: 'house-0' (2 rows)"
        ", 'house-1' (2 rows), 'house-2' (2 rows), 'house-3' (2 rows), 'house-4' (2 rows) and 25 "
        "more. Set the parameter TargetColumn, or Task=classification if they are classes"
    )
    result = prepare_csv(tmp_path, *names, rows=60, task="classification")
    assert described(result)[0] == "classification"


def test_one_class_in_the_training_part_is_nothing_to_learn(tmp_path: Path) -> None:
    target = ["a"] * 150 + ["b"] * 50
    frame = table(200).assign(target=target)
    with pytest.raises(
        DataError,
        match=r"is the same in every training row: 'a' \(150 rows\); the test rows have 'b' "
        r"\(50 rows\). Set the parameter SplitBy or TestSize",
    ):
        prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by="time:size")


# --- text that was meant to be something else


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("1", "2", "A7"), "only 134 of 200 values are numbers; of the others, first 'A7' (a.csv"),
        ((*["on request"] * 9, "1200"), "20 of 200 values are numbers; of the others, first 'on r"),
        ((*["on request"] * 9, "1,200"), "20 of 200 values are numbers"),
        ((*["true", "false"] * 50, "n/k"), "only 199 of 200 values are true or false; of the othe"),
        (
            ("NA", "1", "2", "A7"),
            "only 100 of 150 values are numbers; of the others, first 'A7' (a",
        ),
        (("01", "02"), "200 of its numbers begin with a zero, as codes do"),
        ((str(2**60), str(2**60 + 1)), "200 of its whole numbers are beyond 2^53"),
        (("$1,200", "€1,200", "£1,200"), "its numbers are not all written in the same way"),
        (("01/02/2024", "03/04/2024"), "its dates can be read as %d/%m/%Y or %m/%d/%Y; write ISO"),
        (("NA", "null"), "all of its values are words for what is missing"),
        (("18-25", "26-40"), "its values look like numbers, dates or codes, in a way that is not"),
    ],
)
def test_a_spoiled_column_is_refused_unless_it_is_said_to_be_classes(
    tmp_path: Path, values: tuple[str, ...], why: str
) -> None:
    message = refusal(tmp_path / "a", *values)
    assert message.startswith(f"is not numeric but text: {why}")
    assert message.endswith(
        "Correct it, or set the parameter Task=classification if its values are classes, or the "
        "parameter TargetColumn"
    )
    result = prepare_csv(tmp_path / "b", *values, task="classification")
    assert described(result) == ("classification", "text", sorted(set(values)))


def test_numbers_that_parquet_has_as_text_are_refused(tmp_path: Path) -> None:
    for target in (pa.array(["1", "2"] * 100), pa.array(["1", "2"] * 100).dictionary_encode()):
        with pytest.raises(DataError, match="text: the file has it as text, though its values are"):
            prepare_parquet(tmp_path, target)


ODD = (*["0", "1"] * 15, "n/k")


@pytest.mark.parametrize("task", ["auto", "regression", "classification"])
def test_odd_values_of_the_target_are_refused_whatever_the_task(tmp_path: Path, task: str) -> None:
    assert "column 'target': 6 of 200 values are no numbers, first 'n/k' (a.csv, row 31)" in (
        refusal(tmp_path, *ODD, task=task)
    )


def test_without_its_odd_values_the_target_is_a_number(tmp_path: Path) -> None:
    message = refusal(tmp_path, *ODD, odd_values="missing")
    assert message.startswith("has 2 different values in 194 rows, all of them whole numbers")
    result = prepare_csv(tmp_path / "a", *ODD, odd_values="missing", task="classification")
    assert described(result) == ("classification", "number", [0, 1])
    assert len(result.rows) == 194
    result = prepare_csv(tmp_path / "b", *ODD, odd_values="missing", task="regression")
    assert described(result) == ("regression", "number", None)


def test_a_target_that_odd_values_made_text_is_refused_unless_it_is_said_to_be_classes(
    tmp_path: Path,
) -> None:
    assert refusal(tmp_path, *ODD, odd_values="text").startswith(
        "is not numeric but text: 6 of 200 values are no numbers, first 'n/k' (a.csv, row 31)"
    )
    assert "and Task is regression" in refusal(tmp_path, *ODD, odd_values="text", task="regression")
    result = prepare_csv(tmp_path, *ODD, odd_values="text", task="classification")
    assert described(result) == ("classification", "text", ["0", "1", "n/k"])
    assert (
        "target: 6 values are no numbers, so the column is text; first 'n/k' (a.csv, row 31)"
        in result.findings
    )


def test_moments_that_odd_values_made_text_are_refused(tmp_path: Path) -> None:
    days = [datetime.date(2024, 1, 1 + row % 2) for row in range(199)]
    target = pa.array([*days, datetime.date(9999, 12, 31)])
    with pytest.raises(DataError, match=r"1 of 200 values are no dates, first '9999-12-31' \(a.pa"):
        prepare_parquet(tmp_path, target, odd_values="text")
