"""An error of boto3, as a finding: what could not be looked at, and who can change that."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # botocore's own name
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from mlops.account import error_code, error_message
from mlops.platform.doctor.finding import Finding, skipped, warning

# The credentials themselves are refused: the check `credentials` tells, the others need not.
CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "IncompleteSignature",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED_CODES = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden"}
)
_UNKNOWN_CODES = frozenset(
    {"UnknownOperationException", "UnsupportedOperation", "NotImplemented", "InvalidAction"}
)


def explain(error: BotoCoreError | ClientError) -> Finding:
    """Why AWS did not answer a check, as the check's only finding.

    Skipped where another check tells the reason, or where this AWS has no such operation; otherwise
    a warning: that something could not be looked at does not say that it is broken.
    """
    if isinstance(error, ClientError):
        return _explain_refusal(error)
    if isinstance(error, (NoCredentialsError, NoRegionError, ProfileNotFound)):
        return skipped("no credentials or no region: see the check `credentials`")
    if is_out_of_reach(error):
        return warning(
            f"AWS's API is out of reach: {one_line(error)}",
            "give the VPC an endpoint of that service, or run it where the internet is in reach",
        )
    return warning(f"boto3: {one_line(error)}", "mlops platform doctor --only credentials")


def is_out_of_reach(error: Exception) -> bool:
    """Whether nobody answered at all."""
    return isinstance(error, (ConnectionError, HTTPClientError))


def is_denied(error: ClientError) -> bool:
    """Whether the caller lacks the permission."""
    return error_code(error) in _DENIED_CODES


def one_line(error: BaseException) -> str:
    """The error's text without line breaks."""
    return " ".join(str(error).split())


def _explain_refusal(error: ClientError) -> Finding:
    code, operation = error_code(error), error.operation_name
    text = " ".join(error_message(error).split())
    if code in CREDENTIAL_CODES:
        return skipped(f"the credentials are refused ({code}): see the check `credentials`")
    if code in _UNKNOWN_CODES or "does not support" in text:
        return skipped(f"this AWS has no {operation}: {text or code}")
    if code in _DENIED_CODES:
        return warning(
            f"not allowed to call {operation}: {text or code}",
            f"run it as somebody who may call {operation}, or have your policy allow it",
        )
    return warning(f"{operation} failed with {code}: {text}", "run it again in a minute")
