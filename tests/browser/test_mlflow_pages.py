"""Each kind of link, opened in Chromium as by somebody who has never opened MLflow, leads there."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from model_deploy.mlflow_pages import (
    artifact_page,
    experiment_page,
    home_page,
    model_page,
    run_page,
    version_page,
)
from tests.browser.conftest import Trained
from tests.chromium import Browser

# In MLflow's menu, of the mode in which models are.
_MENU = ("Model registry",)
_MODE = "?workflowType=machine_learning"

_LINKS: dict[str, Callable[[Trained], str]] = {
    "home": lambda it: home_page(it.server),
    "experiment": lambda it: experiment_page(it.server, it.experiment_id),
    "run": lambda it: run_page(it.server, it.experiment_id, it.run_id),
    "artifact": lambda it: artifact_page(it.server, it.experiment_id, it.run_id, "residuals.png"),
    "model": lambda it: model_page(it.server, it.job.name),
    "version": lambda it: version_page(it.server, it.job.name, "1"),
}


def test_the_job_s_log_has_the_run_s_link_and_none_of_mlflow_s_own(trained: Trained) -> None:
    links = re.findall(r"https?://\S+", trained.log)
    assert links == [_LINKS["run"](trained)], trained.log


def test_a_run_s_link_opens_it_with_its_metrics(browser: Browser, trained: Trained) -> None:
    browser.open(_LINKS["run"](trained))

    page = browser.wait_for(*_MENU, trained.run_name, "rmse", "baseline_rmse", trained.run_id)
    assert f"{trained.job.run.data.metrics['rmse']:.5g}"[:5] in page


def test_an_experiment_s_link_opens_the_list_of_its_runs(
    browser: Browser, trained: Trained
) -> None:
    browser.open(_LINKS["experiment"](trained))

    browser.wait_for(*_MENU, trained.run_name, "1 matching run")


def test_an_artifact_s_link_shows_the_plot(browser: Browser, trained: Trained) -> None:
    browser.open(_LINKS["artifact"](trained))

    browser.wait_for(*_MENU, trained.run_name, "residuals.png")
    assert min(browser.wait_for_picture()) > 300


def test_a_model_s_link_opens_its_versions(browser: Browser, trained: Trained) -> None:
    browser.open(_LINKS["model"](trained))

    page = browser.wait_for(*_MENU, trained.job.name, "Version 1", "Aliases")
    assert "Stage" not in page


def test_a_version_s_link_opens_it_with_its_tags_and_its_stage(
    browser: Browser, trained: Trained
) -> None:
    """docs/mlflow-pages.md says where a stage is seen: here, and not in the model's list."""
    browser.open(_LINKS["version"](trained))

    browser.wait_for(*_MENU, trained.job.name, "Version 1", trained.run_name, "gate.summary")
    browser.wait_for("Stage (deprecated)", "New model registry UI")


def test_the_first_page_leads_on_to_the_models(browser: Browser, trained: Trained) -> None:
    browser.open(_LINKS["home"](trained))

    browser.wait_for(*_MENU, trained.job.name)


@pytest.mark.parametrize("kind", _LINKS)
def test_without_the_mode_a_link_opens_where_no_model_is(
    browser: Browser, trained: Trained, kind: str
) -> None:
    """When this fails, MLflow has mended mlflow/mlflow#24498, and links can do without it."""
    link = _LINKS[kind](trained)
    assert link.endswith(_MODE)

    browser.open(link.removesuffix(_MODE))

    page = browser.wait_for("AI Gateway", "Model training")
    assert not any(text in page for text in _MENU)
    if kind == "experiment":
        page = browser.wait_for("Token Usage")
        assert trained.run_name not in page


def test_the_switch_is_remembered_by_the_browser(browser: Browser, trained: Trained) -> None:
    browser.open(f"{trained.server}/")
    browser.wait_for("AI Gateway", "Model training")

    browser.press("//*[text()='Model training']")
    browser.wait_for(*_MENU)
    browser.driver.get("about:blank")
    browser.driver.get(_LINKS["experiment"](trained).removesuffix(_MODE))

    browser.wait_for(*_MENU, trained.run_name, "1 matching run")


# Each with what a link, a page or a filter may take for its own.
_NAMES = ("it's 100%", 'p%41c "p%2Fc"', "é日本#a?b&c=d+e;f<b>\\|[x]")


@pytest.mark.parametrize("name", _NAMES)
def test_a_model_is_found_whatever_its_name_holds(
    browser: Browser, trained: Trained, name: str
) -> None:
    trained.job.client.create_registered_model(name)
    trained.job.client.create_model_version(name, "s3://bucket/model")

    browser.open(model_page(trained.server, name))
    browser.wait_for(f"Registered Models\n{name}\n", "Version 1")
    browser.open(version_page(trained.server, name, "1"))
    browser.wait_for(f"Registered Models\n{name}\nVersion 1\n")


def test_a_percent_sign_that_is_quoted_once_opens_another_model_or_none(
    browser: Browser, trained: Trained
) -> None:
    trained.job.client.create_registered_model("other%41model")
    link = model_page(trained.server, "other%41model")
    once = f"/models/{quote('other%41model')}?"
    assert once not in link

    browser.open(link.replace("/models/other%252541model?", once))

    browser.wait_for("Model otherAmodel does not exist")


def test_no_page_asks_anything_of_another_machine(browser: Browser, trained: Trained) -> None:
    """All that were opened before this, too."""
    browser.open(_LINKS["home"](trained))
    browser.wait_for(*_MENU)

    assert browser.requests_elsewhere() == []


def test_a_request_of_another_machine_is_seen(browser: Browser) -> None:
    browser.driver.get("data:text/html,<img src='https://elsewhere.example/x.png'>there")

    browser.wait_for("there")
    assert browser.requests_elsewhere() == ["https://elsewhere.example/x.png"]
