"""What the commands leave where they are called is nothing that Git would add."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from mlops.units import UNITS
from model_deploy import build, reconcile
from model_deploy.test import test as endpoint_test

PROJECT_DIR = Path(__file__).parents[2]


def _written() -> set[str]:
    """Relative paths: the defaults of flags, and those that CodeBuild's commands are given."""
    found = {
        str(action.default)
        for parser in (build.build_parser(), endpoint_test.build_parser(), reconcile.build_parser())
        for action in parser._actions
        if isinstance(action.default, Path) and not action.default.is_absolute()
    }
    template = (PROJECT_DIR / "infra/project/project.yml").read_text()
    found |= set(re.findall(r"Name: EXPORT_\w+, Value: ([\w.-]+\.\w+)", template))
    buildspec = (PROJECT_DIR / "codebuild-buildspec.yml").read_text()
    return found | set(re.findall(r"--file-name ([\w.-]+)", buildspec))


def test_what_commands_write_is_known() -> None:
    assert _written() == {
        "pipeline-definition.json",
        "prod-config-export.json",
        "staging-config-export.json",
        "template-export.yml",
        "test-results.json",
    }


@pytest.mark.parametrize("name", sorted({*_written(), ".local/demo.json"}))
def test_git_ignores_what_commands_write(name: str) -> None:
    told = subprocess.run(["git", "check-ignore", "--no-index", name], cwd=PROJECT_DIR)
    assert told.returncode == 0


def test_the_units_have_the_same_list() -> None:
    assert all(".gitignore" in patterns for patterns in UNITS.values())
