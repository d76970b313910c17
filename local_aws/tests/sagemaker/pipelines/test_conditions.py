"""Conditions: all of the SDK's operators, and values that can't be compared."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.sagemaker.pipelines.conditions import is_true, problems_of
from local_aws.sagemaker.pipelines.expressions import ExpressionError, Scope

SCOPE = Scope(parameters={"Limit": 2.5, "Name": "b"})


def compare(kind: str, left: Any, right: Any) -> dict[str, Any]:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


YES = compare("Equals", 1, 1)
NO = compare("Equals", 1, 2)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compare("Equals", "a", "a"), True),
        (compare("Equals", 1, 1.0), True),
        (compare("Equals", True, 1), False),
        (compare("Equals", "1", 1), False),
        (compare("GreaterThan", 2.5, {"Get": "Parameters.Limit"}), False),
        (compare("GreaterThanOrEqualTo", 2.5, {"Get": "Parameters.Limit"}), True),
        (compare("LessThan", 2, {"Get": "Parameters.Limit"}), True),
        (compare("LessThanOrEqualTo", 3, {"Get": "Parameters.Limit"}), False),
        (compare("LessThan", "a", "b"), True),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.Name"}, "Values": ["a", "b"]}, True),
        ({"Type": "In", "QueryValue": 3, "Values": [1, {"Get": "Parameters.Limit"}]}, False),
        ({"Type": "Not", "Condition": YES}, False),
        ({"Type": "Or", "Conditions": [NO, YES]}, True),
        ({"Type": "Or", "Conditions": [NO, {"Type": "Not", "Condition": YES}]}, False),
        ({"Type": "Or", "Conditions": []}, False),
    ],
)
def test_condition(condition: dict[str, Any], expected: bool) -> None:
    assert list(problems_of(condition)) == []
    assert is_true(condition, SCOPE) is expected


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ("0.3", 0.5, "LessThan can't compare '0.3' (text) with 0.5 (number)"),
        (True, 2, "LessThan can't compare True (boolean) with 2 (number)"),
        (None, 2, "LessThan can't compare None (NoneType) with 2 (number)"),
    ],
)
def test_order_of_unlike_values_is_an_error(left: Any, right: Any, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        is_true(compare("LessThan", left, right), SCOPE)
    assert str(caught.value) == message


def test_malformed_conditions_are_named_even_when_nested() -> None:
    nested = {
        "Type": "Or",
        "Conditions": [{"Type": "Not", "Condition": {"Type": "Xor"}}, {"Type": "Equals"}],
    }
    first, second = problems_of(nested)
    assert first.startswith("unknown condition type 'Xor'; there are Equals, ")
    assert second == "a condition of type Equals has no LeftValue, RightValue"
