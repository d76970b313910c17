"""Intrinsic functions, evaluated for a template's parameters, mappings and conditions."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.cloudformation.intrinsics import Evaluation, Reference, references
from local_aws.cloudformation.template import parse_template
from local_aws.errors import AwsError

TEMPLATE = """
Mappings:
  Sizes: {prod: {type: large, zones: [a, b]}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsNot: !Not [!Condition IsProd]
  Both: !And [!Condition IsProd, !Equals [!Ref Count, 2]]
  Either: !Or [!Condition IsNot, !Equals [true, 'true']]
  NoSubnets: !Equals [!Join ['', !Ref Subnets], '']
Resources:
  Model: {Type: 'AWS::SageMaker::Model'}
"""


@pytest.fixture
def evaluation() -> Evaluation:
    def resource(reference: Reference) -> str:
        return f"<{reference.name}.{reference.attribute}>"

    return Evaluation(
        parse_template(TEMPLATE),
        parameters={"Stage": "prod", "Count": "2", "Subnets": [""], "List": ["x", "y"]},
        pseudo={"AWS::Region": "us-east-1"},
        resource=resource,
    )


def written(text: str) -> Any:
    """A value as a template's YAML writes it."""
    body = f"Resources: {{A: {{Type: B, Properties: {{P: {text}}}}}}}"
    return parse_template(body).resources["A"].properties["P"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Stage", "prod"),
        ("!Ref List", ["x", "y"]),
        ("!Ref Model", "<Model.None>"),
        ("!GetAtt Model.ModelName", "<Model.ModelName>"),
        ("!GetAtt [Model, ModelName]", "<Model.ModelName>"),
        ("!Sub '${Stage}-${AWS::Region}-${Model.ModelName}'", "prod-us-east-1-<Model.ModelName>"),
        ("!Sub ['${x}-${Stage}', {x: !Ref Count}]", "2-prod"),
        ("!Sub 'kept ${!Stage}'", "kept ${Stage}"),
        ("!Join ['-', [a, !Ref Stage, 1]]", "a-prod-1"),
        ("!Join [',', !Ref List]", "x,y"),
        ("!Select [1, !Ref List]", "y"),
        ("!Select ['0', !Split ['/', 'a/b']]", "a"),
        ("!FindInMap [Sizes, !Ref Stage, type]", "large"),
        ("!FindInMap [Sizes, prod, zones]", ["a", "b"]),
        ("!If [IsProd, yes-it-is, !Ref Nobody]", "yes-it-is"),
        ("[1, !If [IsNot, 2, !Ref 'AWS::NoValue'], 3]", [1, 3]),
        ("{a: !If [IsNot, 2, !Ref 'AWS::NoValue'], b: 3}", {"b": 3}),
        ("{'Fn::Join': ['', [a, {Ref: Stage}]]}", "aprod"),
        ("{Condition: {Bool: {'aws:SecureTransport': 'false'}}}",
         {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}),
        ("2012-10-17", "2012-10-17"),
    ],
)  # fmt: skip
def test_value(evaluation: Evaluation, text: str, value: Any) -> None:
    assert evaluation.value(written(text)) == value


@pytest.mark.parametrize(
    ("name", "holds"),
    [("IsProd", True), ("IsNot", False), ("Both", True), ("Either", True), ("NoSubnets", True)],
)
def test_condition(evaluation: Evaluation, name: str, holds: bool) -> None:
    assert evaluation.condition(name) is holds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("!Select [2, !Ref List]", "Fn::Select cannot select nonexistent value at index 2"),
        ("!FindInMap [Sizes, test, type]", "Unable to get mapping for Sizes::test::type"),
        ("!GetAtt Model", "requires two non-empty parameters"),
        ("{'Fn::Transform': {Name: x}}", "does not support the intrinsic function Fn::Transform"),
        ("{'Fn::ImportValue': x}", "does not support the intrinsic function Fn::ImportValue"),
    ],
)
def test_a_value_that_cannot_be(evaluation: Evaluation, text: str, problem: str) -> None:
    with pytest.raises(AwsError, match=problem):
        evaluation.value(written(text))


def test_references_are_found_wherever_they_stand() -> None:
    raw = written("[!Ref A, {x: !GetAtt B.Arn}, !Sub ['${C.Id} ${v} ${!E}', {v: !Ref D}]]")
    assert set(references(raw)) == {
        Reference("A"),
        Reference("B", "Arn"),
        Reference("C", "Id"),
        Reference("D"),
    }
