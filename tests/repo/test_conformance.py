"""The conformance table: each row has a test that exists, each operation a row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local_aws.own_aws import OwnAws
from local_aws.services import all_services

PROJECT_DIR = Path(__file__).parents[2]
TABLE = PROJECT_DIR / "docs" / "conformance.md"
# Those that the project's CI/CD is made of; local_aws/README.md tells of the others.
SERVICES = {
    "codecommit": "CodeCommit",
    "codeconnections": "Git connections",
    "codebuild": "CodeBuild",
    "codepipeline": "CodePipeline",
    "events": "EventBridge",
    "scheduler": "EventBridge Scheduler",
    "cloudformation": "CloudFormation",
}


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", TABLE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _rows() -> list[str]:
    """The tables' rows: what follows a line of dashes."""
    tables = re.findall(r"^\|---.*\n((?:\|.*\n)+)", TABLE.read_text(), re.MULTILINE)
    return [row for table in tables for row in table.splitlines()]


def test_every_row_names_tests_that_exist():
    rows = _rows()
    assert len(rows) > 100
    for row in rows:
        tests = re.findall(r"(tests/[\w/]+\.py)::(\w+)", row)
        assert tests, f"no test: {row}"
        for path, name in tests:
            assert re.search(rf"^    def {name}\(|^def {name}\(", _text(path), re.MULTILINE), row


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_that_local_aws_answers_itself_has_a_row(tmp_path, service):
    services = all_services(OwnAws(tmp_path))
    answered = {
        operation for each in services for name, operation in each.operations() if name == service
    }
    for each in reversed(services):
        each.close()

    told = _sections()[SERVICES[service]]
    assert len(answered) > 3
    assert not [name for name in sorted(answered) if not re.search(rf"\b{name}\b", told)]


def _text(path: str) -> str:
    return (PROJECT_DIR / path).read_text()
