"""docs/from-the-article.md: a row for each step of the article, whose equivalent exists here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mlops.cli import build_parser as mlops_parser
from model_build.run_pipeline import build_parser as run_pipeline_parser

PROJECT_DIR = Path(__file__).parents[2]
PAGE = PROJECT_DIR / "docs/from-the-article.md"
STEPS = [
    "MLflow by CDK on Fargate",
    "build-and-push-container",
    "Studio's project template",
    "AmazonSageMakerServiceCatalogProductsUseRole",
    "Copying the code into the repositories",
    "Boston housing",
    "Parameters in pipeline.py, line 22",
    "pipelines.mlflow.pipeline",
    "git push",
    "MODEL_NAME, MODEL_VERSION, CONTAINER_URI in buildspec.yml",
    "The endpoint test, a stub",
    "Approval in CodePipeline's console",
    "Stages None, Staging, Production, Archived",
    "Schedule by EventBridge",
    "Cleaning up",
]
_PROGRAMS = {"mlops": mlops_parser, "run-pipeline": run_pipeline_parser}


def rows() -> dict[str, list[str]]:
    """Step -> what it was, what of it no longer runs, what is here."""
    found = re.findall(r"^\| (.+) \| (.+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {step: cells for step, *cells in found if step != "step"}


def find_faults(equivalent: str) -> list[str]:
    """What the last cell of a row names, and is not there."""
    named = re.findall(r"`([^`]+)`", equivalent)
    faults = [each for each in named if "/" in each and " " not in each and _is_gone(each)]
    faults += [each for each in named if each.split()[0] in _PROGRAMS and not _is_understood(each)]
    links = re.findall(r"\]\(([^)#]+)", equivalent)
    faults += [each for each in links if not (PAGE.parent / each).exists()]
    return faults if named or links else ["names nothing"]


def _is_gone(path: str) -> bool:
    return "://" not in path and path[-1] != "/" and not (PROJECT_DIR / path).exists()


def _is_understood(command: str) -> bool:
    program, *words = shlex.split(command)
    try:
        _PROGRAMS[program]().parse_args(words)
    except SystemExit:
        return False
    return True


@pytest.mark.parametrize("step", STEPS)
def test_each_step_of_the_article_has_a_row(step: str) -> None:
    assert len([each for each in rows() if step in each]) == 1


@pytest.mark.parametrize("step", rows())
def test_what_takes_its_place_is_there(step: str) -> None:
    then, today, here = rows()[step]
    assert then.strip()
    assert today.strip()
    assert find_faults(here) == []


def test_what_is_not_there_is_found() -> None:
    planted = "`model_build/gone.py`, `mlops publish x`, `run-pipeline --modul y`, [a](gone.md#x)"
    assert find_faults(planted) == [
        "model_build/gone.py",
        "mlops publish x",
        "run-pipeline --modul y",
        "gone.md",
    ]
    assert find_faults("nothing that anybody could type") == ["names nothing"]


def test_readme_says_so_in_the_first_line_of_where_next() -> None:
    readme = (PROJECT_DIR / "README.md").read_text()
    first = readme.partition("## Where next\n\n")[2].partition("\n- ")[0]
    assert "article" in first
    assert "(docs/from-the-article.md)" in first
