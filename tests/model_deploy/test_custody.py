from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from model_deploy.custody import inspect_archive, main
from model_deploy.errors import AwsError

_BODY = b"archive" * 1_000_000  # more than one piece
_SHA256 = hashlib.sha256(_BODY).hexdigest()
_URI = f"s3://artifacts/model-archives/m/{_SHA256}/model.tar.gz"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="artifacts")
        yield client


def _put(s3: Any, body: bytes) -> None:
    s3.put_object(Bucket="artifacts", Key=_URI.removeprefix("s3://artifacts/"), Body=body)


def _config(folder: Path, **replaced: dict[str, str]) -> Path:
    path = folder / "prod-config-export.json"
    document = {
        "Parameters": {"ModelDataLocation": _URI, "StageName": "prod"},
        "Tags": {"model-archive-sha256": _SHA256},
        **replaced,
    }
    path.write_text(json.dumps(document))
    return path


def test_the_archive_that_was_built_is_found_and_measured(s3: Any) -> None:
    _put(s3, _BODY)
    custody = inspect_archive(s3, _URI, _SHA256)
    assert (custody.found, custody.size_bytes, custody.problem) == (_SHA256, len(_BODY), "")


def test_another_object_is_told_by_both_digests(s3: Any) -> None:
    _put(s3, _BODY + b"!")
    problem = inspect_archive(s3, _URI, _SHA256).problem
    assert _SHA256 in problem
    assert hashlib.sha256(_BODY + b"!").hexdigest() in problem
    assert _URI in problem


@pytest.mark.parametrize("uri", [_URI, "s3://no-such-bucket/model.tar.gz"])
def test_a_missing_object_is_no_refusal_but_a_loss(s3: Any, uri: str) -> None:
    custody = inspect_archive(s3, uri, _SHA256)
    assert custody.found is None
    assert f"there is no object at {uri}" in custody.problem


def test_a_refusal_says_which_rights_are_needed(s3: Any) -> None:
    class Refusing:
        def get_object(self, **_: str) -> None:
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")

    with pytest.raises(AwsError, match=r"s3:GetObject on it, s3:ListBucket"):
        inspect_archive(Refusing(), _URI, _SHA256)


def test_a_body_that_breaks_off_is_no_other_archive(s3: Any) -> None:
    class Torn:
        def get_object(self, **_: str) -> dict[str, Any]:
            from botocore.exceptions import ReadTimeoutError

            class Body:
                def iter_chunks(self, _: int) -> Iterator[bytes]:
                    yield b"some"
                    raise ReadTimeoutError(endpoint_url="s3")

            return {"Body": Body(), "ContentLength": 9}

    with pytest.raises(AwsError, match="could not read"):
        inspect_archive(Torn(), _URI, _SHA256)


@pytest.mark.parametrize("error", [OSError("cut"), None])
def test_a_machine_that_can_not_ask_says_so(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    if error:
        monkeypatch.setattr("botocore.response.StreamingBody.iter_chunks", _raise(error))
        _put(s3, b"x")
    else:
        monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert main(["--import-build-config", str(_config(tmp_path))]) == 3


def _raise(error: Exception) -> Any:
    def fail(*_: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(("body", "code"), [(_BODY, 0), (b"another", 1), (None, 1)])
def test_command_ends_by_what_it_found(
    s3: Any, tmp_path: Path, body: bytes | None, code: int
) -> None:
    if body is not None:
        _put(s3, body)
    assert main(["--import-build-config", str(_config(tmp_path))]) == code


@pytest.mark.parametrize("lacking", ["Parameters", "Tags"])
def test_command_refuses_a_configuration_that_no_build_wrote(
    s3: Any, tmp_path: Path, lacking: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = _config(tmp_path, **{lacking: {}})
    assert main(["--import-build-config", str(path)]) == 2
    assert "is it what the build wrote?" in caplog.text
