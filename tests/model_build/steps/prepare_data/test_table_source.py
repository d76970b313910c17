"""Where tables come from: bundled sets, one object, a prefix of them, folders that are columns."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import prepare_data
import pytest
import table_source
from errors import DataError, enumerate_names
from moto import mock_aws
from raw_table import RawTable

from tests.model_build.steps.tables import SOURCE, csv_of, parquet_of, prepare_files, table


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="tables")
        yield client


def put(s3: Any, **bodies: bytes) -> None:
    for key, body in bodies.items():
        s3.put_object(Bucket="tables", Key=f"houses/{key.replace('_', '.')}", Body=body)


def opened(source: str, folder: Path) -> RawTable:
    return prepare_data.open_table(source, folder)[0]


def frame_of(table: RawTable) -> pd.DataFrame:
    return pd.concat([batch.columns.to_pandas() for batch in table.read()], ignore_index=True)


@pytest.mark.parametrize("name", table_source.BUNDLED)
def test_each_bundled_dataset_can_be_used(name: str, tmp_path: Path) -> None:
    found = opened(f"sklearn:{name}", tmp_path)
    assert "target" in found.columns
    assert len(frame_of(found)) >= 150


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("breast_cancer", ["benign", "malignant"]),
        ("diabetes", None),
        ("digits", list(range(10))),
        ("iris", ["setosa", "versicolor", "virginica"]),
        ("wine", ["class_0", "class_1", "class_2"]),
    ],
)
def test_each_bundled_dataset_knows_its_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, classes: list[Any] | None
) -> None:
    monkeypatch.setenv("INPUT_DATA_URI", f"sklearn:{name}")
    monkeypatch.setenv("TARGET_COLUMN", "target")
    assert prepare_data.main(["--output", str(tmp_path)]) == 0
    described = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert described.get("classes") == classes
    assert described["task"] == ("classification" if classes else "regression")


def test_unknown_bundled_dataset_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no bundled dataset 'boston'; there are breast"):
        opened("sklearn:boston", tmp_path)


@pytest.mark.parametrize("source", ["houses.csv", "s3://tables", "s3:///key", "http://x/y.csv"])
def test_other_addresses_are_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither sklearn:<dataset> nor s3://bucket/key"):
        opened(source, tmp_path)


def test_one_object_with_its_etag(s3: Any, tmp_path: Path) -> None:
    answer = s3.put_object(Bucket="tables", Key="houses.csv", Body=csv_of(table()))
    found, objects = prepare_data.open_table("s3://tables/houses.csv", tmp_path)
    assert len(frame_of(found)) == 200
    assert [(item.uri, item.etag, item.size_bytes) for item in objects] == [
        ("s3://tables/houses.csv", answer["ETag"].strip('"'), len(csv_of(table())))
    ]
    assert {batch.file for batch in found.read()} == {"houses.csv"}


def test_a_prefix_of_files_in_the_order_of_their_names(s3: Any, tmp_path: Path) -> None:
    frame = table()
    put(s3, b_csv_gz=gzip.compress(csv_of(frame[150:])), a_csv=csv_of(frame[:150]), _SUCCESS=b"")
    s3.put_object(Bucket="tables", Key="houses/", Body=b"")
    s3.put_object(Bucket="tables", Key="houses-of-others/c.csv", Body=b"no,table\n")
    for number, source in enumerate(("s3://tables/houses", "s3://tables/houses/")):
        folder = tmp_path / str(number)
        folder.mkdir()
        sizes = frame_of(opened(source, folder))["size"]
        assert list(sizes.astype(float)) == list(frame["size"])


def test_a_table_that_is_passed_over_for_its_name_is_told(
    s3: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("houses/a.csv", "houses/_2024.csv", "houses/_SUCCESS"):
        s3.put_object(Bucket="tables", Key=key, Body=csv_of(table()))
    for key in ("houses/deep/.B.TSV.gz", "houses/_c.parquet", "houses/_d.txt", "houses/_e/f.csv"):
        s3.put_object(Bucket="tables", Key=key, Body=b"")
    caplog.set_level("INFO")
    opened(SOURCE, tmp_path)
    told = "passed over, because their names begin with _ or .: '_2024.csv', '_c.parquet', "
    assert caplog.messages == [told + "'deep/.B.TSV.gz'"]
    caplog.clear()
    s3.put_object(Bucket="tables", Key="houses/b.csv", Body=csv_of(table()))
    opened(SOURCE, tmp_path)
    assert caplog.messages[0] == f"{SOURCE} holds 2 files"


def test_a_file_that_is_named_itself_may_begin_with_an_underscore(
    s3: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("houses/city=Bern/_a.csv", "houses/city=Bern/_a.csv/.b.csv"):
        s3.put_object(Bucket="tables", Key=key, Body=csv_of(table()))
    found = opened("s3://tables/houses/city=Bern/_a.csv", tmp_path)
    assert tuple(found.columns) == ("size", "target")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("AccessDenied", "the pipeline's role may not read it (s3:ListBucket, s3:GetObject)"),
        ("403", "the pipeline's role may not read it (s3:GetObject)"),
        (
            "NoSuchThing",
            "An error occurred (NoSuchThing) when calling the ListObjectsV2 operation",
        ),
    ],
)
def test_what_s3_refuses_is_said_with_what_it_takes(
    stub_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, told: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", stub_server.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    stub_server.status = 400
    stub_server.body = f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode()
    with pytest.raises(DataError) as caught:
        opened("s3://tables/houses", tmp_path)
    assert str(caught.value).startswith(f"can't read s3://tables/houses: {told}")


def test_s3_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DataError, match=r"can't read s3://tables/houses: Could not connect to the"):
        opened("s3://tables/houses", tmp_path)


def test_what_spark_was_still_writing_is_no_part_of_the_table(s3: Any, tmp_path: Path) -> None:
    for key in ("houses/a.csv", "houses/_temporary/0/a.csv", "houses/.staging/a.csv"):
        s3.put_object(Bucket="tables", Key=key, Body=csv_of(table()))
    assert len(frame_of(opened(SOURCE, tmp_path))) == 200


@pytest.mark.parametrize(
    ("key", "kind"), [("_delta_log/0.json", "Delta"), (".hoodie/hoodie.properties", "Hudi")]
)
def test_a_table_whose_log_says_which_files_count_is_refused(
    s3: Any, key: str, kind: str, tmp_path: Path
) -> None:
    for name in ("a.csv", key):
        s3.put_object(Bucket="tables", Key=f"houses/{name}", Body=csv_of(table()))
    with pytest.raises(DataError, match=f"is a {kind} table; write it as plain Parquet files"):
        opened(SOURCE, tmp_path)


@pytest.mark.parametrize("write", [csv_of, parquet_of])
def test_folders_of_hive_are_columns(write: Any, tmp_path: Path) -> None:
    suffix = "csv" if write is csv_of else "parquet"
    files = {
        f"city=Bern/year=2020/a.{suffix}": write(table(60)),
        f"city=Z%C3%BCrich/year=2021/b.{suffix}": write(table(60)),
        f"city=__HIVE_DEFAULT_PARTITION__/year=2021/c.{suffix}": write(table(60)),
    }
    result = prepare_files(files, tmp_path)
    assert {name: result.kinds[name] for name in ("city", "year")} == {
        "city": "text",
        "year": "number",
    }
    assert set(result.rows["city"]) == {"Bern", "Zürich", None}
    assert set(result.rows["year"]) == {2020.0, 2021.0}
    assert result.columns["city"]["gaps"]


def test_folders_that_do_not_name_the_same_columns_are_refused(s3: Any, tmp_path: Path) -> None:
    for key in ("houses/year=2020/a.csv", "houses/b.csv"):
        s3.put_object(Bucket="tables", Key=key, Body=csv_of(table()))
    with pytest.raises(DataError, match="differ in the columns they name: 'year'"):
        opened(SOURCE, tmp_path)


def test_a_column_in_folders_and_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"both the folders and the files .* column 'size'"):
        prepare_files({"size=1/a.csv": csv_of(table())}, tmp_path)


def test_missing_bucket_is_named(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read s3://other/.*: there is no bucket 'other'"):
        opened("s3://other/x.csv", tmp_path)


def test_nothing_at_the_address_is_said(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing at s3://tables/houses; check the address"):
        opened(SOURCE, tmp_path)


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, "'00'"), (20, "'19'"), (21, "'19' and 1 more"), (30, "'19' and 10 more")],
)
def test_of_many_names_twenty_are_told(count: int, told: str) -> None:
    names = enumerate_names([f"{number:02}" for number in reversed(range(count))])
    assert names.startswith("'00'")
    assert names.endswith(told)
    assert names.count("'") == 2 * min(count, 20)
