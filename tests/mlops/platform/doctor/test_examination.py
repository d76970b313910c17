from __future__ import annotations

import threading
import time

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from mlops.platform.doctor.account_view import AccountView
from mlops.platform.doctor.examination import examine
from mlops.platform.doctor.finding import failed, ok, skipped
from mlops.platform.doctor.patient import CannotLook, Choices, Patient
from mlops.platform.doctor.registry import CHECKS, Check


def _refusal(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeThing")


def _check(name, look, seconds=5.0):
    return Check(name=name, look=look, seconds=seconds)


def _raising(error):
    def look(patient):
        raise error
        yield

    return look


def _found(patient, *checks, on_wait=lambda *_: None):
    return {
        result.check.name: [(f.status.value, f.message, f.remedy) for f in result.findings]
        for result in examine(patient(), checks, on_wait)
    }


def test_one_that_breaks_hides_neither_the_others_nor_what_it_found_before(patient):
    def breaks(patient):
        yield failed("half", "mend it")
        raise ValueError("a\nmistake")

    found = _found(patient, _check("first", breaks), _check("second", lambda _: [ok("well")]))
    assert list(found) == ["first", "second"]
    assert found["first"][0] == ("failed", "half", "mend it")
    status, message, _ = found["first"][1]
    assert (status, message) == ("failed", "the check itself broke: ValueError: a mistake")
    assert found["second"] == [("ok", "well", "")]


def test_one_that_hangs_is_given_up_and_tells_how_far_it_was(patient):
    release = threading.Event()

    def hangs(patient):
        patient.say("page 3")
        release.wait(20)
        return []

    told = []
    begun = time.monotonic()
    found = _found(
        patient,
        _check("slow", hangs, seconds=0.7),
        _check("quick", lambda _: [ok("well")]),
        on_wait=lambda check, progress, _: told.append((check.name, progress)),
    )
    release.set()
    assert time.monotonic() - begun < 5
    [(status, message, remedy)] = found["slow"]
    assert (status, message) == ("failed", "no answer within 0.7 seconds (page 3)")
    assert "mlops platform doctor --only slow" in remedy
    assert found["quick"] == [("ok", "well", "")]
    assert ("slow", "page 3") in told


def test_results_come_in_the_order_of_the_checks(patient):
    def late(patient):
        time.sleep(0.2)
        return [ok("late")]

    assert list(_found(patient, _check("a", late), _check("b", lambda _: [ok("b")]))) == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (CannotLook(skipped("no MLflow")), "skipped", "no MLflow"),
        (NoCredentialsError(), "skipped", "see the check `credentials`"),
        (_refusal("ExpiredToken"), "skipped", "(ExpiredToken): see the check `credentials`"),
        (_refusal("UnsupportedOperation", "x does not support it"), "skipped", "has no Describe"),
        (_refusal("UnknownOperationException", ""), "skipped", "has no DescribeThing"),
        (
            _refusal("AccessDenied", "x is not authorized"),
            "warning",
            "not allowed to call",
        ),
        (_refusal("Throttling"), "warning", "failed with Throttling: no"),
        (EndpointConnectionError(endpoint_url="https://x"), "warning", "out of reach"),
    ],
)
def test_what_aws_refuses_is_no_verdict_on_what_was_to_be_looked_at(patient, error, status, words):
    [(found, message, remedy)] = _found(patient, _check("only", _raising(error)))["only"]
    assert found == status
    assert words in message
    assert bool(remedy) == (status == "warning")


def test_an_aws_that_nobody_reaches_is_told_once(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    everything = Patient(account=AccountView("eu-west-1"), choices=Choices())
    results = examine(everything, [CHECKS[0], CHECKS[2]], lambda *_: None)
    [unreachable], [parameters] = (result.findings for result in results)
    assert unreachable.status == "failed"
    assert "AWS is out of reach" in unreachable.message
    assert parameters == skipped("AWS is out of reach: see the check `credentials`")


def test_each_check_says_in_one_line_what_it_looks_at():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.title.endswith("."), check.name
