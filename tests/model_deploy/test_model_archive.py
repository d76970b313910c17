from __future__ import annotations

import base64
import gzip
import os
import random
import shutil
import socket
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from model_deploy.errors import ArchiveConflict, ArchiveRefused, AwsError, ConfigError
from model_deploy.model_archive import ArchiveStore, ModelArchive, upload_archive, write_archive
from model_deploy.model_name import find_problem

_STORE = ArchiveStore(bucket="archives", prefix="shop/models")


def _model(folder: Path) -> Path:
    (folder / "data" / "empty").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "data" / "model.skops").write_bytes(bytes(range(256)) * 10)
    (folder / "requirements.txt").write_text("scikit-learn\n")
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> ModelArchive:
    return write_archive(_model(tmp_path / "model"), tmp_path / "model.tar.gz")


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="archives")
        yield client


def test_same_files_give_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    one = _model(tmp_path / "here")
    other = tmp_path / "deep" / "elsewhere"
    shutil.copytree(one, other)
    for age, path in enumerate(sorted(other.rglob("*"))):
        path.chmod(0o700)
        os.utime(path, (age, age))
    first = write_archive(one, tmp_path / "first.tar.gz")
    second = write_archive(other, tmp_path / "out" / "model.tar.gz")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


def test_digest_and_size_are_those_of_the_file(archive: ModelArchive) -> None:
    import hashlib

    content = archive.path.read_bytes()
    assert archive.sha256 == hashlib.sha256(content).hexdigest()
    assert archive.size_bytes == len(content)


def test_archive_unpacks_to_the_model_with_mlmodel_at_the_root(
    archive: ModelArchive, tmp_path: Path
) -> None:
    # tar itself: tarfile can do it safely on some of the accepted Pythons only.
    (tmp_path / "opt").mkdir()
    subprocess.run(["tar", "-xzf", archive.path, "-C", tmp_path / "opt"], check=True)
    packed = tmp_path / "model"
    for path in packed.rglob("*"):
        twin = tmp_path / "opt" / path.relative_to(packed)
        assert twin.is_dir() == path.is_dir()
        assert path.is_dir() or twin.read_bytes() == path.read_bytes()
    assert (tmp_path / "opt" / "MLmodel").is_file()


def test_members_are_what_sagemaker_accepts(archive: ModelArchive) -> None:
    """Relative names, files and folders only, nobody's, readable by everybody, in one order."""
    with tarfile.open(archive.path) as packed:
        members = packed.getmembers()
    names = [member.name for member in members]
    assert names == ["MLmodel", "data", "data/empty", "data/model.skops", "requirements.txt"]
    for member in members:
        assert member.isreg() or member.isdir()
        assert not member.name.startswith("/")
        assert ".." not in Path(member.name).parts
        assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
        assert (member.uname, member.gname) == ("", "")
        assert member.mode == (0o755 if member.isdir() else 0o644)


def test_gzip_header_carries_no_name_and_no_time(archive: ModelArchive) -> None:
    header = archive.path.read_bytes()[:10]
    assert header[:4] == b"\x1f\x8b\x08\x00"  # no flags: no file name
    assert header[4:8] == b"\x00\x00\x00\x00"
    assert gzip.decompress(archive.path.read_bytes())


def test_names_longer_than_a_tar_header_survive(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    long_name = "/".join(["a" * 90] * 3)
    (model / long_name).parent.mkdir(parents=True)
    (model / long_name).write_text("é")
    archive = write_archive(model, tmp_path / "m.tar.gz")
    with tarfile.open(archive.path) as packed:
        assert long_name in packed.getnames()


def test_hard_links_are_packed_as_files(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    (model / "twin").hardlink_to(model / "requirements.txt")
    archive = write_archive(model, tmp_path / "m.tar.gz")
    with tarfile.open(archive.path) as packed:
        assert packed.getmember("twin").isreg()


def test_everything_that_must_not_be_packed_is_named_at_once(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    (model / "a-link").symlink_to("/etc/passwd")
    (model / "b-folder-link").symlink_to(tmp_path)
    os.mkfifo(model / "c-pipe")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(model)  # a socket's path may have about 100 characters
    listening.bind("d-socket")
    os.chdir(here)
    listening.close()
    (model / "e\nnewline").write_text("")
    (model / "..\\windows").write_text("")
    (model / "MLmodel").unlink()
    with pytest.raises(ArchiveRefused) as caught:
        write_archive(model, tmp_path / "m.tar.gz")
    assert str(caught.value) == (
        f"{model} can not be packaged:\n"
        "  - '..\\\\windows' has a backslash in its name; rename it\n"
        "  - 'a-link' is a link; put the file itself there\n"
        "  - 'b-folder-link' is a link; put the file itself there\n"
        "  - 'c-pipe' is neither a file nor a folder; remove it\n"
        "  - 'd-socket' is neither a file nor a folder; remove it\n"
        "  - 'e\\nnewline' has a name with control characters or bytes that are not UTF-8; "
        "rename it\n"
        "  - there is no MLmodel file at its root: it is not an MLflow model"
    )
    assert caught.value.exit_code == 2
    assert not (tmp_path / "m.tar.gz").exists()


def test_failure_leaves_the_earlier_archive_and_no_other_file(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    out = tmp_path / "out"
    archive = write_archive(model, out / "model.tar.gz")
    (model / "link").symlink_to("MLmodel")
    with pytest.raises(ArchiveRefused):
        write_archive(model, out / "model.tar.gz")
    assert [path.name for path in out.iterdir()] == ["model.tar.gz"]
    assert archive.path.stat().st_size == archive.size_bytes


def test_memory_stays_small_whatever_the_model_weighs(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    (model / "big").write_bytes(random.Random(0).randbytes(1_000_000) * 12)
    tracemalloc.start()
    write_archive(model, tmp_path / "m.tar.gz")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4_000_000


def test_upload_goes_under_the_digest_with_its_checksum(s3: Any, archive: ModelArchive) -> None:
    sent: dict[str, str] = {}
    s3.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: sent.update(params["headers"])
    )
    uri = upload_archive(s3, archive, _STORE, "housing")
    key = f"shop/models/housing/{archive.sha256}/model.tar.gz"
    assert uri == f"s3://archives/{key}"
    stored = s3.get_object(Bucket="archives", Key=key)
    assert stored["Body"].read() == archive.path.read_bytes()
    assert base64.b64decode(sent["x-amz-checksum-sha256"]).hex() == archive.sha256
    assert sent["If-None-Match"] == "*"


def test_prefix_may_be_empty_or_have_slashes() -> None:
    plain = ArchiveStore(bucket="b", prefix="")
    assert plain.uri("housing", "abc") == "s3://b/housing/abc/model.tar.gz"
    slashed = ArchiveStore(bucket="b", prefix="/a/b/")
    assert slashed.uri("housing", "abc") == "s3://b/a/b/housing/abc/model.tar.gz"


def test_kms_key_encrypts_the_archive(s3: Any, archive: ModelArchive) -> None:
    store = ArchiveStore(bucket="archives", prefix="m", kms_key_id="alias/models")
    upload_archive(s3, archive, store, "housing")
    head = s3.head_object(Bucket="archives", Key=store.key("housing", archive.sha256))
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"].endswith("alias/models")


def test_second_upload_writes_nothing(s3: Any, archive: ModelArchive) -> None:
    first = upload_archive(s3, archive, _STORE, "housing")
    s3.meta.events.register(
        "before-call.s3.PutObject", lambda **_: pytest.fail("the archive was uploaded again")
    )
    assert upload_archive(s3, archive, _STORE, "housing") == first


def test_other_content_under_the_digest_is_never_overwritten(
    s3: Any, archive: ModelArchive
) -> None:
    key = _STORE.key("housing", archive.sha256)
    s3.put_object(Bucket="archives", Key=key, Body=b"something else")
    with pytest.raises(ArchiveConflict) as caught:
        upload_archive(s3, archive, _STORE, "housing")
    assert str(caught.value) == (
        f"s3://archives/{key} holds something else: 14 bytes, where the archive has "
        f"{archive.size_bytes}. Archives are never overwritten; find out who wrote it, delete it, "
        "and build again."
    )
    assert caught.value.exit_code == 3
    assert s3.get_object(Bucket="archives", Key=key)["Body"].read() == b"something else"


def test_other_content_of_the_same_size_is_told_by_its_checksum(
    s3: Any, archive: ModelArchive
) -> None:
    """Planted: as many other bytes."""
    key = _STORE.key("housing", archive.sha256)
    other = bytes(archive.size_bytes)
    s3.put_object(Bucket="archives", Key=key, Body=other, ChecksumAlgorithm="SHA256")
    with pytest.raises(ArchiveConflict, match="holds something else"):
        upload_archive(s3, archive, _STORE, "housing")
    assert s3.get_object(Bucket="archives", Key=key)["Body"].read() == other


def test_an_object_whose_checksum_s3_does_not_tell_is_compared_by_its_size(
    s3: Any, archive: ModelArchive
) -> None:
    key = _STORE.key("housing", archive.sha256)
    s3.put_object(Bucket="archives", Key=key, Body=archive.path.read_bytes())
    s3.meta.events.register(
        "after-call.s3.HeadObject", lambda parsed, **_: parsed.pop("ChecksumSHA256", None)
    )
    uri = upload_archive(s3, archive, _STORE, "housing")
    assert uri == f"s3://archives/{key}"


def test_what_is_sent_is_all_that_s3_checks_or_keeps(s3: Any, archive: ModelArchive) -> None:
    sent: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    s3.meta.events.register(
        "provide-client-params.s3.PutObject", lambda params, **_: sent.update(params)
    )
    s3.meta.events.register(
        "provide-client-params.s3.HeadObject", lambda params, **_: asked.update(params)
    )
    upload_archive(s3, archive, _STORE, "housing")
    key = _STORE.key("housing", archive.sha256)
    assert asked == {"Bucket": "archives", "Key": key, "ChecksumMode": "ENABLED"}
    del sent["Body"]
    assert sent == {
        "Bucket": "archives",
        "Key": key,
        "ContentLength": archive.size_bytes,
        "ContentType": "application/gzip",
        "ChecksumSHA256": base64.b64encode(bytes.fromhex(archive.sha256)).decode(),
        "IfNoneMatch": "*",
    }
    head = s3.head_object(Bucket="archives", Key=key)
    assert head["ContentType"] == "application/gzip"


def test_an_archive_beyond_one_request_is_refused_before_it_is_sent(
    s3: Any, archive: ModelArchive
) -> None:
    most = 5 * 1024**3
    with pytest.raises(ArchiveRefused) as caught:
        upload_archive(s3, replace(archive, size_bytes=most + 1), _STORE, "housing")
    assert str(caught.value) == (
        f"{archive.path} can not be packaged:\n  - 5368709121 bytes; at most 5368709120 can go"
    )
    assert "Contents" not in s3.list_objects_v2(Bucket="archives")
    s3.meta.events.register("before-call.s3.HeadObject", _answer(500))
    with pytest.raises(AwsError):  # it was asked for
        upload_archive(s3, replace(archive, size_bytes=most), _STORE, "housing")


@pytest.mark.parametrize("status", [400, 402, 405, 500])
def test_only_a_missing_object_or_one_that_may_not_be_looked_at_is_sent(
    s3: Any, archive: ModelArchive, status: int
) -> None:
    s3.meta.events.register("before-call.s3.HeadObject", _answer(status))
    with pytest.raises(AwsError, match="could not upload the archive"):
        upload_archive(s3, archive, _STORE, "housing")
    assert "Contents" not in s3.list_objects_v2(Bucket="archives")


@pytest.mark.parametrize("status", [403, 411, 413])
def test_an_upload_that_s3_refuses_is_no_upload_that_someone_else_won(
    s3: Any, archive: ModelArchive, status: int
) -> None:
    s3.meta.events.register("before-call.s3.PutObject", _answer(status))
    with pytest.raises(AwsError) as caught:
        upload_archive(s3, archive, _STORE, "housing")
    assert str(caught.value).endswith(
        "the build's role has s3:PutObject and s3:GetObject on it. Nothing was written."
    )


def test_upload_says_what_it_does(
    s3: Any, archive: ModelArchive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "model_deploy")
    uri = upload_archive(s3, archive, _STORE, "housing")
    upload_archive(s3, archive, _STORE, "housing")
    assert caplog.messages == [
        f"uploading {archive.size_bytes / 1e6:.1f} MB to {uri}",
        f"{uri} is there already",
    ]


@pytest.mark.parametrize("name", ["a\x1fb", "a\udc80b"])
def test_names_that_mean_nothing_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    model = _model(tmp_path / "model")
    (model / name).write_text("")
    with pytest.raises(ArchiveRefused, match="has a name with control characters or bytes"):
        write_archive(model, tmp_path / "m.tar.gz")


def test_blanks_and_any_other_letters_are_packed(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    for name in (" blank", "é", "\ud7ff", "\ue000"):
        (model / name).write_text("")
    with tarfile.open(write_archive(model, tmp_path / "m.tar.gz").path) as packed:
        assert {" blank", "é", "\ud7ff", "\ue000"} <= set(packed.getnames())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused) as caught:
        write_archive(tmp_path / "nowhere", tmp_path / "out" / "m.tar.gz")
    assert "there is no such folder" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_called_mlmodel_is_no_model(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    (model / "MLmodel").unlink()
    (model / "MLmodel").mkdir()
    with pytest.raises(ArchiveRefused, match="there is no MLmodel file at its root"):
        write_archive(model, tmp_path / "m.tar.gz")


def test_a_write_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(tmp_path / "model")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    with pytest.raises(OSError, match="No space left"):
        write_archive(model, tmp_path / "out" / "m.tar.gz")
    assert list((tmp_path / "out").iterdir()) == []


def test_upload_that_someone_else_won_counts_as_there(s3: Any, archive: ModelArchive) -> None:
    """HeadObject may say 403 to who may not list; the conditional upload then decides."""
    upload_archive(s3, archive, _STORE, "housing")
    s3.meta.events.register("before-call.s3.HeadObject", _answer(403))
    uri = upload_archive(s3, archive, _STORE, "housing")
    assert uri == _STORE.uri("housing", archive.sha256)


def _answer(status: int) -> Callable[..., Any]:
    """A handler that keeps a call from S3 and gives an error of that status."""
    from botocore.awsrequest import AWSResponse

    def answer(**_: Any) -> Any:
        return AWSResponse("https://archives", status, {}, None), {
            "Error": {"Code": str(status), "Message": "Planted"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }

    return answer


def test_refused_upload_says_what_is_needed(archive: ModelArchive) -> None:
    store = ArchiveStore(bucket="no-such-bucket", prefix="m", kms_key_id="alias/models")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        with pytest.raises(AwsError) as caught:
            upload_archive(client, archive, store, "housing")
    assert str(caught.value) == (
        f"could not upload the archive to {store.uri('housing', archive.sha256)}: "
        "An error occurred (NoSuchBucket) when calling the PutObject operation: "
        "The specified bucket does not exist. Check that bucket 'no-such-bucket' exists and that "
        "the build's role has s3:PutObject and s3:GetObject on it and kms:GenerateDataKey on "
        "alias/models. Nothing was written."
    )
    assert caught.value.exit_code == 3


def test_unreachable_s3_is_one_clear_error(archive: ModelArchive) -> None:
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"max_attempts": 1}),
    )
    with pytest.raises(AwsError, match="Could not connect to the endpoint URL"):
        upload_archive(client, archive, _STORE, "housing")


@pytest.mark.parametrize("name", ["n" * 256, "\u540d" * 256, "\u00fc" * 256, "(" * 85])
def test_every_name_that_is_accepted_has_an_address(name: str) -> None:
    assert find_problem(name) is None
    store = ArchiveStore(bucket="b" * 63, prefix="model-archives")
    assert len(store.uri(name, "0" * 64)) <= 1024
    assert len(store.key(name, "0" * 64).encode()) <= 1024


def test_an_address_that_s3_or_sagemaker_can_not_have_is_refused() -> None:
    store = ArchiveStore(bucket="b", prefix="p" * 900)
    assert store.uri("n", "0" * 64).startswith("s3://b/p")
    with pytest.raises(ConfigError, match="make an address of 1179 characters; 1024 are possible"):
        store.uri("n" * 193, "0" * 64)
