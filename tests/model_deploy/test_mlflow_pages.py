"""What a link is; tests/browser opens each kind."""

from __future__ import annotations

import pytest

from model_deploy.mlflow_pages import (
    artifact_page,
    experiment_page,
    home_page,
    model_page,
    run_page,
    version_page,
)

_ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-1"


@pytest.mark.parametrize(
    ("page", "path", "thing"),
    [
        (home_page, "", "MLflow"),
        (lambda uri: experiment_page(uri, "1"), "experiments/1", "experiment 1"),
        (lambda uri: run_page(uri, "1", "ab"), "experiments/1/runs/ab", "run ab"),
        (
            lambda uri: artifact_page(uri, "1", "ab", "x/a b.png"),
            "experiments/1/runs/ab/artifacts/x/a%20b.png",
            "x/a b.png of run ab",
        ),
        (lambda uri: model_page(uri, "a b"), "models/a%20b", "models:/a b"),
        (lambda uri: version_page(uri, "a b", "7"), "models/a%20b/versions/7", "models:/a b/7"),
    ],
)
def test_a_page_has_a_link_in_its_mode_without_credentials_or_a_text(page, path, thing):
    mode = "?workflowType=machine_learning"
    assert page("http://127.0.0.1:5000") == f"http://127.0.0.1:5000/#/{path}{mode}"
    assert page("https://me:p@ss@ml.example.com/x/") == f"https://ml.example.com/x/#/{path}{mode}"
    assert page("sqlite:////tmp/m.db") == f"{thing} in sqlite:////tmp/m.db"
    assert page("mysql+pymysql://me:s@db:1/m") == f"{thing} in mysql+pymysql://db:1/m"
    assert page(_ARN) == f"{thing} in {_ARN}, which opens from SageMaker Studio"


def test_a_percent_sign_of_a_name_is_quoted_twice_as_the_pages_undo_it_twice():
    assert "/models/100%2525%20%23%3F%2F%C3%A9?" in model_page("http://m", "100% #?/é")
