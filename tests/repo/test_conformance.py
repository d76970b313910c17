"""The conformance table: each operation has its row, and each row says who uses the operation."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

# Taken away with ListTrainingJobs, whose code it is.
ONLY_BY_THE_WAY = {("sagemaker", "ListProcessingJobs")}


@pytest.fixture(scope="module")
def uses() -> Any:
    """operation_uses, which is also a command."""
    path = Path(__file__).with_name("operation_uses.py")
    spec = importlib.util.spec_from_file_location("operation_uses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_operation_that_local_aws_answers_has_its_row(uses: Any) -> None:
    parts = re.split(r"^### `([\w-]+)`.*$", uses.TABLE.read_text(), flags=re.MULTILINE)
    told = {
        (service, row)
        for service, text in zip(parts[1::2], parts[2::2], strict=True)
        for row in re.findall(r"^\| ([A-Z]\w+) \|", text.split("\n## ")[0], re.MULTILINE)
    }

    assert told == set(uses.answered())


def test_each_row_says_who_uses_the_operation_as_the_sources_say_it(uses: Any) -> None:
    table = uses.TABLE.read_text()

    assert table == uses.with_users(table), "run: python tests/repo/operation_uses.py"


def test_an_operation_that_nobody_uses_is_taken_away(uses: Any) -> None:
    unused = {key for key in uses.answered() if not uses.users(*key)}

    assert unused - {(uses.OLD_NAME, o) for _, o in unused} == ONLY_BY_THE_WAY


def test_a_folder_of_tests_that_is_named_exists(uses: Any) -> None:
    folders = re.findall(r"^Tests: `(.+)`$", uses.TABLE.read_text(), re.MULTILINE)

    assert len(folders) > 5
    assert all((uses.TABLE.parent / folder).is_dir() for folder in folders)
