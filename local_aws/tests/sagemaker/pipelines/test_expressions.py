"""Expressions: what they stand for, and what is said when they stand for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.sagemaker.pipelines.expressions import (
    ExpressionError,
    PropertyFile,
    Scope,
    references,
    resolve,
    select,
)

PREPARED = {
    "ProcessingJobName": "prepare-1",
    "Environment": {"STAGE.NAME": "dev"},
    "ProcessingOutputConfig": {
        "Outputs": [
            {"OutputName": "train", "S3Output": {"S3Uri": "s3://b/train"}},
            {"OutputName": "report", "S3Output": {"S3Uri": "s3://b/report/"}},
        ]
    },
}
TRAINED = {"FinalMetricDataList": [{"MetricName": "rmse", "Value": 1.5}]}
SCOPE = Scope(
    parameters={"Name": "x", "Count": 3, "Rate": 0.25, "Strict": True},
    execution={"PipelineExecutionId": "abc"},
    steps={"Prepare": PREPARED, "Train": TRAINED},
    property_files={"Prepare": {"Report": PropertyFile("report", "metrics.json")}},
    read_json=lambda uri: {"from": uri, "errors": [{"p 50": 2}, {"p 50": 3}]},
)


def get(path: str) -> dict[str, str]:
    return {"Get": path}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (get("Parameters.Count"), 3),
        (get("Parameters.Strict"), True),
        (get("Execution.PipelineExecutionId"), "abc"),
        (get("Steps.Prepare.ProcessingJobName"), "prepare-1"),
        (get("Steps.Prepare.Environment['STAGE.NAME']"), "dev"),
        (get("Steps.Prepare.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"), "s3://b/train"),
        (
            get("Steps.Prepare.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"),
            "s3://b/report/",
        ),
        (get("Steps.Train.FinalMetricDataList['rmse'].Value"), 1.5),
        (
            {"Std:Join": {"On": "/", "Values": ["a", get("Parameters.Count"), True, 0.5]}},
            "a/3/true/0.5",
        ),
        ({"Std:Join": {"Values": [get("Parameters.Rate")]}}, "0.25"),
        (
            {
                "Std:JsonGet": {
                    "PropertyFile": get("Steps.Prepare.PropertyFiles.Report"),
                    "Path": "from",
                }
            },
            "s3://b/report/metrics.json",
        ),
        (
            {
                "Std:JsonGet": {
                    "S3Uri": {"Std:Join": {"On": "/", "Values": ["s3:/", get("Parameters.Name")]}},
                    "Path": "$.errors[1]['p 50']",
                }
            },
            3,
        ),
    ],
)
def test_expression_has_its_value_and_type(expression: Any, value: Any) -> None:
    resolved = resolve(expression, SCOPE)
    assert resolved == value
    assert type(resolved) is type(value)


def test_expressions_deep_inside_arguments_are_resolved_and_the_rest_is_kept() -> None:
    arguments = {"Inputs": [{"Uri": get("Parameters.Name")}], "Count": 1, "Get": "x", "None": None}
    assert resolve(arguments, SCOPE) == {
        "Inputs": [{"Uri": "x"}],
        "Count": 1,
        "Get": "x",
        "None": None,
    }


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Parameters.Nope", "there is no pipeline parameter 'Nope'"),
        ("Execution.Nope", "there is no execution variable 'Nope' here"),
        ("Steps.Nope.X", "there is no result of step 'Nope'"),
        ("Nope.X", "'Nope.X' begins with neither Parameters, Execution nor Steps"),
        (
            "Steps.Train.Nope",
            "'.Nope': the result of step 'Train' has no 'Nope' there, but FinalMetricDataList",
        ),
        (
            "Steps.Train.FinalMetricDataList[4].Value",
            "'.FinalMetricDataList[4].Value': no item 4, "
            "the list in the result of step 'Train' has 1 items",
        ),
        (
            "Steps.Train.FinalMetricDataList['mae'].Value",
            "\".FinalMetricDataList['mae'].Value\": no item 'mae' in the result of step 'Train', "
            "but rmse",
        ),
        (
            "Steps.Prepare.ProcessingJobName.X",
            "'.ProcessingJobName.X': the result of step 'Prepare' has a plain value "
            "where 'X' is looked up",
        ),
    ],
)
def test_error_says_what_is_missing_and_what_is_there(path: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        resolve(get(path), SCOPE)
    assert str(caught.value) == message


def test_malformed_path_is_an_error_at_its_place() -> None:
    with pytest.raises(ExpressionError, match=r"'a\[b' is not a path into it: at '\[b'"):
        select({"a": 1}, "a[b", "it")


def test_references_are_found_inside_joins_and_property_files() -> None:
    arguments = {
        "A": [{"Std:Join": {"On": "", "Values": [get("Steps.One.X"), get("Parameters.P")]}}],
        "B": {
            "Std:JsonGet": {"PropertyFile": get("Steps.Two.PropertyFiles.F"), "Path": "Get.Steps"}
        },
    }
    assert list(references(arguments)) == [
        "Steps.One.X",
        "Parameters.P",
        "Steps.Two.PropertyFiles.F",
    ]
