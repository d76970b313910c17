"""Files between S3 and folders, against a running gateway."""

from __future__ import annotations

import io
import tarfile
import uuid
from pathlib import Path
from typing import Any

import pytest

from local_aws.gateway import Gateway
from local_aws.sagemaker.jobs.s3_transfer import (
    TransferError,
    download_prefix,
    upload_archive,
    upload_folder,
)


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Any:
    return gateway.own.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"transfer-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    for key in ("sets/a.csv", "sets/deep/b.csv", "sets-old/c.csv", "sets/"):
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def files(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_folder_keeps_its_structure(s3: Any, bucket: str, tmp_path: Path) -> None:
    assert download_prefix(s3, f"s3://{bucket}/sets/", tmp_path) == 2
    assert files(tmp_path) == {"a.csv": "sets/a.csv", "deep/b.csv": "sets/deep/b.csv"}


def test_prefix_without_a_slash_takes_every_key_that_starts_with_it(
    s3: Any, bucket: str, tmp_path: Path
) -> None:
    assert download_prefix(s3, f"s3://{bucket}/sets", tmp_path) == 3
    assert set(files(tmp_path)) == {"a.csv", "deep/b.csv", "sets-old/c.csv"}


def test_single_object_keeps_its_file_name(s3: Any, bucket: str, tmp_path: Path) -> None:
    download_prefix(s3, f"s3://{bucket}/sets/a.csv", tmp_path)
    assert files(tmp_path) == {"a.csv": "sets/a.csv"}


def test_whole_bucket(s3: Any, bucket: str, tmp_path: Path) -> None:
    assert download_prefix(s3, f"s3://{bucket}", tmp_path) == 3


def test_a_key_does_not_lead_outside_of_the_folder(s3: Any, bucket: str, tmp_path: Path) -> None:
    s3.put_object(Bucket=bucket, Key="up/../../planted", Body=b"x")
    with pytest.raises(TransferError, match="is no path below"):
        download_prefix(s3, f"s3://{bucket}/up/", tmp_path / "deep")
    assert not (tmp_path / "planted").exists()
    s3.delete_object(Bucket=bucket, Key="up/../../planted")


def test_missing_bucket_is_named(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(TransferError) as refused:
        download_prefix(s3, "s3://no-such-bucket-here/x", tmp_path)
    assert str(refused.value).startswith("Data download failed: s3://no-such-bucket-here/x: ")
    assert "NoSuchBucket" in str(refused.value)


def test_folder_is_stored_below_the_uri(s3: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/x").write_text("1")
    (tmp_path / "y").write_text("2")
    assert upload_folder(s3, tmp_path, f"s3://{bucket}/out/") == 2
    stored = s3.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
    assert [entry["Key"] for entry in stored] == ["out/deep/x", "out/y"]


def test_archive_holds_the_folders_content(s3: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "model/deep").mkdir(parents=True)
    (tmp_path / "model/deep/x").write_text("1")
    upload_archive(s3, tmp_path / "model", f"s3://{bucket}/job/model.tar.gz", tmp_path)
    body = s3.get_object(Bucket=bucket, Key="job/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["deep", "deep/x"]
    assert not (tmp_path / "model.tar.gz").exists()


def test_refused_upload_names_the_object(s3: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    with pytest.raises(TransferError, match=r"Data upload failed: s3://no-such-bucket-here/a/x: "):
        upload_folder(s3, tmp_path, "s3://no-such-bucket-here/a")
