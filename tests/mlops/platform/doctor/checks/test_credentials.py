from __future__ import annotations

import pytest
from botocore.stub import Stubber

from mlops.platform.doctor.account_view import AccountView
from mlops.platform.doctor.checks import credentials
from mlops.platform.doctor.patient import Choices, Patient


def _only(patient):
    [finding] = credentials.check(patient)
    return finding.status.value, finding.message, finding.remedy


def test_it_tells_who_you_are_and_where(patient):
    status, message, _ = _only(patient(expected_account="123456789012"))
    assert status == "ok"
    assert message.startswith("account 123456789012 in eu-west-1, as arn:aws:")


def test_another_account_than_the_expected_one_fails(patient):
    status, message, remedy = _only(patient(expected_account="111122223333"))
    assert status == "failed"
    assert "you are in account 123456789012" in message
    assert "not in 111122223333" in message
    assert "AWS_PROFILE" in remedy


def test_no_region_fails_before_anything_is_asked(monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    status, message, remedy = _only(Patient(account=AccountView(), choices=Choices()))
    assert (status, remedy) == ("failed", "export AWS_REGION=eu-west-1")
    assert "no region" in message


def test_no_credentials_fail(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    status, message, remedy = _only(Patient(account=AccountView("eu-west-1"), choices=Choices()))
    assert status == "failed"
    assert "Unable to locate credentials" in message
    assert "aws sso login" in remedy


def test_a_profile_that_does_not_exist_fails():
    patient = Patient(account=AccountView("eu-west-1", "nobody"), choices=Choices())
    status, message, _ = _only(patient)
    assert status == "failed"
    assert "nobody" in message


@pytest.mark.parametrize(
    ("code", "words"), [("ExpiredToken", "have expired"), ("InvalidClientTokenId", "not accepted")]
)
def test_refused_credentials_fail(account, code, words):
    with Stubber(account.client("sts")) as sts:
        sts.add_client_error("get_caller_identity", code, http_status_code=403)
        status, message, _ = _only(Patient(account=account, choices=Choices()))
    assert status == "failed"
    assert words in message
    assert code in message
