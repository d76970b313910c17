"""Pipeline definitions: what the SDK compiles is understood, what cannot run is refused first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_aws.errors import AwsError
from local_aws.sagemaker.pipelines.definition import Branch, parse_definition

# Compiled by sagemaker 3.27 from ProcessingStep, TrainingStep, ConditionStep and FailStep.
COMPILED = Path(__file__).parent / "compiled_pipeline.json"


def definition(*steps: Any, **members: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": list(steps), **members})


def fail(name: str, **members: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": "m"}, **members}


def problem(text: str) -> str:
    with pytest.raises(AwsError) as caught:
        parse_definition(text)
    assert caught.value.code == "ValidationException"
    return str(caught.value).removeprefix("Pipeline definition: ")


def test_what_the_sdk_compiles_is_understood() -> None:
    parsed = parse_definition(COMPILED.read_text())
    prepare, check, train, too_high = parsed.steps
    assert [(p.name, p.type, p.default) for p in parsed.parameters] == [
        ("Rows", "Integer", 3),
        ("Limit", "Float", 0.5),
        ("Name", "String", "first"),
        ("Strict", "Boolean", True),
    ]
    assert (prepare.name, prepare.needs, prepare.branch) == ("Prepare", frozenset(), None)
    assert [p.max_attempts for p in prepare.retry_policies] == [3, 20]
    assert prepare.property_files["Report"].file_path == "report.json"
    assert check.needs == {"Prepare"}
    assert train.branch == Branch("Check", True)
    assert train.needs == {"Prepare", "Check"}
    assert too_high.branch == Branch("Check", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Unable to parse pipeline definition: Expecting property name"),
        ("[]", "Unable to parse pipeline definition: it is not a JSON object with a list of Steps"),
        ('{"Steps": []}', "Pipeline definition version None is not supported; '2020-12-01' is"),
        (definition(), "it has no steps"),
        (definition("x"), "step \"'x'\": a step name has 1 to 64 letters"),
        (
            definition({"Name": "Notify", "Type": "Lambda", "Arguments": {}}),
            "step 'Notify' is of type 'Lambda', which local_aws does not support; "
            "it runs Processing, Training, Condition, Fail",
        ),
        (definition({"Name": "A", "Type": "Fail"}), "step 'A' has no Arguments"),
        (definition(fail("A"), fail("A")), "two steps are named 'A'"),
        (
            definition(fail("A", DependsOn=["B"])),
            "step 'A' refers to step 'B', which does not exist",
        ),
        (
            definition(fail("A", DependsOn=["B"]), fail("B", DependsOn=["A"])),
            "steps A, B wait for each other",
        ),
        (
            definition(fail("A"), fail("B", DependsOn=[{"Step": "A", "Trigger": "Failed"}])),
            'step \'B\': DependsOn {"Step": "A", "Trigger": "Failed"}, a run condition, '
            "is not supported by local_aws",
        ),
        (
            definition(fail("A", Arguments={"ErrorMessage": {"Get": "Parameters.P"}})),
            "step 'A' refers to parameter 'P', which does not exist",
        ),
        (
            definition(fail("A", Arguments={"ErrorMessage": {"Get": "Execution.E"}})),
            "step 'A' refers to the unknown execution variable 'E'",
        ),
        (definition(fail("A", Magic=1)), "step 'A': Magic is not supported by local_aws"),
        (
            definition(fail("A", RetryPolicies=[{}])),
            "step 'A': a retry policy has no ExceptionType list",
        ),
        (
            definition(fail("A"), Parameters=[{"Name": "P", "Type": "Date"}]),
            "parameter 'P' has type 'Date'; there are String, Integer, Float, Boolean",
        ),
        (
            definition(fail("A"), MlflowConfig={"MlflowResourceArn": "arn"}),
            "MlflowConfig (SageMaker's managed MLflow) is not supported by local_aws",
        ),
    ],
)
def test_definition_that_cannot_run_is_refused_with_the_reason(text: str, message: str) -> None:
    assert problem(text).startswith(message)


def test_steps_inside_branches_are_checked_too() -> None:
    inner = {
        "Name": "Inner",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals"}],
            "IfSteps": [{"Name": "Deep", "Type": "EMR", "Arguments": {}}],
            "ElseSteps": [],
        },
    }
    outer = {
        "Name": "Outer",
        "Type": "Condition",
        "Arguments": {"Conditions": [], "IfSteps": [], "ElseSteps": [inner]},
    }
    text = problem(definition(outer))
    assert "step 'Inner': a condition of type Equals has no LeftValue, RightValue" in text
    assert "step 'Deep' is of type 'EMR'" in text
