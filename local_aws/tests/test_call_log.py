"""Who called what, read from the file after real calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from moto.core.request import Request
from werkzeug.test import EnvironBuilder

from local_aws import call_log
from local_aws.call_log import FILE_NAME, FORMER_NAME, CallLog, iam_action
from local_aws.gateway import Gateway


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/", {}, ("s3:ListAllMyBuckets", "")),
        ("GET", "/b", {"list-type": "2"}, ("s3:ListBucket", "arn:aws:s3:::b")),
        ("HEAD", "/b", {}, ("s3:ListBucket", "arn:aws:s3:::b")),
        ("GET", "/b", {"versioning": ""}, ("s3:GetBucketVersioning", "arn:aws:s3:::b")),
        ("PUT", "/b", {"policy": ""}, ("s3:PutBucketPolicy", "arn:aws:s3:::b")),
        ("HEAD", "/b/x/y.csv", {}, ("s3:GetObject", "arn:aws:s3:::b/x/y.csv")),
        ("POST", "/b/x", {"uploads": ""}, ("s3:PutObject", "arn:aws:s3:::b/x")),
        ("DELETE", "/b/x", {"uploadId": "7"}, ("s3:AbortMultipartUpload", "arn:aws:s3:::b/x")),
        ("DELETE", "/b/x", {}, ("s3:DeleteObject", "arn:aws:s3:::b/x")),
    ],
)
def test_s3_requests_have_the_iam_action_of_the_authorization_reference(
    method, path, query, expected
):
    assert iam_action("s3", "", method, path, query) == expected


def test_invoke_endpoint_is_an_action_of_sagemaker():
    assert iam_action("sagemaker-runtime", "InvokeEndpoint", "POST", "/", {})[0] == (
        "sagemaker:InvokeEndpoint"
    )


def test_calls_are_kept_with_caller_action_and_status_but_no_value(tmp_path):
    gateway = Gateway(tmp_path, lambda _: []).start()
    own = gateway.own
    trust = {"Statement": [{"Principal": {"Service": "codebuild.amazonaws.com"}}]}
    role = own.client("iam").create_role(
        RoleName="builder", AssumeRolePolicyDocument=json.dumps(trust)
    )["Role"]["Arn"]
    builder = own.client("s3", role, principal="codebuild.amazonaws.com")
    own.client("s3").create_bucket(Bucket="bucket")
    builder.put_object(Bucket="bucket", Key="k", Body=b"the-value")
    own.client("ssm").put_parameter(Name="/p", Value="the-value", Type="String")
    with pytest.raises(own.client("ssm").exceptions.ParameterNotFound):
        own.client("ssm").get_parameter(Name="/absent")
    gateway.close()

    text = (tmp_path / FILE_NAME).read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    found = {(entry["action"], entry["status"]): entry for entry in entries}
    assert "the-value" not in text
    assert found["s3:PutObject", 200]["caller"].endswith("assumed-role/builder/codebuild")
    assert found["s3:PutObject", 200]["resource"] == "arn:aws:s3:::bucket/k"
    assert found["ssm:PutParameter", 200]["parameters"] == {"Name": "/p"}
    assert found["ssm:PutParameter", 200]["caller"].startswith("arn:aws:iam::")
    assert found["ssm:GetParameter", 400]["parameters"] == {"Name": "/absent"}
    assert found["iam:CreateRole", 200]["parameters"] == {"RoleName": "builder"}


def test_a_long_file_becomes_the_former_one(tmp_path, monkeypatch):
    monkeypatch.setattr(call_log, "MOST_BYTES", 2000)
    log = CallLog(tmp_path)
    request = Request(EnvironBuilder(path="/bucket/key").get_environ())

    for _ in range(50):
        log.write(request, "s3", "", "me", 200)
    log.close()

    current, former = (
        (tmp_path / name).read_text().splitlines() for name in (FILE_NAME, FORMER_NAME)
    )
    assert 0 < len(current) <= len(former) < 20
    assert json.loads(current[-1])["action"] == "s3:GetObject"


def test_a_call_is_answered_though_the_record_of_it_fails(tmp_path, caplog, monkeypatch):
    gateway = Gateway(tmp_path, lambda _: []).start()
    s3 = gateway.own.client("s3")
    s3.create_bucket(Bucket="before")
    with Path("/dev/full").open("ab", buffering=0) as full, monkeypatch.context() as patch:
        patch.setattr(gateway._log, "_file", full)
        s3.list_buckets()
        s3.create_bucket(Bucket="meanwhile")
    s3.create_bucket(Bucket="after")
    gateway.close()

    told = [record.getMessage() for record in caplog.records if "missing" in record.message]
    assert len(told) == 2
    assert "No space left on device" in told[0]
    assert told[1].startswith("2 calls are missing in ")
    lines = (tmp_path / FILE_NAME).read_text().splitlines()
    assert [json.loads(line)["resource"][-6:] for line in lines] == ["before", ":after"]


def test_half_a_line_is_none(tmp_path, monkeypatch):
    log = CallLog(tmp_path)
    monkeypatch.setattr(log, "_file", Short(log._file))
    with pytest.raises(OSError, match="No space left"):
        log._append(b"a line\n")
    log.close()

    assert (tmp_path / FILE_NAME).read_bytes() == b""


class Short:
    """A file on a disk with room for three bytes."""

    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, line):
        return self._file.write(line[:3])


def test_a_method_that_s3_does_not_know_is_recorded_all_the_same():
    assert iam_action("s3", "", "OPTIONS", "/b/k", {}) == ("s3:OPTIONS", "arn:aws:s3:::b/k")
    assert iam_action("s3", "", "POST", "/b", {}) == ("s3:POST", "arn:aws:s3:::b")
