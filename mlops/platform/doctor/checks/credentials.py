"""Credentials and region."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from mlops.account import LOG_IN, error_code
from mlops.platform.doctor.finding import Finding, failed, ok
from mlops.platform.doctor.patient import Patient
from mlops.platform.doctor.refusal import CREDENTIAL_CODES, is_out_of_reach, one_line

_LOG_IN = f"{LOG_IN}, or export AWS_PROFILE=..."


def check(patient: Patient) -> Iterator[Finding]:
    """Who you are: credentials exist, are accepted, are of the expected account; region is set."""
    try:
        region = patient.account.region
        if not region:
            text = "no region: neither AWS_REGION nor the profile names one"
            yield failed(text, "export AWS_REGION=eu-west-1")
            return
        identity = patient.account.identity()
    except ClientError as err:
        if error_code(err) not in CREDENTIAL_CODES:
            raise
        expired = "have expired" if "xpired" in error_code(err) else "are not accepted"
        yield failed(f"the credentials {expired} ({error_code(err)})", _LOG_IN)
        return
    except BotoCoreError as err:
        if is_out_of_reach(err):
            yield failed(
                f"AWS is out of reach: {one_line(err)}",
                "look at the network, the proxy, AWS_REGION and AWS_ENDPOINT_URL",
            )
        elif _is_about_credentials(err):
            yield failed(f"no usable credentials: {one_line(err)}", _LOG_IN)
        else:
            raise
        return
    yield _judge(identity["Account"], identity["Arn"], region, patient.choices.expected_account)


def _is_about_credentials(error: BotoCoreError) -> bool:
    kind = type(error).__name__
    return any(word in kind for word in ("Credential", "Profile", "SSO", "Token", "Config"))


def _judge(account: str, arn: str, region: str, expected: str) -> Finding:
    if expected and account != expected:
        return failed(
            f"you are in account {account} ({arn}), not in {expected}",
            f"export AWS_PROFILE=... with a profile of account {expected}",
        )
    return ok(f"account {account} in {region}, as {arn}")
