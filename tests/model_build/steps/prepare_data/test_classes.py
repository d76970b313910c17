"""Classes that may be mistakes, or that can't be learned or tested, are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from classes import enumerate_classes, tell_classes

from tests.model_build.steps.tables import csv_of, prepare_files, table


def test_classes_that_are_many_and_tested_are_not_worth_a_word() -> None:
    assert tell_classes("target", {"yes": 5, "no": 5}, {"yes": 1, "no": 1}) == []
    assert tell_classes("target", {True: 5, False: 5}, {True: 1, False: 1}) == []
    assert tell_classes("target", {}, {}) == []


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (
            {"yes": 9, "Yes": 8, " no": 7, "no": 6},
            {"yes": 1, "Yes": 1, "no ": 2},
            [
                "classes that differ only in case or in blanks around them: 'Yes' (9 rows), 'yes' "
                "(10 rows); they are taken for different ones. Write them the same if they are the "
                "same",
                "classes that differ only in case or in blanks around them: ' no' (7 rows), 'no' "
                "(6 rows), 'no ' (2 rows); they",
                "no training row has these classes of the test rows, so no prediction of them can "
                "be right: 'no ' (2 rows)",
                "no test row has these classes of the training rows, so they are not tested: ' no' "
                "(7 rows), 'no' (6 rows)",
            ],
        ),
        (
            {"NA": 9, "yes": 9, "None ": 8},
            {"NA": 1, "yes": 1, "None ": 1},
            [
                "a word for what is missing is a class here: 'NA' (10 rows), 'None ' (9 rows). "
                "Leave the field empty if it isn't one: rows without a target are left out"
            ],
        ),
        (
            {1: 4, 2: 5, 3: 1},
            {1: 1, 2: 1, 3: 1},
            ["few training rows to learn a class from: 1 (4 rows), 3 (1 row)"],
        ),
    ],
)
def test_what_may_be_a_mistake_is_a_warning(
    train: dict[str, int], test: dict[str, int], expected: list[str]
) -> None:
    found = tell_classes("target", train, test)
    assert all(finding.warning and finding.column == "target" for finding in found)
    for finding, message in zip(found, expected, strict=True):
        assert finding.message.startswith(message)


def test_a_word_for_what_is_missing_is_told_once(tmp_path: Path) -> None:
    frame = table(200).assign(target=["yes", "no", "NA", "no"] * 50)
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path)
    assert [text for text in result.findings if "NA" in text] == [
        "target: a word for what is missing is a class here: 'NA' (50 rows). Leave the field empty "
        "if it isn't one: rows without a target are left out"
    ]


def test_rare_classes_of_a_table_are_told(tmp_path: Path) -> None:
    target = ["a"] * 100 + ["b"] * 44 + ["c"] * 4 + ["b"] * 2 + ["a"] * 40 + ["d"] * 10
    frame = table(200).assign(target=target)
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, split_by="time:size")
    assert result.read("dataset.json")["classes"] == ["a", "b", "c"]
    assert result.findings == [
        "target: few training rows to learn a class from: 'c' (4 rows)",
        "target: no training row has these classes of the test rows, so no prediction of them can "
        "be right: 'd' (10 rows)",
        "target: no test row has these classes of the training rows, so they are not tested: 'b' "
        "(46 rows), 'c' (4 rows)",
    ]
    assert result.read("dataset.json")["warnings"][0] == (
        "column 'target': few training rows to learn a class from: 'c' (4 rows)"
    )


def test_long_lists_and_long_names_are_cut() -> None:
    told = enumerate_classes({"x" * 80: 1, **dict.fromkeys(range(7), 2)})
    assert (
        told
        == f"{'x' * 60!r}... (1 row), 0 (2 rows), 1 (2 rows), 2 (2 rows), 3 (2 rows) and "
        + ("3 more")
    )


def test_all_of_five_classes_and_a_name_of_sixty_characters_are_shown() -> None:
    assert enumerate_classes(dict.fromkeys(range(5), 1)) == (
        "0 (1 row), 1 (1 row), 2 (1 row), 3 (1 row), 4 (1 row)"
    )
    assert enumerate_classes({"x" * 60: 1, 2.0: 3, 2.5: 4}) == (
        f"{'x' * 60!r} (1 row), 2 (3 rows), 2.5 (4 rows)"
    )


def test_words_of_a_column_that_odd_values_made_text_are_text(tmp_path: Path) -> None:
    extra = ["5"] * 190 + ["NA"] * 5 + ["n/k"] * 5
    frame = table(200, extra=extra)
    result = prepare_files({"a.csv": csv_of(frame)}, tmp_path, odd_values="text")
    assert "extra: 'NA' (5): text here; only an empty field is missing" in result.findings
