"""The archives and folders that projects' repositories begin with."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from mlops.seed_repositories import main, write_archive, write_folder
from mlops.units import list_files


def test_both_archives_hold_the_units_with_nothing_above_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "seeds"
    assert main(["--output-dir", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(folder / "modelbuild.zip"),
        str(folder / "modeldeploy.zip"),
    ]
    for unit, buildspec in (
        ("modelbuild", "codebuild-buildspec.yml"),
        ("modeldeploy", "model_deploy/buildspec.yml"),
    ):
        with zipfile.ZipFile(folder / f"{unit}.zip") as archive:
            names = archive.namelist()
            assert names == list(list_files(unit))
            assert {buildspec, "README.md"} <= set(names)
            assert archive.read("README.md").startswith(b"# model")
    assert sorted(path.name for path in folder.iterdir()) == ["modelbuild.zip", "modeldeploy.zip"]


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    script, text = tmp_path / "lock.sh", tmp_path / "README.md"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    text.write_text("# A unit\n")
    files = {"README.md": text, "requirements/lock.sh": script}
    first = write_archive(files, tmp_path / "1.zip").read_bytes()
    os.utime(text, (1, 1))
    text.chmod(0o600)
    second = write_archive(files, tmp_path / "2.zip").read_bytes()

    assert first == second
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert modes == {"README.md": 0o100644, "requirements/lock.sh": 0o100755}


def test_one_unit_goes_unpacked_to_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    (folder / ".git").mkdir(parents=True)
    assert main(["--unit", "modeldeploy", "--folder", str(folder)]) == 0
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == set(list_files("modeldeploy"))
    assert os.access(folder / "requirements/lock.sh", os.X_OK)


def test_a_folder_that_holds_other_files_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["--unit", "modelbuild", "--folder", str(tmp_path)]) == 2
    assert f"can not write the unit: {tmp_path} holds other files; name a new" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_archives_are_uploaded_to_a_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="seeds")
        assert main(["--bucket", "seeds", "--unit", "modelbuild"]) == 0
        (found,) = s3.list_objects_v2(Bucket="seeds")["Contents"]
    assert found["Key"] == "modelbuild.zip"
    assert found["Size"] > 10_000
    assert capsys.readouterr().out == "s3://seeds/modelbuild.zip\n"


def test_a_bucket_that_is_not_there_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with mock_aws():
        assert main(["--bucket", "no-such-bucket"]) == 3
    assert "could not upload s3://no-such-bucket/modelbuild.zip: " in caplog.text
    assert "NoSuchBucket" in caplog.text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "nowhere to write to; pass --output-dir, --bucket or --folder"),
        (["--folder", "x"], "--folder takes one unit; pass --unit as well"),
        (["--unit", "model_build"], "invalid choice: 'model_build'"),
    ],
)
def test_words_that_say_too_little_are_refused(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_file_that_vanishes_meanwhile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_folder({"a.txt": tmp_path / "gone"}, tmp_path / "folder")
