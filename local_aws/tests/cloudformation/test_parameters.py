"""Values of template parameters and their constraints."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.cloudformation.parameters import (
    given_parameters,
    resolve_parameters,
    typed_parameters,
)
from local_aws.errors import AwsError


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        ({"Type": "Number"}, "many", "must be a number, not 'many'"),
        ({"Type": "Number", "MinValue": 1}, "0", "must be a number not less than 1"),
        ({"Type": "Number", "MaxValue": 9}, "9.5", "must be a number not greater than 9"),
        ({"Type": "String", "MinLength": 1}, "", "must contain at least 1 characters"),
        ({"Type": "String", "MaxLength": 2}, "abc", "must contain at most 2 characters"),
        ({"Type": "String", "AllowedPattern": "a+"}, "ab", r"must match pattern a\+"),
        ({"Type": "String", "AllowedValues": ["a", 1]}, "2", r"AllowedValues \[a, 1\]"),
        ({"Type": "CommaDelimitedList", "AllowedValues": ["a"]}, "a,b", "AllowedValues"),
        (
            {"Type": "String", "AllowedPattern": "a", "ConstraintDescription": "say a"},
            "b",
            "Parameter 'P' failed to satisfy constraint: say a",
        ),
        ({"Type": "Strin"}, "x", "Unrecognized parameter type: Strin"),
        ({"Type": "String", "Min": 1}, "x", "Invalid template parameter property 'Min'"),
    ],
)
def test_a_broken_constraint_is_named(declared: dict[str, Any], value: str, problem: str) -> None:
    with pytest.raises(AwsError, match=problem):
        resolve_parameters({"P": declared}, {"P": value})


def test_values_come_from_the_request_the_previous_stack_or_the_default() -> None:
    declared = {
        "Given": {"Type": "Number", "AllowedValues": [0, 1024]},
        "Kept": {"Type": "String"},
        "Default": {"Type": "Number", "Default": 5},
    }
    entries = [
        {"ParameterKey": "Given", "ParameterValue": "1024"},
        {"ParameterKey": "Kept", "UsePreviousValue": True},
    ]
    given = given_parameters(entries, {"Kept": "before"})
    assert resolve_parameters(declared, given) == {
        "Given": "1024",
        "Kept": "before",
        "Default": "5",
    }


def test_a_previous_value_that_never_was_is_refused() -> None:
    with pytest.raises(AwsError, match="Invalid input for parameter key New"):
        given_parameters([{"ParameterKey": "New", "UsePreviousValue": True}], {})


def test_lists_are_split_and_an_empty_one_holds_one_empty_text() -> None:
    declared = {"A": {"Type": "CommaDelimitedList"}, "B": {"Type": "List<Number>"}}
    typed = typed_parameters(declared, {"A": "", "B": "1, 2"}, ssm_parameter=str)
    assert typed == {"A": [""], "B": ["1", "2"]}
