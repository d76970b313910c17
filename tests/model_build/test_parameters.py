"""Values for an execution: known names, right kinds, sensible ranges."""

import pytest

from model_build.errors import ConfigError
from model_build.parameters import PARAMETERS, check_values, read_assignments

DECLARED = {
    parameter.name: (parameter.kind, parameter.default or "http://mlflow:5000")
    for parameter in PARAMETERS
}


def test_values_get_their_declared_kind() -> None:
    values = check_values(
        {"NEstimators": "50", "TestSize": "0.1", "TargetColumn": "price"}, DECLARED
    )
    assert values == {"NEstimators": 50, "TestSize": 0.1, "TargetColumn": "price"}


def test_every_default_satisfies_its_own_rule() -> None:
    for parameter in PARAMETERS:
        if parameter.default is not None:
            assert parameter.find_problem(parameter.default) is None, parameter.name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NEstimators", "abc"),
        ("NEstimators", "1.5"),
        ("NEstimators", "0"),
        ("MinSamplesLeaf", "-1"),
        ("RandomSeed", "4294967296"),
        ("TestSize", "0"),
        ("TestSize", "1"),
        ("TestSize", "nan"),
        ("MaxMedianAbsoluteError", "-0.1"),
        ("MaxMedianAbsoluteError", "inf"),
        ("MaxMedianAbsoluteError", "nan"),
        ("InputDataUri", "sklearn:"),
        ("InputDataUri", "s3://bucket"),
        ("InputDataUri", "/tmp/table.csv"),
        ("OddValues", "drop"),
        ("SplitBy", "time:"),
        ("SplitBy", "rows"),
        ("MaxRowsPerTree", "-1"),
        ("TargetColumn", ""),
        ("TargetColumn", "  "),
        ("RegisteredModelName", "a/b"),
        ("RegisteredModelName", "it's"),
        ("MLflowTrackingURI", "localhost:5000"),
        ("MLflowTrackingURI", "sqlite:///mlflow.db"),
    ],
)
def test_wrong_value_is_named_with_what_would_do(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values({name: text}, DECLARED)
    assert f"{name}={text!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("InputDataUri", "s3://bucket/folder/"),
        ("InputDataUri", "s3://bucket/with space.csv"),
        ("MLflowTrackingURI", "https://mlflow.example.com/prefix"),
        ("MLflowTrackingURI", "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/m"),
        ("SplitBy", "time:sold on"),
        ("SplitBy", "group:it's"),
        ("MaxRowsPerTree", "0"),
        ("TargetColumn", "median value (USD)"),
        ("TargetColumn", " price"),
        ("MaxMedianAbsoluteError", "0"),
    ],
)
def test_unusual_but_right_values_pass(name: str, text: str) -> None:
    assert name in check_values({name: text}, DECLARED)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'Trees'; it has .*NEstimators"):
        check_values({"Trees": "5"}, DECLARED)


def test_parameter_without_default_must_be_given() -> None:
    declared = {**DECLARED, "MLflowTrackingURI": ("String", None)}
    with pytest.raises(ConfigError) as caught:
        check_values({}, declared)
    assert "MLflowTrackingURI has no value; set MLFLOW_TRACKING_URI or pass" in str(caught.value)


def test_assignments_may_contain_equals_signs() -> None:
    assert read_assignments(["InputDataUri=s3://b/day=1/"]) == {"InputDataUri": "s3://b/day=1/"}


@pytest.mark.parametrize("words", [["TestSize"], ["=1"], ["TestSize=0.1", "TestSize=0.2"]])
def test_what_is_no_assignment_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--parameters"):
        read_assignments(words)
