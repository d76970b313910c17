"""S3's objects on disk: what is read is what was written, and memory stays what it was."""

from __future__ import annotations

import hashlib
import io
import os

import boto3.s3.transfer
import psutil
import pytest

from local_aws.object_files import OBJECTS, ObjectFolder, OpenFile, View

MEGABYTE = 1 << 20
NOISE = os.urandom(MEGABYTE)


class Noise(io.RawIOBase):
    """A file of many megabytes that is nowhere."""

    def __init__(self, megabytes: int) -> None:
        self._left = megabytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = min(size // MEGABYTE, self._left)
        self._left -= count
        return NOISE * count


@pytest.fixture(scope="module")
def s3(gateway):
    client = gateway.own.client("s3")
    client.create_bucket(Bucket="objects")
    return client


def test_memory_does_not_grow_with_objects(gateway, s3):
    process = psutil.Process()
    before = process.memory_info().rss

    s3.upload_fileobj(Noise(200), "objects", "large")
    for number in range(60):
        s3.put_object(Bucket="objects", Key=f"small/{number}", Body=NOISE)
    digest = hashlib.md5(usedforsecurity=False)
    for piece in s3.get_object(Bucket="objects", Key="large")["Body"].iter_chunks(MEGABYTE):
        digest.update(piece)

    assert digest.digest() == hashlib.md5(NOISE * 200, usedforsecurity=False).digest()
    grown = process.memory_info().rss - before  # the client's parts are in this process too
    assert grown < 150 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB"
    assert process.num_fds() < 200


def test_ranges_versions_copies_and_parts_are_what_was_written(s3):
    s3.put_bucket_versioning(Bucket="objects", VersioningConfiguration={"Status": "Enabled"})
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=1, multipart_chunksize=5 << 20)
    text = NOISE * 7
    s3.upload_fileobj(io.BytesIO(text), "objects", "k", Config=config)
    s3.put_object(Bucket="objects", Key="k", Body=b"")
    listed = s3.list_object_versions(Bucket="objects", Prefix="k")["Versions"]
    (old,) = [one["VersionId"] for one in listed if not one["IsLatest"]]

    def read(**request):
        return s3.get_object(**{"Bucket": "objects", "Key": "k", "VersionId": old, **request})[
            "Body"
        ].read()

    assert read() == text
    assert read(Range="bytes=5242878-5242883") == text[5242878:5242884]
    assert read(Range="bytes=-3") == text[-3:]
    assert s3.get_object(Bucket="objects", Key="k")["Body"].read() == b""
    source = {"Bucket": "objects", "Key": "k", "VersionId": old}
    s3.copy_object(Bucket="objects", Key="copy", CopySource=source, ChecksumAlgorithm="SHA256")
    s3.delete_object(Bucket="objects", Key="k", VersionId=old)
    assert read(Key="copy", VersionId=s3.head_object(Bucket="objects", Key="copy")["VersionId"])
    assert s3.get_object(Bucket="objects", Key="copy")["Body"].read() == text


def test_the_file_of_what_is_overwritten_or_deleted_goes(gateway, s3):
    folder = OBJECTS.place("any").parent  # one for all gateways of a process
    before = set(folder.iterdir())
    s3.create_bucket(Bucket="passing")
    for body in (b"one", b"two", b"three"):
        s3.put_object(Bucket="passing", Key="k", Body=body)
    (one,) = set(folder.iterdir()) - before
    assert one.read_bytes() == b"three"
    s3.delete_object(Bucket="passing", Key="k")

    assert set(folder.iterdir()) == before


def test_objects_end_with_the_last_gateway_unless_they_are_kept(tmp_path):
    for keep, name in ((False, "passing"), (True, "kept")):
        folder = ObjectFolder()
        folder.use(tmp_path / name, keep=keep)
        folder.use(tmp_path / "another")
        folder.place("object").write_bytes(b"x")
        folder.leave()
        assert (tmp_path / name / "object").exists()
        folder.drop(folder.place("object"))
        assert (tmp_path / name / "object").exists() is keep
        folder.leave()

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert folder.unused() == [tmp_path / "kept" / "object"]


def test_moto_without_a_gateway_has_one_folder(tmp_path):
    objects = ObjectFolder()
    before = objects.place("a")
    before.write_bytes(b"1")
    objects.use(tmp_path / "objects")
    assert objects.place("b").parent == tmp_path / "objects"
    objects.leave()

    assert objects.place("c").parent == before.parent
    assert before.read_bytes() == b"1"


def test_a_view_is_like_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    view = View(OpenFile(tmp_path / "file"), 2, 6)

    assert (len(view), bytes(view), view.decode()) == (6, b"234567", "234567")
    assert bytes(view[1:3]) == b"34"
    assert bytes(view[4:99][1:]) == b"7"
    assert list(view[6:]) == []
