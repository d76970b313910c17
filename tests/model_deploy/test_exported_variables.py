from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from model_deploy.exported_variables import (
    describe_code_on_load,
    describe_gate,
    shorten,
    to_shell,
    version_link,
)


def test_a_shell_that_sources_the_lines_has_the_values_unchanged(tmp_path: Path) -> None:
    nasty = 'it\'s $HOME; `date` "x" \\ (limit 66.1)'
    file = tmp_path / "variables.sh"
    file.write_text(to_shell({"NASTY": nasty, "EMPTY": ""}))
    printed = subprocess.run(
        ["bash", "-euc", f'. "{file}"; env -0 | grep -z "^NASTY=\\|^EMPTY="'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sorted(printed.split("\0")[:-1]) == ["EMPTY=", f"NASTY={nasty}"]


def test_values_are_one_short_line_without_codepipelines_own_syntax() -> None:
    assert shorten("no endpoint\n  - 'a'\tb\x00c") == "no endpoint - 'a' b c"
    assert shorten("#{SourceVariables.CommitId}") == "# {SourceVariables.CommitId}"
    assert len(shorten("x" * 1000)) == 200
    assert shorten("x" * 1000).endswith("x...")


_SUMMARY = (
    "Brier score 0.121 (95 %: 0.104 to 0.139), accuracy 0.91; class shares alone 0.241; champion "
    "v3 0.125, not worse"
)


def _report(**changes: Any) -> bytes:
    return json.dumps({"version": 1, "verdict": "passed", "summary": _SUMMARY, **changes}).encode()


def test_the_gate_is_described_in_its_report_s_own_words() -> None:
    assert describe_gate(_report(), {"brier_score": 0.5}) == _SUMMARY
    long = describe_gate(_report(summary="#{A}\n" + "x" * 500), {})
    assert (long[:8], len(long)) == ("# {A} xx", 200)


def test_a_version_that_did_not_pass_is_not_described_as_one_that_did() -> None:
    assert describe_gate(_report(verdict="failed"), {}) == f"gate NOT passed: {_SUMMARY}"


def test_without_a_report_the_first_three_metrics_are_told_whatever_they_are() -> None:
    metrics = {"f1": 0.5, "accuracy": 0.91234, "z": 1, "loss": 2e-7}
    assert describe_gate(None, metrics) == "no gate report; accuracy 0.912, f1 0.5, loss 2e-07"
    assert describe_gate(None, {}) == "no gate report; no metrics"


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "it is no object"),
        (b"null", "it is no object"),
        (b"{}", "its version is None, not 1"),
        (_report(version=2), "its version is 2, not 1"),
        (_report(verdict=None), "it lacks verdict or summary"),
        (_report(verdict=["passed"]), "it lacks verdict or summary"),
        (_report(summary=None), "it lacks verdict or summary"),
        (_report(summary=" "), "it lacks verdict or summary"),
    ],
)
def test_a_report_that_can_not_be_read_is_told_with_the_metrics(
    report: bytes, problem: str
) -> None:
    described = describe_gate(report, {"rmse": 53.14})
    assert described == f"gate report not readable ({problem}); rmse 53.1"


@pytest.mark.parametrize("report", [b"\xff" * 9, b"[" * 100_000, _report(version="x" * 999)])
def test_a_damaged_report_hides_no_metrics(report: bytes) -> None:
    described = describe_gate(report, {"rmse": 53.14})
    assert described.startswith("gate report not readable (")
    assert described.endswith("; rmse 53.1")
    assert len(described) <= 200


@pytest.mark.parametrize(
    ("tracking_uri", "page"),
    [
        (
            "https://me:secret@ml.example.com/x/",
            "https://ml.example.com/x/#/models/a%20b/versions/7?workflowType=machine_learning",
        ),
        (
            "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/ours",
            "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1",
        ),
        ("sqlite:////tmp/mlflow.db", "models:/a b/7 in sqlite:////tmp/mlflow.db"),
    ],
)
def test_an_approval_links_to_the_version_without_credentials(tracking_uri: str, page: str) -> None:
    assert version_link(tracking_uri, "a b", "7") == page


def test_a_page_whose_address_is_too_long_gives_way_to_the_first_page() -> None:
    first = "http://m/#/?workflowType=machine_learning"
    assert version_link("http://m", "é" * 100, "7") == first
    assert len(version_link("http://m", "#{" * 128, "7")) < 400
    assert "#{" not in version_link("sqlite:///m", "#{" * 128, "7")


def test_what_runs_code_on_load_is_one_line_that_says_how_much_it_left_out() -> None:
    assert describe_code_on_load([]) == "none"
    assert describe_code_on_load(["it unpickles", "code/ comes\nfirst"]) == (
        "it unpickles; code/ comes first"
    )
    long = describe_code_on_load(["a" * 150, "b" * 150, "c"])
    assert long == f"{'a' * 150} (and 2 more: see the build's log)"
    one = describe_code_on_load(["a" * 300])
    assert one == f"{'a' * 197}..."
    assert len(describe_code_on_load(["a" * 300, "b"])) <= 200
