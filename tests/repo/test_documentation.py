"""What the documents say is there, is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from local_aws.cli import build_parser

PROJECT_DIR = Path(__file__).parents[2]
TRACKED = [
    PROJECT_DIR / name
    for name in subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if (PROJECT_DIR / name).is_file()
]
DOCUMENTS = [path for path in TRACKED if path.suffix == ".md"]
SOURCES = [path for path in TRACKED if path.suffix in (".py", ".sh", ".yml", ".ini", ".toml")]

# Named because a document has its reader write it: tests/end_to_end/test_your_estimator.py does so.
FOR_THE_READER_TO_WRITE = "model_build/steps/train_evaluate_register/estimators/lightgbm.py"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_relative_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_named_files_and_commands_exist(path):
    text = path.read_text()
    targets = set(re.findall(r"^([a-z]+):", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"`make ([a-z]+)`", text):
        assert target in targets, f"make {target}"
    commands = str(build_parser().format_help())
    for command in re.findall(r"local-aws ([a-z]+)\b", text):
        assert re.search(rf"^    {command} ", commands, re.MULTILINE), f"local-aws {command}"
    for name in re.findall(r"`((?:model_build|model_deploy|local_aws|tests|docs)/[\w./-]+)`", text):
        assert (PROJECT_DIR / name).exists() or name == FOR_THE_READER_TO_WRITE, name


def test_decision_records_have_at_most_40_lines():
    for path in (PROJECT_DIR / "docs/decisions").glob("0*.md"):
        assert len(path.read_text().splitlines()) <= 40, path.name


def test_no_placeholder_is_left_in_the_sources():
    placeholder = re.compile(
        r"\b(TODO|FIXME|XXX|lorem ipsum|(DEMO|TEST) OUTPUT|RESULTS)\b|raise NotImplementedError"
    )
    found = [
        f"{path.relative_to(PROJECT_DIR)}: {match[0]}"
        for path in [*SOURCES, *DOCUMENTS]
        if path != Path(__file__)
        for match in placeholder.finditer(path.read_text())
    ]

    assert not found


def test_nothing_is_named_like_a_test_outside_tests():
    tests = (PROJECT_DIR / "tests", PROJECT_DIR / "local_aws/tests")
    for path in SOURCES:
        if path.suffix == ".py" and not any(path.is_relative_to(folder) for folder in tests):
            assert not re.search(r"^\s*def test_", path.read_text(), re.MULTILINE), path


def test_no_machine_path_or_registry_host_is_committed():
    unwanted = re.compile(r"/(?:root|work|home/\w+)/|files\.pythonhosted|pypi\.org/simple")
    found = [
        f"{path.relative_to(PROJECT_DIR)}: {match[0]}"
        for path in [*SOURCES, *DOCUMENTS]
        if path != Path(__file__)
        for match in unwanted.finditer(path.read_text())
    ]

    assert not found


def test_ci_calls_the_readme_s_test_command():
    script = PROJECT_DIR / ".ci/run"

    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()
    assert "make test" in (PROJECT_DIR / "README.md").read_text()
