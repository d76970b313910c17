"""What modelBuild's CodeBuild checks, with its own buildspec, on edits as people make them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_EDITED = "model_build/errors.py"


@pytest.fixture
def checked(build_account):
    """A build of this tree's checks after an edit; what it installs is this environment."""

    def build(edit: str):
        buildspec = yaml.safe_load((_ROOT / "codebuild-buildspec.yml").read_text())
        phases = buildspec["phases"]
        (compiles,) = (c for c in phases["pre_build"]["commands"] if "get_pipeline_def" in c)
        phases["install"] = {"commands": [f"ln -s {sys.prefix} .venv"]}
        phases["pre_build"]["commands"].remove(compiles)
        phases["build"] = {"commands": ["echo the pipeline runs"]}
        del buildspec["artifacts"]
        paths = [_ROOT / "pyproject.toml", *(_ROOT / "model_build").glob("*.py")]
        files = {str(path.relative_to(_ROOT)): path.read_text() for path in paths}
        files[_EDITED] = files[_EDITED] + edit
        ended = build_account.run(yaml.safe_dump(buildspec), files=files)
        return ended, build_account.log(ended)

    return build


@pytest.mark.parametrize(
    ("edit", "warning"),
    [
        (
            "\n\ndef  edited( ):\n    return   1\n",
            "warning: the files above are not formatted; ruff format model_build does it",
        ),
        (
            f"\n\n# {'a long line ' * 12}\n",
            "warning: long lines, imports out of order or stray spaces, above; ruff check --fix "
            "--select I001,W model_build changes all but long lines",
        ),
    ],
)
def test_how_an_edit_is_laid_out_is_told_and_stops_nothing(checked, edit, warning):
    ended, log = checked(edit)

    assert ended["buildStatus"] == "SUCCEEDED", log
    lines = log.splitlines()
    assert any(f"{_EDITED}:" in line for line in lines[: lines.index(warning)])
    assert "the pipeline runs" in log.splitlines()


def test_a_clean_tree_has_no_warning(checked):
    ended, log = checked("")

    assert ended["buildStatus"] == "SUCCEEDED", log
    assert not [line for line in log.splitlines() if line.startswith("warning: ")]


def test_an_error_in_an_edit_stops_the_build_before_anything_runs(checked, phase):
    ended, log = checked("\n\ndef edited():\n    return not_defined\n")

    assert ended["buildStatus"] == "FAILED"
    assert phase(ended, "PRE_BUILD")["phaseStatus"] == "FAILED"
    assert "Undefined name `not_defined`" in log
    assert "the pipeline runs" not in log.splitlines()
