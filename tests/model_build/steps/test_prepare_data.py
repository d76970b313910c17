"""PrepareData: any table it accepts ends up as numbers and text; any other gets one clear error."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import prepare_data
import pytest
from moto import mock_aws
from prepare_data import DataError

SOURCE = "s3://tables/houses"


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="tables")
        yield client


def table(rows: int = 40, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"size": np.arange(rows) * 1.5, "target": np.arange(rows) * 2.0})
    return frame.assign(**columns)


def csv_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def parts_of(frame: pd.DataFrame, folder: Path, **settings: Any) -> dict[str, Any]:
    shaped = prepare_data.shape_table(frame, "target", SOURCE)
    size, seed = settings.get("test_size", 0.25), settings.get("seed", 42)
    prepare_data.write_parts(shaped, SOURCE, folder, size, seed)
    description: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    return description


# --- where tables come from


@pytest.mark.parametrize("name", prepare_data.BUNDLED)
def test_each_bundled_dataset_can_be_used(name: str, tmp_path: Path) -> None:
    frame = prepare_data.read_table(f"sklearn:{name}")
    description = parts_of(frame, tmp_path)
    assert description["rows"] == len(frame)
    assert description["target"] == "target"


def test_unknown_bundled_dataset_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="no bundled dataset 'boston'; there are breast"):
        prepare_data.read_table("sklearn:boston")


@pytest.mark.parametrize("source", ["houses.csv", "s3://tables", "s3:///key", "http://x/y.csv"])
def test_other_addresses_are_refused(source: str) -> None:
    with pytest.raises(DataError, match="neither sklearn:<dataset> nor s3://bucket/key"):
        prepare_data.read_table(source)


def test_one_csv_file(s3: Any) -> None:
    s3.put_object(Bucket="tables", Key="houses.csv", Body=csv_of(table()))
    pd.testing.assert_frame_equal(prepare_data.read_table("s3://tables/houses.csv"), table())


def test_byte_order_mark_is_no_part_of_the_first_name(s3: Any) -> None:
    s3.put_object(Bucket="tables", Key="houses.csv", Body=b"\xef\xbb\xbf" + csv_of(table()))
    assert list(prepare_data.read_table("s3://tables/houses.csv")) == ["size", "target"]


def test_a_prefix_of_compressed_csv_files_in_the_order_of_their_names(s3: Any) -> None:
    frame = table()
    s3.put_object(Bucket="tables", Key="houses/b.csv.gz", Body=gzip.compress(csv_of(frame[25:])))
    s3.put_object(Bucket="tables", Key="houses/a.csv", Body=csv_of(frame[:25]))
    s3.put_object(Bucket="tables", Key="houses/_SUCCESS", Body=b"")
    s3.put_object(Bucket="tables", Key="houses/", Body=b"")
    s3.put_object(Bucket="tables", Key="houses-of-others/c.csv", Body=b"no,table\n")
    for source in ("s3://tables/houses", "s3://tables/houses/"):
        pd.testing.assert_frame_equal(prepare_data.read_table(source), frame)


def test_a_prefix_of_parquet_files(s3: Any, tmp_path: Path) -> None:
    for name, part in (("a", table()[:25]), ("b", table()[25:])):
        part.to_parquet(tmp_path / name)
        s3.upload_file(str(tmp_path / name), "tables", f"houses/deep/{name}.parquet")
    pd.testing.assert_frame_equal(prepare_data.read_table(SOURCE), table())


def test_a_column_that_only_folder_names_hold_is_not_lost_without_a_word(s3: Any) -> None:
    s3.put_object(Bucket="tables", Key="houses/year=2020/a.csv", Body=csv_of(table()))
    with pytest.raises(DataError, match=r"is partitioned \(folder 'year=2020'\): .*column 'year'"):
        prepare_data.read_table(SOURCE)
    assert len(prepare_data.read_table(f"{SOURCE.rstrip('/')}/year=2020/")) == 40


def test_what_spark_was_still_writing_is_no_part_of_the_table(s3: Any) -> None:
    for key in ("houses/a.csv", "houses/_temporary/0/a.csv", "houses/.staging/a.csv"):
        s3.put_object(Bucket="tables", Key=key, Body=csv_of(table()))
    assert len(prepare_data.read_table(SOURCE)) == 40


@pytest.mark.parametrize(
    ("key", "kind"), [("_delta_log/0.json", "Delta"), (".hoodie/hoodie.properties", "Hudi")]
)
def test_a_table_whose_log_says_which_files_count_is_refused(s3: Any, key: str, kind: str) -> None:
    for name in ("a.csv", key):
        s3.put_object(Bucket="tables", Key=f"houses/{name}", Body=csv_of(table()))
    with pytest.raises(DataError, match=f"is a {kind} table; write it as plain Parquet files"):
        prepare_data.read_table(SOURCE)


def test_a_blank_line_before_the_header_is_skipped(s3: Any) -> None:
    s3.put_object(Bucket="tables", Key="houses.csv", Body=b"\n" + csv_of(table()))
    pd.testing.assert_frame_equal(prepare_data.read_table("s3://tables/houses.csv"), table())


def test_a_file_without_rows_changes_nothing(s3: Any) -> None:
    s3.put_object(Bucket="tables", Key="houses/a.csv", Body=csv_of(table()))
    s3.put_object(Bucket="tables", Key="houses/b.csv", Body=csv_of(table()[:0]))
    pd.testing.assert_frame_equal(prepare_data.read_table(SOURCE), table())


def put(s3: Any, **bodies: bytes) -> None:
    for key, body in bodies.items():
        s3.put_object(Bucket="tables", Key=f"houses/{key.replace('_', '.')}", Body=body)


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ({}, "nothing at s3://tables/houses"),
        ({"a_csv": b""}, "a.csv of s3://tables/houses is empty"),
        ({"a_csv": b"size,target\n"}, "has no rows"),
        ({"a_csv": csv_of(table()), "b_parquet": b"x"}, "mixes CSV and Parquet"),
        ({"a_json": b"{}"}, "can't tell what a.json of s3://tables/houses is; names must end in"),
        ({"a_csv": b"size;target\n1;2\n"}, "one column 'size;target'; write it with commas"),
        ({"a_csv": b"size,target,size\n1,2,3\n"}, "more than one column called 'size'"),
        ({"a_csv": b",target\n0,1\n"}, "no name for column 1; .* write with index=False"),
        ({"a_csv": b"size;price\n1,5;2,5\n"}, "one column 'size;price'; write it with commas"),
        ({"a_csv": b"size,target\n1,2,3\n"}, "more fields than the 2 names in its first line"),
        ({"a_csv": b"size,target\n\xff\xfe,2\n"}, "not UTF-8 text"),
        ({"a_csv_gz": b"not compressed"}, "a.csv.gz of .* can't be read as CSV"),
        ({"a_csv_gz": gzip.compress(b"")[:10] + b"\xff" * 50}, "a.csv.gz of .* as CSV: .*decompr"),
        ({"a_parquet": b"not parquet"}, "a.parquet of .* can't be read as Parquet"),
        ({"a_csv": b"a,target\n1,2\n", "b_csv": b"b,target\n1,2\n"}, "differ in columns: 'a', 'b'"),
    ],
)
def test_unreadable_files_get_one_clear_error(
    s3: Any, bodies: dict[str, bytes], expected: str
) -> None:
    put(s3, **bodies)
    with pytest.raises(DataError, match=expected):
        prepare_data.shape_table(prepare_data.read_table(SOURCE), "target", SOURCE)


def test_missing_bucket_is_named(s3: Any) -> None:
    with pytest.raises(DataError, match=r"can't read s3://other/.*: there is no bucket 'other'"):
        prepare_data.read_table("s3://other/x.csv")


def test_parquet_with_equal_names_is_refused(s3: Any, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table([[1.0], [2.0]], names=["x", "x"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="more than one column called 'x'"):
        prepare_data.read_files([tmp_path / "a.parquet"], SOURCE)


def test_row_numbers_that_pandas_adds_to_parquet_are_refused(tmp_path: Path) -> None:
    frame = table()
    frame[frame["size"] > 3].to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no name for column 3; .* write with index=False"):
        prepare_data.read_files([tmp_path / "a.parquet"], SOURCE)


# --- what becomes of columns


def missing(values: list[Any], dtype: Any = object) -> pd.Series[Any]:
    return pd.Series(values * 10, dtype=dtype)


def far_days() -> pd.Series[Any]:
    """As pyarrow gives timestamps beyond what fits nanoseconds; pandas itself would overflow."""
    return pd.Series(np.array(["9999-12-31", "NaT"] * 20, dtype="datetime64[us]"))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (missing([1, 2, 3, 4], "int64"), [1.0, 2.0, 3.0, 4.0]),
        (missing([1, None, 3, 4], "Int64"), [1.0, None, 3.0, 4.0]),
        (missing([True, False, True, False], "bool"), [1.0, 0.0, 1.0, 0.0]),
        (missing([True, None, True, False]), [1.0, None, 1.0, 0.0]),
        (missing([True, None, True, False], "boolean"), [1.0, None, 1.0, 0.0]),
        (missing([decimal.Decimal("1.5"), None, 2, 3]), [1.5, None, 2.0, 3.0]),
        (missing(["a", None, "b", "c"]), ["a", None, "b", "c"]),
        (missing(["a", None, "b", "c"], "string"), ["a", None, "b", "c"]),
        (missing(["a", None, "b", "c"], "category"), ["a", None, "b", "c"]),
        (missing([1, None, 2, 1], "category"), [1.0, None, 2.0, 1.0]),
        (missing(["a", 1, None, "b"]), ["a", "1", None, "b"]),
        (
            missing(["1970-01-02", None, "1970-01-03T12:00", "1969-12-31"], "datetime64[ns]"),
            [1.0, None, 2.5, -1.0],
        ),
        (
            pd.Series(pd.to_datetime(["1970-01-02T02:00+02:00", None] * 20)),
            [1.0, None, 1.0, None],
        ),
        (missing([datetime.date(1970, 1, 11), None] * 2), [10.0, None, 10.0, None]),
        (missing([datetime.datetime(1970, 1, 2), None] * 2), [1.0, None, 1.0, None]),
        (missing([datetime.date(9999, 12, 31), None] * 2), [2932896.0, None] * 2),
        (far_days(), [2932896.0, None] * 2),
        (far_days().dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"), [2932896.0, None] * 2),
        (pd.Series(pd.to_timedelta(["1 min", None] * 20)), [60.0, None, 60.0, None]),
    ],
)
def test_every_kind_of_column_becomes_number_or_text(
    column: pd.Series[Any], expected: list[Any]
) -> None:
    shaped = prepare_data.shape_table(table(extra=column), "target", SOURCE).frame
    kind = object if any(isinstance(value, str) for value in expected) else np.dtype("float64")
    assert shaped["extra"].dtype == kind
    assert [None if pd.isna(value) else value for value in shaped["extra"][:4]] == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (missing([[1], [2]] * 2), "holds 'list'"),
        (missing([{"a": 1}, None] * 2), "holds 'dict'"),
        (missing([b"raw", None] * 2), "holds 'bytes'"),
        (missing([1.0, np.inf] * 2, "float64"), "'extra' in .* has 20 infinite values"),
        (missing([1.0, -1e39] * 2, "float64"), "'extra' in .* has 20 .* values beyond 3.4e38"),
    ],
)
def test_what_no_model_can_use_is_refused(column: pd.Series[Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        prepare_data.shape_table(table().assign(extra=column), "target", SOURCE)


def test_a_column_without_values_is_left_out_and_said_so(tmp_path: Path) -> None:
    description = parts_of(table(nothing=None), tmp_path)
    assert description["dropped_columns"] == ["nothing"]
    assert "nothing" not in pd.read_parquet(tmp_path / "train.parquet")


def test_a_column_without_values_in_the_training_part_is_left_out(tmp_path: Path) -> None:
    frame = table()
    parts_of(frame, tmp_path)
    held_out = pd.read_parquet(tmp_path / "test.parquet")["size"]
    frame["rare"] = frame["size"].where(frame["size"].isin(held_out)).astype(str)
    frame.loc[~frame["size"].isin(held_out), "rare"] = None
    assert parts_of(frame, tmp_path)["dropped_columns"] == ["rare"]


# --- the target


def test_missing_target_column_lists_the_columns() -> None:
    with pytest.raises(DataError, match="no column 'price' to predict; it has 'size', 'target'"):
        prepare_data.shape_table(table(), "price", SOURCE)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (["cheap", "dear"] * 20, "is not numeric: 40 of 40 values are no numbers"),
        (["1", "2", "3", "n/a?"] * 10, "is not numeric: 10 of 40 values are no numbers"),
        ([None] * 40, "every value of the target 'target' .* is missing"),
        ([7.0] * 40, "is the same in every row"),
        ([1.0, np.inf] * 20, "infinite"),
        (list(pd.date_range("2024-01-01", periods=40)), "is a date"),
    ],
)
def test_unusable_target_is_refused(target: list[Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        prepare_data.shape_table(table().assign(target=target), "target", SOURCE)


def test_rows_without_target_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = table()
    frame.loc[:3, "target"] = None
    description = parts_of(frame, tmp_path)
    assert (description["rows"], description["rows_without_target"]) == (36, 4)


def test_target_alone_is_not_enough() -> None:
    with pytest.raises(DataError, match="no column but 'target' to predict from"):
        prepare_data.shape_table(table()[["target"]], "target", SOURCE)


@pytest.mark.parametrize(("rows", "test_size"), [(9, 0.25), (40, 0.05), (40, 0.95)])
def test_too_few_rows_are_refused(rows: int, test_size: float, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"has {rows} usable rows: .* each needs at least 5"):
        parts_of(table(rows), tmp_path, test_size=test_size)
    assert not list(tmp_path.iterdir())


def test_blanks_around_the_target_are_part_of_its_name(
    monkeypatch: pytest.MonkeyPatch, s3: Any, tmp_path: Path
) -> None:
    s3.put_object(Bucket="tables", Key="a.csv", Body=csv_of(table()).replace(b"target", b" target"))
    monkeypatch.setenv("INPUT_DATA_URI", "s3://tables/a.csv")
    monkeypatch.setenv("TARGET_COLUMN", " target")
    argv = ["--output", str(tmp_path), "--message-file", str(tmp_path / "message")]
    assert prepare_data.main(argv) == 0


# --- the split


def test_split_is_complete_and_the_same_each_time(tmp_path: Path) -> None:
    first = parts_of(table(), tmp_path / "a")
    parts_of(table(), tmp_path / "b")
    parts_of(table(), tmp_path / "c", seed=43)

    def read(folder: str, name: str) -> list[float]:
        return list(pd.read_parquet(tmp_path / folder / f"{name}.parquet")["target"])

    assert read("a", "test") == read("b", "test") != read("c", "test")
    assert sorted(read("a", "train") + read("a", "test")) == list(table()["target"])
    assert (first["train_rows"], first["test_rows"]) == (30, 10)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "dataset.json",
        "test.parquet",
        "train.parquet",
    ]


def test_digest_depends_on_values_not_on_storage(tmp_path: Path) -> None:
    frame = table(city="Bern")
    frame.to_csv(tmp_path / "0-a.csv", index=False)
    frame.to_parquet(tmp_path / "0-a.parquet")

    def digest(path: Path) -> str:
        read = prepare_data.read_files([path], SOURCE)
        return prepare_data.digest_of(prepare_data.shape_table(read, "target", SOURCE).frame)

    assert digest(tmp_path / "0-a.csv") == digest(tmp_path / "0-a.parquet")
    frame.assign(city="Basel").to_csv(tmp_path / "0-b.csv", index=False)
    assert digest(tmp_path / "0-a.csv") != digest(tmp_path / "0-b.csv")


# --- as the job runs it

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_script(tmp_path: Path) -> Script:
    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                prepare_data.__file__,
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
    assert len(pd.read_parquet(tmp_path / "output" / "train.parquet")) == 331
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


def test_script_names_the_variable_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INPUT_DATA_URI", "sklearn:diabetes")
    monkeypatch.delenv("TARGET_COLUMN", raising=False)
    argv = ["--output", str(tmp_path), "--message-file", str(tmp_path / "message")]
    assert prepare_data.main(argv) == 1
    assert "TARGET_COLUMN is empty" in caplog.text


def test_message_fits_what_sagemaker_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INPUT_DATA_URI", "sklearn:" + "x" * 5000)
    monkeypatch.setenv("TARGET_COLUMN", "target")
    argv = ["--output", str(tmp_path), "--message-file", str(tmp_path / "message")]
    assert prepare_data.main(argv) == 1
    assert len((tmp_path / "message").read_text(encoding="utf-8")) == 1024
