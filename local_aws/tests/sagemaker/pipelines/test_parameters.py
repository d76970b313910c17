"""Parameters at the start of an execution: typed, or refused."""

from __future__ import annotations

import pytest

from local_aws.errors import AwsError
from local_aws.sagemaker.pipelines.parameters import Parameter, parameter_values

DECLARED = (
    Parameter(name="Name", type="String", default="first"),
    Parameter(name="Rows", type="Integer", default=3),
    Parameter(name="Rate", type="Float", default=1),
    Parameter(name="Strict", type="Boolean", default=True),
)


def given(**values: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def test_defaults_have_the_declared_type() -> None:
    values = parameter_values(DECLARED, [])
    assert values == {"Name": "first", "Rows": 3, "Rate": 1.0, "Strict": True}
    assert [type(value) for value in values.values()] == [str, int, float, bool]


def test_given_text_is_typed() -> None:
    texts = given(Name="5", Rows="-7", Rate="2.5e-1", Strict="False")
    values = parameter_values(DECLARED, texts)
    assert values == {"Name": "5", "Rows": -7, "Rate": 0.25, "Strict": False}


@pytest.mark.parametrize(
    ("name", "text", "type_name"),
    [
        ("Rows", "3.0", "Integer"),
        ("Rows", "three", "Integer"),
        ("Rate", "high", "Float"),
        ("Rate", "nan", "Float"),
        ("Strict", "yes", "Boolean"),
    ],
)
def test_value_of_another_type_is_refused(name: str, text: str, type_name: str) -> None:
    with pytest.raises(AwsError) as caught:
        parameter_values(DECLARED, given(**{name: text}))
    assert caught.value.code == "ValidationException"
    assert str(caught.value) == (
        f"Pipeline parameter {name!r} is of type {type_name}; {text!r} is not"
    )


def test_all_problems_are_told_at_once() -> None:
    declared = (
        Parameter(name="A", type="String"),
        Parameter(name="B", type="String", default="x", allowed=("x", "y")),
    )
    texts = [*given(B="z", C="1"), *given(C="2")]
    with pytest.raises(AwsError) as caught:
        parameter_values(declared, texts)
    assert str(caught.value) == (
        "Pipeline parameter 'C' is given twice. "
        "Pipeline parameter 'C' is not defined; defined are: A, B. "
        "Pipeline parameter 'A' must have a value: no default. "
        "Pipeline parameter 'B' is 'z', not one of x, y"
    )


def test_empty_value_is_refused_in_the_words_of_aws() -> None:
    with pytest.raises(AwsError) as caught:
        parameter_values(DECLARED, given(Name=""))
    assert '[string "" is too short (length: 0, required minimum: 1)]' in str(caught.value)
