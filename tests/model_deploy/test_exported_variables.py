from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from model_deploy.exported_variables import describe_metrics, shorten, to_shell, version_page


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


def test_metrics_name_the_error_and_its_limit() -> None:
    metrics = {"median_absolute_error": 35.2412, "max_median_absolute_error": 66.1, "rmse": 50.0}
    assert describe_metrics(metrics) == "median AE 35.2 (limit 66.1)"
    assert describe_metrics({**metrics, "r2": 0.4681}) == "median AE 35.2 (limit 66.1), r2 0.468"


def test_metrics_of_another_kind_of_model_are_the_first_three() -> None:
    assert describe_metrics({"f1": 0.5, "accuracy": 0.91234, "z": 1, "loss": 2e-7}) == (
        "accuracy 0.912, f1 0.5, loss 2e-07"
    )
    assert describe_metrics({}) == "no metrics"


@pytest.mark.parametrize(
    ("tracking_uri", "page"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/models/a%20b/versions/7"),
        (
            "https://me:secret@ml.example.com/x/",
            "https://ml.example.com/x/#/models/a%20b/versions/7",
        ),
        (
            "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/ours",
            "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1",
        ),
        ("sqlite:////tmp/mlflow.db", "models:/a b/7"),
    ],
)
def test_the_page_of_a_version_has_no_credentials(tracking_uri: str, page: str) -> None:
    assert version_page(tracking_uri, "a b", "7") == page


def test_a_page_whose_address_is_too_long_gives_way_to_the_first_page() -> None:
    assert version_page("http://m", "é" * 100, "7") == "http://m/"
