"""LightGBM by the steps of docs/pipeline.md, "Your estimator", to the staging endpoint.

Code, requirement, path and command are taken from the document, and nothing else is done.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.project import (
    BUILD_PIPELINE,
    Project,
    run_pipelines,
    runs_of,
    versions_of,
)
from tests.end_to_end.shell import PROJECT_DIR

pytestmark = pytest.mark.e2e

MODEL = "boosted"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """What the section has a person type."""

    path: str
    code: str
    requirements: str
    requirement: str
    parameters: dict[str, str]
    refusal: str


@pytest.fixture(scope="module")
def document():
    text = (PROJECT_DIR / "docs" / "pipeline.md").read_text()
    section = text.partition("\n### Your estimator\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    code, requirement, refusal = blocks
    (path,) = re.findall(r"`(model_build/\S+\.py)`:", section)
    (requirements,) = re.findall(r"`(model_build/\S+\.txt)`:", section)
    (typed,) = re.findall(r"`run-pipeline --parameters (.*?) \.\.\.`", section)
    return Document(
        path=path,
        code=code,
        requirements=requirements,
        requirement=requirement.strip(),
        parameters=dict(word.split("=") for word in typed.split()),
        refusal=" ".join(refusal.split()),
    )


@pytest.fixture(scope="module")
def clone(deployed, document, tmp_path_factory):
    """modelBuild's repository as a person has cloned it, and what the document adds."""
    project = Project(deployed, tmp_path_factory.mktemp("clone") / "modelbuild", BUILD_PIPELINE)
    project.fill()
    add_estimator(project.folder, document, document.code)
    return project


def add_estimator(folder, document, code):
    assert not (folder / document.path).exists()
    (folder / document.path).write_text(code)
    with (folder / document.requirements).open("a") as requirements:
        requirements.write(f"{document.requirement}\n")


@pytest.fixture(scope="module")
def pushed(clone):
    """The clone's commit, pushed: CI begins to train."""
    return clone.push("Add LightGBM")


@pytest.fixture(scope="module")
def trained(deployed, document, clone, pushed):
    """How the document's command ended, typed in the clone."""
    runs = {MODEL: document.parameters}
    return run_pipelines(deployed, runs, folder=clone.folder)[MODEL]


def test_the_documents_command_registers_what_lightgbm_learned(deployed, document, trained):
    assert trained.returncode == 0, trained.stderr
    assert f"registered {MODEL} version 1" in trained.stdout
    (run,) = runs_of(deployed, MODEL)
    assert run.data.params["estimator"] == "lightgbm"
    assert run.data.params["lightgbm_trees"] == document.parameters["LightgbmTrees"]
    assert run.data.metrics["r2"] > 0.2


def test_a_push_of_the_documents_files_builds_without_a_warning(deployed, clone, pushed):
    actions = clone.wait_for(pushed, "Succeeded", "Failed")

    assert clone.status(pushed) == "Succeeded", actions
    printed = clone.type("logs", BUILD_PIPELINE)
    assert "All checks passed!" in printed
    assert not re.findall(r"^warning: .*", printed, re.MULTILINE)


def test_staging_serves_it_with_nothing_changed_in_modeldeploy(
    deployed, trained, pushed, tmp_path_factory
):
    assert trained.returncode == 0, trained.stderr
    project = Project(deployed, tmp_path_factory.mktemp("clone") / "modeldeploy")
    project.fill()
    execution = project.push("Deploy LightGBM", model_name=MODEL, model_version="latest")
    project.wait_for_approval(execution)

    tested = project.type("logs", "sagemaker-local-p-local-testing")
    for form in ("JSON", "CSV"):
        assert f"passed: answers raw rows as {form} as offline" in tested
    tags = versions_of(deployed, MODEL)["1"].tags
    assert tags["gate.metric"] == "rmse"
    told = project.type("reject", "--comment", "only tried", "--yes")
    assert f"Deploy {MODEL} version 1 to production?" in told
    assert "RMSE" in told
    project.wait_for(execution, "Failed")


@pytest.fixture(scope="module")
def refused(deployed, document, clone, trained, tmp_path_factory):
    """How it ends where the file lacks its packages, or its reviewed types."""
    folders = {}
    for name, field in (("no-packages", "packages"), ("no-types", "trusted_types")):
        folder = tmp_path_factory.mktemp(name) / "modelbuild"
        shutil.copytree(clone.folder, folder)
        code, count = re.subn(rf"\n    {field}=.*?\n(?=    \w|\))", "\n", document.code, flags=re.S)
        assert count == 1
        (folder / document.path).write_text(code)
        folders[name] = folder
    with ThreadPoolExecutor(2) as aside:
        return {
            name: aside.submit(run_pipelines, deployed, {name: document.parameters}, folder)
            for name, folder in folders.items()
        }


def test_a_file_that_lacks_something_is_refused_before_the_training(deployed, document, refused):
    without_packages, without_types = (
        refused[name].result()[name] for name in ("no-packages", "no-types")
    )

    assert without_packages.returncode == without_types.returncode == 1
    assert document.refusal in without_packages.stderr
    assert "nobody reviewed collections.OrderedDict, lightgbm.basic.Booster, " in (
        without_types.stderr
    )
    assert "add each to `trusted_types` with the reason" in without_types.stderr
    for name in refused:
        assert not versions_of(deployed, name)
        assert not runs_of(deployed, name)


def test_the_commands_in_a_clone_are_those_of_the_clone(clone):
    script = "import model_build; print(model_build.__file__)"
    printed = subprocess.run(
        [sys.executable, "-c", script], cwd=clone.folder, capture_output=True, text=True
    ).stdout

    assert printed.strip() == str(clone.folder / "model_build" / "__init__.py")
