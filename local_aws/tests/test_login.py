"""Loopback is no login: who may call the gateway, and who is refused, with AWS's own words."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import urllib.parse
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore
import pytest
import urllib3
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from callers import basic_login, git_logs_in, signed, stranger

from local_aws import login
from local_aws.own_aws import OwnAws

LIST = {"X-Amz-Target": "SageMaker.ListModels"}
CONTENT = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def bucket(gateway):
    name = f"b-{uuid.uuid4().hex[:12]}"
    gateway.own.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def session(gateway):
    """Credentials of a role that a person assumed, as boto3 names them, and the session's ARN."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}}]}
    iam = gateway.own.client("iam")
    role = iam.create_role(RoleName="assumed", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    answer = gateway.own.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="ada")
    given = answer["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def code_of(caught):
    return caught.value.response["Error"]["Code"]


def post(gateway, path="/", body=b"{}", **headers):
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return urllib3.request("POST", gateway.url + path, body=body, headers=sent, retries=False)


def form(**fields):
    return urllib.parse.urlencode(fields).encode()


# The attack: what a page of another site makes a browser send, without a login.


def test_a_form_of_another_site_runs_nothing(gateway):
    """It named the developer's key, which was the same everywhere, and signed nothing."""
    key = "LOCALAWSDEVELOPER000"
    claim = urllib.parse.quote(f"{key}/20261130/us-east-1/cloudformation/aws4_request", safe="")
    template = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
    body = form(Action="CreateStack", Version="2010-05-15", StackName="x", TemplateBody=template)
    host = {"Host": "evil.example", "Origin": "https://evil.example", "Content-Type": CONTENT}
    for headers in (host, {"Content-Type": CONTENT}):
        answer = post(gateway, f"/?X-Amz-Credential={claim}", body, **headers)
        assert answer.status == 403

    # JSON that reads as a form as well: the same for StartBuild and CreateProcessingJob.
    both = b'{"x": "&Action=CreateProcessingJob&", "ProcessingJobName": "owned"}'
    claim = claim.replace("cloudformation", "sagemaker")
    answer = post(gateway, f"/?X-Amz-Credential={claim}", both, Content_Type=CONTENT)
    assert answer.status in (400, 403)
    assert b"InvalidClientTokenId" in answer.data
    assert not gateway.own.client("cloudformation").describe_stacks()["Stacks"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "localhost.evil.example:{port}"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_even_a_signed_request_is_refused_if_it_is_of_another_site(gateway, headers):
    port = gateway.url.rpartition(":")[2]
    headers = {name: value.format(port=port) for name, value in headers.items()}
    for path in ("/", "/v1/repos/x/info/refs?service=git-upload-pack"):
        answer = signed(gateway, "sagemaker", b"{}", path=path, headers={**LIST, **headers})
        assert answer.status == 403
        assert answer.json()["__type"] == "AccessDenied"


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_localhost_and_what_a_person_types_into_the_browser_are_answered(gateway, site):
    url = gateway.url.replace("127.0.0.1", "localhost")
    headers = {"Sec-Fetch-Site": site, "Origin": url, "Host": url.removeprefix("http://")}
    assert signed(gateway, "sagemaker", b"{}", headers={**LIST, **headers}).status == 200


def test_without_a_signature_nothing_is_answered_and_moto_shows_no_page(gateway):
    assert post(gateway).status == 403
    for path in ("/moto-api/", "/moto-api/data.json", "/moto-api/reset", "/favicon.ico"):
        assert post(gateway, path).status == 403
        signed_for_s3 = signed(gateway, "s3", b"", path=path, headers=_unsigned_payload())
        assert b"local_aws does not support s3" in signed_for_s3.data
    assert gateway.own.client("s3").list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200


# Each run's own credentials.


def test_credentials_are_new_for_each_run_and_have_the_form_of_aws(tmp_path):
    first, second = OwnAws(tmp_path).developer, OwnAws(tmp_path).developer

    assert first.access_key.startswith("AKIA")
    assert len(first.access_key) == 20
    assert len(first.secret) == 40
    assert first.access_key != second.access_key
    assert first.secret != second.secret


SERVICES = [
    ("s3", "list_buckets", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ("sts", "get_caller_identity", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("cloudformation", "describe_stacks", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("sagemaker", "list_models", "UnrecognizedClientException", "InvalidSignatureException"),
    ("scheduler", "list_schedules", "UnrecognizedClientException", "InvalidSignatureException"),
    ("secretsmanager", "list_secrets", "UnrecognizedClientException", "InvalidSignatureException"),
]


@pytest.mark.parametrize(("service", "operation", "unknown", "_unequal"), SERVICES)
def test_a_key_that_is_not_known_is_refused(gateway, service, operation, unknown, _unequal):
    client = stranger(gateway, service, aws_access_key_id="AKIA" + "A" * 16)
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)()
    assert code_of(caught) == unknown


@pytest.mark.parametrize(("service", "operation", "_unknown", "unequal"), SERVICES)
def test_a_wrong_secret_is_refused(gateway, service, operation, _unknown, unequal):
    client = stranger(gateway, service, aws_secret_access_key="local-aws")
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)()
    assert code_of(caught) == unequal


def test_secrets_are_told_to_nobody_without_the_credentials(gateway):
    manager = gateway.own.client("secretsmanager")
    manager.create_secret(Name="team/login", SecretString="hush")
    headers = {"X-Amz-Target": "secretsmanager.GetSecretValue"}
    body = json.dumps({"SecretId": "team/login"}).encode()

    assert b"hush" in signed(gateway, "secretsmanager", body, headers=headers).data
    assert b"hush" not in post(gateway, body=body, **headers).data
    assert manager.get_secret_value(SecretId="team/login")["SecretString"] == "hush"


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b'{"MaxResults": 1}'},
        {"headers": {"X-Amz-Target": "SageMaker.DeleteModel"}},
        {"headers": {"X-Amz-Date": "20261130T000000Z"}},
        {"headers": {"X-Amz-Security-Token": "added"}},
    ],
)
def test_what_was_changed_on_its_way_is_refused(gateway, changed):
    answer = signed(gateway, "sagemaker", b"{}", headers=LIST, changed=changed)
    codes = ("InvalidSignatureException", "UnrecognizedClientException")
    assert answer.json()["__type"] in codes


@pytest.mark.parametrize("minutes", [-16, 16])
@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("s3", "list_buckets", "RequestTimeTooSkewed"),
        ("iam", "list_roles", "SignatureDoesNotMatch"),
        ("sagemaker", "list_models", "InvalidSignatureException"),
    ],
)
def test_a_request_is_good_for_fifteen_minutes(
    gateway, monkeypatch, minutes, service, operation, code
):
    then = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: then)
    client = stranger(gateway, service)
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)()
    assert code_of(caught) == code


# Sessions of roles, users of IAM.


def test_a_session_calls_under_its_name(gateway, session):
    identity = stranger(gateway, "sts", **session).get_caller_identity()

    assert identity["Arn"].endswith(":assumed-role/assumed/ada")
    assert stranger(gateway, "sagemaker", **session).list_models()["Models"] == []
    arn = gateway.own.identity(session["aws_access_key_id"]).arn
    assert arn == identity["Arn"]


@pytest.mark.parametrize("token", [None, "another"])
def test_a_session_needs_its_token(gateway, session, token):
    for service, operation, code in (
        ("sagemaker", "list_models", "UnrecognizedClientException"),
        ("iam", "list_roles", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidToken"),
    ):
        client = stranger(gateway, service, **{**session, "aws_session_token": token})
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)()
        assert code_of(caught) == code


def test_a_session_that_has_expired_is_refused(gateway, session, monkeypatch):
    found = gateway.own.identity(session["aws_access_key_id"])
    assert found.expires > datetime.now(UTC)
    expired = login.Identity(**{**found.__dict__, "expires": datetime.now(UTC)})
    monkeypatch.setattr(gateway.own, "identity", lambda _key: expired)
    for service, operation, code in (
        ("sagemaker", "list_models", "ExpiredTokenException"),
        ("iam", "list_roles", "ExpiredToken"),
        ("s3", "list_buckets", "ExpiredToken"),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(stranger(gateway, service, **session), operation)()
        assert code_of(caught) == code


def test_a_user_of_iam_calls_with_a_key_of_its_own_until_it_is_inactive(gateway):
    iam = gateway.own.client("iam")
    iam.create_user(UserName="grace")
    key = iam.create_access_key(UserName="grace")["AccessKey"]
    credentials = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    sts = stranger(gateway, "sts", **credentials)
    assert sts.get_caller_identity()["Arn"].endswith(":user/grace")
    iam.update_access_key(UserName="grace", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError) as caught:
        sts.get_caller_identity()
    assert code_of(caught) == "InvalidClientTokenId"


@pytest.mark.parametrize("operation", ["get_session_token", "get_federation_token"])
def test_made_up_credentials_are_not_given(gateway, operation):
    arguments = {"Name": "xy"} if "federation" in operation else {}
    with pytest.raises(ClientError, match="local_aws does not support sts:"):
        getattr(gateway.own.client("sts"), operation)(**arguments)


# S3: names that need quoting, bodies of each kind, presigned URLs.

KEYS = ["a b/c", "ä/ö~", "a+b=c&d", "x//y", "q?r#s", "dots/./here", "%2F"]


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_signed_as_it_is_sent(gateway, bucket, key):
    s3 = gateway.own.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=b"1", Metadata={"a_b": "x  y"})
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
    assert [entry["Key"] for entry in listed] == [key]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"s3": {"payload_signing_enabled": False}},
        {"request_checksum_calculation": "when_required"},
    ],
)
@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_bodies_signed_and_unsigned_are_taken(gateway, bucket, settings, algorithm):
    s3 = stranger(gateway, "s3", config=Config(**settings))
    s3.put_object(
        Bucket=bucket, Key="k", Body=io.BytesIO(b"b" * 70_000), ChecksumAlgorithm=algorithm
    )
    s3.upload_fileobj(io.BytesIO(b"c" * 9_000_000), bucket, "large")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"b" * 70_000
    assert s3.head_object(Bucket=bucket, Key="large")["ContentLength"] == 9_000_000


def test_chunks_with_a_checksum_behind_them_are_taken(gateway, bucket):
    """As boto3 sends them over TLS."""
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    headers = {
        "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "Content-Encoding": "aws-chunked",
        "X-Amz-Decoded-Content-Length": "5",
        "X-Amz-Trailer": "x-amz-checksum-crc32",
    }
    path = f"/{bucket}/chunked"
    assert signed(gateway, "s3", body, path=path, method="PUT", headers=headers).status == 200
    got = gateway.own.client("s3").get_object(Bucket=bucket, Key="chunked")
    assert got["Body"].read() == b"hello"


def test_a_body_that_is_not_the_signed_one_is_not_kept(gateway, bucket):
    headers = {"X-Amz-Content-SHA256": "0" * 64}
    path = f"/{bucket}/changed"
    answer = signed(gateway, "s3", b"other", path=path, method="PUT", headers=headers)

    assert answer.status == 400
    assert b"XAmzContentSHA256Mismatch" in answer.data
    with pytest.raises(ClientError):
        gateway.own.client("s3").head_object(Bucket=bucket, Key="changed")


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("under_session", [False, True])
@pytest.mark.parametrize("key", KEYS[:4])
def test_presigned_urls_open_one_object_for_their_time(
    gateway, bucket, session, version, under_session, key, monkeypatch
):
    config = Config(signature_version=version)
    s3 = stranger(gateway, "s3", config=config, **(session if under_session else {}))
    where = {"Bucket": bucket, "Key": key}
    put = s3.generate_presigned_url("put_object", Params=where)
    assert urllib3.request("PUT", put, body=b"mine").status == 200
    url = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    assert urllib3.request("GET", url).data == b"mine"

    assert urllib3.request("GET", url.replace(bucket, "another")).status == 403
    assert urllib3.request("GET", url + "0").status == 403
    assert urllib3.request("DELETE", url).status == 403
    long_ago = datetime.now(UTC) - timedelta(seconds=90)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: long_ago)
    monkeypatch.setattr("botocore.auth.time.time", long_ago.timestamp)
    url = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    late = urllib3.request("GET", url)
    assert late.status == 403
    assert b"Request has expired" in late.data


def test_other_services_are_called_by_presigned_urls_too(gateway):
    request = AWSRequest("GET", f"{gateway.url}/?Action=GetCallerIdentity&Version=2011-06-15")
    developer = gateway.own.developer
    credentials = Credentials(developer.access_key, developer.secret)
    SigV4QueryAuth(credentials, "sts", "us-east-1", expires=60).add_auth(request)

    assert b"GetCallerIdentityResponse" in urllib3.request("GET", request.url).data
    assert urllib3.request("GET", request.url.replace("Get", "Set")).status == 403


# Git.


def test_git_logs_in_with_the_credential_helper_of_the_aws_cli(gateway, session, tmp_path):
    gateway.own.client("codecommit").create_repository(repositoryName="helped")
    aws = Path(sys.executable).with_name("aws")
    helper = f"!{aws} codecommit --region us-east-1 credential-helper --ignore-host-check $@"
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"}
    sessions = {name.upper(): text for name, text in session.items()}
    for number, environment in enumerate((gateway.own.credentials_environment(None), sessions)):
        for program in (helper, None):
            logs_in = git_logs_in(program) if program else git_logs_in()
            done = subprocess.run(
                ["git", "clone", f"{gateway.url}/v1/repos/helped", f"{number}{bool(program)}"],
                env={**plain, **logs_in, "AWS_REGION": "us-east-1", **environment},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ["/v1/repos/helped", "/git/team/helped.git"])
def test_git_without_a_login_is_asked_for_one(gateway, path):
    url = f"{gateway.url}{path}/info/refs?service=git-receive-pack"
    old = f"{datetime.now(UTC) - timedelta(minutes=16):%Y%m%dT%H%M%S}"
    for authorization in (
        None,
        "Basic !",
        "Basic eDp5",
        basic_login(gateway, "/v1/repos/another"),
        basic_login(gateway, path, stamp=old),
        basic_login(gateway, path, identity=OwnAws(gateway.own.state_dir).developer),
    ):
        headers = {"Authorization": authorization} if authorization else {}
        answer = urllib3.request("GET", url, headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_request_without_a_host_is_refused(gateway):
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 403 " in connection.recv(100)


def _unsigned_payload():
    return {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}


def test_boto3_without_credentials_is_refused(gateway):
    client = stranger(gateway, "sagemaker", config=Config(signature_version=botocore.UNSIGNED))
    with pytest.raises(ClientError) as caught:
        client.list_models()
    assert code_of(caught) == "MissingAuthenticationToken"
