"""Who calls: each request's signature, checked with botocore's own signers.

    Authorization: AWS4-HMAC-SHA256 ...   what boto3 and the AWS CLI send
    ?X-Amz-Signature=...                  a presigned URL
    ?AWSAccessKeyId=...&Signature=...     the old form, in which boto3 still presigns S3 URLs
    Authorization: Basic ...              git, as `aws codecommit credential-helper` logs in

A request may be 15 minutes old. The body is compared with what was signed; only S3 takes unsigned
bodies, and of its chunked bodies the head alone is checked. Before any of it stands
`require_own_address`: a page in a browser reaches this port too, but can't hide where it is from.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit
from wsgiref.types import WSGIEnvironment

from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from moto.core.request import Request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from local_aws.aws_protocol import encode_error, speaks_json
from local_aws.errors import AwsError
from local_aws.own_aws import Identity, OwnAws

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<scope>[^,\s]+),\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_STAMP = "%Y%m%dT%H%M%SZ"
_OLDEST = timedelta(minutes=15)
_LONGEST_SECONDS = 604_800  # of a presigned URL: a week
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OLD_HEADERS = ("x-amz-", "content-type", "content-md5")
_UNSIGNED = "UNSIGNED-PAYLOAD"
_SAME_PLACE = ("", "none", "same-origin")

# What is wrong -> how S3, services that write XML, and those that write JSON say it.
_INVALID_KEY = "The security token included in the request is invalid."
_UNEQUAL = (
    "The request signature we calculated does not match the signature you provided. Check your "
    "AWS Secret Access Key and signing method. Consult the service documentation for details."
)
_EXPIRED = "The security token included in the request is expired"
_REFUSALS: Mapping[str, tuple[tuple[str, str, int], ...]] = {
    "key": (
        (
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            403,
        ),
        ("InvalidClientTokenId", _INVALID_KEY, 403),
        ("UnrecognizedClientException", _INVALID_KEY, 400),
    ),
    "token": (
        ("InvalidToken", "The provided token is malformed or otherwise invalid.", 400),
        ("InvalidClientTokenId", _INVALID_KEY, 403),
        ("UnrecognizedClientException", _INVALID_KEY, 400),
    ),
    "expired": (
        ("ExpiredToken", "The provided token has expired.", 400),
        ("ExpiredToken", _EXPIRED, 403),
        ("ExpiredTokenException", _EXPIRED, 400),
    ),
    "signature": (
        ("SignatureDoesNotMatch", _UNEQUAL, 403),
        ("SignatureDoesNotMatch", _UNEQUAL, 403),
        ("InvalidSignatureException", _UNEQUAL, 400),
    ),
    "time": (
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            403,
        ),
        ("SignatureDoesNotMatch", "Signature expired: {detail}", 403),
        ("InvalidSignatureException", "Signature expired: {detail}", 400),
    ),
    "link": (("AccessDenied", "Request has expired", 403),) * 3,
}


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a request says of who sent it; `service` is the signing name. Nothing is checked."""

    access_key: str = ""
    service: str = ""
    region: str = ""
    headers: tuple[str, ...] = ()
    text: str = ""
    in_query: bool = False


def require_own_address(environ: WSGIEnvironment, port: int) -> None:
    """Raise AwsError for what a browser sends on behalf of somebody else's page."""
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN", "")
    if host not in hosts:
        raise AwsError("AccessDenied", f"local_aws is {hosts[0]}, not {host!r}", 403)
    if origin and origin not in [f"http://{own}" for own in hosts]:
        raise AwsError("AccessDenied", f"local_aws answers no page of {origin}", 403)
    if environ.get("HTTP_SEC_FETCH_SITE", "") not in _SAME_PLACE:
        raise AwsError("AccessDenied", "local_aws answers no page of another site", 403)


def signature_of(request: Request) -> Signature:
    """What the header or the presigned URL says; empty if it is neither."""
    match, query = _HEADER.fullmatch(request.headers.get("Authorization", "")), request.args
    if match is not None:
        scope, headers, text = match["scope"], match["headers"], match["signature"]
    elif "X-Amz-Credential" in query:
        scope, text = query["X-Amz-Credential"], query.get("X-Amz-Signature", "")
        headers = query.get("X-Amz-SignedHeaders", "")
    elif "AWSAccessKeyId" in query:
        return Signature(
            access_key=query["AWSAccessKeyId"],
            service="s3",
            text=query.get("Signature", ""),
            in_query=True,
        )
    else:
        return Signature()
    parts = scope.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request":
        return Signature()
    return Signature(
        access_key=parts[0],
        service=parts[3],
        region=parts[2],
        headers=tuple(headers.split(";")),
        text=text,
        in_query=match is None,
    )


def caller_of(request: Request, signature: Signature, own: OwnAws) -> str:
    """The ARN of who signed the request. Raises AwsError as AWS refuses the others.

    A body that S3 has yet to read is checked when it is.
    """
    if not signature.service:
        raise AwsError(
            "MissingAuthenticationToken", "local_aws answers signed AWS requests only", 403
        )
    identity = own.identity(signature.access_key)
    if identity is None:
        _refuse("key", request, signature)
    token = request.headers.get("X-Amz-Security-Token", "")
    if signature.in_query:
        token = request.args.get("X-Amz-Security-Token") or request.args.get(
            "x-amz-security-token", token
        )
    if not hmac.compare_digest(token.encode(), identity.token.encode()):
        _refuse("token", request, signature)
    if identity.expires is not None and identity.expires <= datetime.now(UTC):
        _refuse("expired", request, signature)
    old = signature.in_query and not signature.region
    expected = (
        _old_signature(request, identity) if old else _signature(request, signature, identity)
    )
    if not hmac.compare_digest(signature.text.encode(), expected.encode()):
        _refuse("signature", request, signature)
    _check_time(request, signature, old)
    return identity.arn


def git_caller(environ: WSGIEnvironment, repository_path: str, own: OwnAws) -> str | None:
    """The ARN of who logs in for `GIT <repository_path>`; None if the login does not hold."""
    scheme, _, encoded = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        stamp, text = password[:16], password[16:]
        signed = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except (binascii.Error, ValueError):
        return None
    access_key, _, token = user.partition("%")
    identity = own.identity(access_key)
    if scheme.lower() != "basic" or identity is None or _is_skewed(signed):
        return None
    if identity.expires is not None and identity.expires <= datetime.now(UTC):
        return None
    host = environ.get("HTTP_HOST", "").partition(":")[0]
    expected = git_signature(identity, own.region, stamp[:-1], host, repository_path)
    holds = hmac.compare_digest(text.encode(), expected.encode())
    holds &= hmac.compare_digest(token.encode(), identity.token.encode())
    return identity.arn if holds else None


def git_login(own: OwnAws, url: str, identity: Identity) -> dict[str, str]:
    """Environment in which git logs in to `url`: in a command line others could read it."""
    stamp, parts = f"{datetime.now(UTC):%Y%m%dT%H%M%S}", urlsplit(url)
    signature = git_signature(identity, own.region, stamp, parts.hostname or "", parts.path)
    user = identity.access_key + (f"%{identity.token}" if identity.token else "")
    login = base64.b64encode(f"{user}:{stamp}Z{signature}".encode()).decode()
    # Two settings are those of git_environment().
    return {
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_2": "http.extraHeader",
        "GIT_CONFIG_VALUE_2": f"Authorization: Basic {login}",
    }


def git_signature(identity: Identity, region: str, stamp: str, host: str, path: str) -> str:
    """As `aws codecommit credential-helper` signs (awscli/customizations/codecommit.py)."""
    signer = SigV4Auth(Credentials(identity.access_key, identity.secret), "codecommit", region)
    request = AWSRequest(method="GIT")
    request.context["timestamp"] = stamp
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


def _signature(request: Request, signature: Signature, identity: Identity) -> str:
    signer = _S3Signer if signature.service == "s3" else _Signer
    query = request.environ["QUERY_STRING"]
    if signature.in_query:
        query = "&".join(
            pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature=")
        )
    headers = {name: request.headers.get(name, "") for name in signature.headers}
    if not signature.in_query and "x-amz-date" not in headers:
        _refuse("signature", request, signature)
    url = f"http://{request.host}{request.raw_path}{'?' + query if query else ''}"
    unsigned = AWSRequest(request.method, url, headers)
    where = request.args if signature.in_query else request.headers
    unsigned.context["timestamp"] = where.get("X-Amz-Date", "")
    unsigned.headers["X-Amz-Content-SHA256"] = _body_hash(request, signature, headers)
    credentials = Credentials(identity.access_key, identity.secret)
    auth = signer(credentials, signature.service, signature.region)
    auth.signed = signature.headers
    canonical = auth.canonical_request(unsigned)
    return str(auth.signature(auth.string_to_sign(unsigned, canonical), unsigned))


def _body_hash(request: Request, signature: Signature, headers: Mapping[str, str]) -> str:
    if signature.service != "s3":
        return hashlib.sha256(request.get_data(cache=True)).hexdigest()
    declared = headers.get("x-amz-content-sha256", _UNSIGNED)
    if _SHA256.fullmatch(declared):
        request.environ["wsgi.input"] = _SignedBody(request, declared)
    elif declared != _UNSIGNED and not declared.startswith("STREAMING-"):
        _refuse("signature", request, signature)
    return declared


class _SignedHeaders:
    """Signs the headers that the request says are signed, not those botocore would."""

    signed: tuple[str, ...] = ()

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        chosen = HTTPHeaders()
        for name in self.signed:
            chosen[name] = request.headers.get(name, "")
        return chosen


class _Signer(_SignedHeaders, SigV4Auth):  # type: ignore[misc]  # botocore has no types
    pass


class _S3Signer(_SignedHeaders, S3SigV4Auth):  # type: ignore[misc]
    pass


class _OldSigner(HmacV1QueryAuth):  # type: ignore[misc]
    def _get_date(self) -> str:
        return str(self._expires)


def _old_signature(request: Request, identity: Identity) -> str:
    headers = HTTPHeaders()
    for name, value in [*request.args.items(), *request.headers.items()]:
        wanted = name.lower().startswith("x-amz-") or name.lower() in (
            "content-type",
            "content-md5",
        )
        if wanted and name not in headers:
            headers[name] = value
    split: SplitResult = urlsplit(f"{request.raw_path}?{request.environ['QUERY_STRING']}")
    credentials = Credentials(identity.access_key, identity.secret, identity.token or None)
    signer = _OldSigner(credentials, expires=request.args.get("Expires", "0"))
    return str(signer.get_signature(request.method, split, headers))


def _check_time(request: Request, signature: Signature, old: bool) -> None:
    now = datetime.now(UTC)
    try:
        if old:
            if now.timestamp() > int(request.args["Expires"]):
                _refuse("link", request, signature)
            return
        where = request.args if signature.in_query else request.headers
        signed = datetime.strptime(where["X-Amz-Date"], _STAMP).replace(tzinfo=UTC)
        if signature.in_query:
            seconds = int(request.args["X-Amz-Expires"])
            if seconds > _LONGEST_SECONDS or now > signed + timedelta(seconds=seconds):
                _refuse("link", request, signature)
        elif _is_skewed(signed):
            _refuse("time", request, signature, f"{signed:{_STAMP}} is too far from {now:{_STAMP}}")
    except (KeyError, ValueError):
        _refuse("signature", request, signature)


def _is_skewed(signed: datetime) -> bool:
    return abs(datetime.now(UTC) - signed) > _OLDEST


def _refuse(why: str, request: Request, signature: Signature, detail: str = "") -> NoReturn:
    place = 0 if signature.service == "s3" else 2 if speaks_json(signature.service, request) else 1
    code, message, status = _REFUSALS[why][place]
    raise AwsError(code, message.format(detail=detail), status)


class _SignedBody:
    """A body that is hashed while S3 reads it; its end raises unless it is what was signed."""

    def __init__(self, request: Request, sha256: str) -> None:
        self._stream: Any = request.environ["wsgi.input"]
        self._request = request
        self._left = request.content_length
        self._wanted = sha256
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """As a file."""
        return self._seen(self._stream.read(size), size)

    def readline(self, size: int = -1) -> bytes:
        """As a file."""
        return self._seen(self._stream.readline(size), size)

    def readinto(self, buffer: Any) -> int:
        """As a file."""
        read = self.read(len(buffer))
        buffer[: len(read)] = read
        return len(read)

    def _seen(self, read: bytes, size: int) -> bytes:
        self._hash.update(read)
        if self._left is not None:
            self._left -= len(read)
        at_end = self._left == 0 if self._left is not None else not read and size != 0
        if at_end and self._hash.hexdigest() != self._wanted:
            error = AwsError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
            answer = encode_error("s3", error, self._request)
            raise HTTPException(response=Response(answer.body, answer.status, answer.headers))
        return read
