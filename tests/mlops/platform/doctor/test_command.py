from __future__ import annotations

import json

import pytest

from mlops.cli import build_parser
from mlops.platform.doctor.command import choose, run
from mlops.platform.doctor.registry import CHECKS


def _arguments(*words):
    return build_parser().parse_args(["platform", "doctor", *words])


@pytest.fixture
def aws():
    from moto import mock_aws

    with mock_aws():
        yield


def test_without_a_choice_all_checks_run_in_their_order():
    assert choose([], "") == list(CHECKS)


def test_a_project_narrows_to_its_own_checks():
    names = [check.name for check in choose([], "housing")]
    assert names == ["credentials", "stacks", "roles", "notifications"]
    assert [check.name for check in choose(["images"], "housing")] == ["images"]


def test_an_unknown_check_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit) as raised:
        _arguments("--only", "weather")
    assert raised.value.code == 2
    assert "weather" in (said := capsys.readouterr().err)
    assert "credentials" in said


def test_lines_and_exit_code_say_that_all_is_well(aws, capsys):
    assert run(_arguments("--only", "credentials", "--only", "images")) == 0
    first, second, summary = capsys.readouterr().out.splitlines()
    assert first.startswith("ok       credentials    account 123456789012 in us-east-1, as arn:")
    assert (
        second == "skipped  images         no parameter names an image: see the check `parameters`"
    )
    assert summary == "2 checks: 1 ok, 1 skipped"


def test_a_failure_is_exit_code_1_and_has_its_remedy_below(aws, capsys):
    assert run(_arguments("--only", "parameters")) == 1
    finding, remedy, _ = capsys.readouterr().out.splitlines()
    assert finding == "failed   parameters     nothing under /sagemaker-mlflow/ in us-east-1"
    assert remedy.strip().startswith("-> `mlops platform deploy --size single-user`")


def test_credentials_that_fail_are_told_though_nobody_asked(monkeypatch, capsys):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert run(_arguments("--only", "images")) == 1
    first, _, second, summary = capsys.readouterr().out.splitlines()
    assert first.startswith("failed   credentials    no usable credentials")
    assert second.startswith("skipped  images")
    assert summary == "2 checks: 1 failed, 1 skipped"


def test_json_is_all_that_is_printed(aws, capsys):
    assert run(_arguments("--json", "--only", "parameters", "--account", "111122223333")) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["failed"] is True
    assert [check["name"] for check in report["checks"]] == ["credentials", "parameters"]


def test_another_region_is_looked_at_when_it_is_named(aws, capsys):
    run(_arguments("--only", "parameters", "--region", "eu-west-3"))
    assert "in eu-west-3" in capsys.readouterr().out
