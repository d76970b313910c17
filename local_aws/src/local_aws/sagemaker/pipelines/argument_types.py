"""Whether what an expression gives has the type that a step's argument has: known beforehand.

SageMaker refuses it at CreatePipeline: "Cannot assign property reference [Parameters.Size] to
argument of type [String]." Std:Join makes a String of anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from moto.core.utils import get_service_model

from local_aws.sagemaker.pipelines.expressions import ExpressionError, is_expression, selectors_of

_TYPES = {"string": "String", "integer": "Integer", "long": "Integer", "float": "Float"}
_TYPES.update({"double": "Float", "boolean": "Boolean"})
_JOBS = {"Processing": "ProcessingJob", "Training": "TrainingJob"}


def type_problems(
    steps: list[Mapping[str, Any]], parameters: list[Mapping[str, Any]]
) -> Iterator[str]:
    """SageMaker's sentence for each reference of another type than its argument."""
    types = {f"Parameters.{one.get('Name')}": one.get("Type") for one in parameters}
    model = get_service_model("sagemaker")
    described = {
        step.get("Name"): model.operation_model(f"Describe{_JOBS[step['Type']]}").output_shape
        for step in steps
        if step.get("Type") in _JOBS
    }
    for step in steps:
        if step.get("Type") in _JOBS:
            shape = model.operation_model(f"Create{_JOBS[step['Type']]}").input_shape
            for wanted, expression in _leaves(step.get("Arguments"), shape):
                given = _type_of(expression, types, described)
                fits = given == wanted or (given, wanted) == ("Integer", "Float")
                if given is not None and not fits:
                    what = expression.get("Get", "Std:Join")
                    yield (
                        f"Cannot assign property reference [{what}] to argument of type [{wanted}]."
                    )


def _leaves(value: Any, shape: Shape | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every expression that stands for a plain value, with the type of its place."""
    if is_expression(value):
        if shape is not None and shape.type_name in _TYPES:
            yield _TYPES[shape.type_name], value
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for item in value:
            yield from _leaves(item, shape.member)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item, shape.value)
    elif isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, shape.members.get(name))


def _type_of(
    expression: Mapping[str, Any], types: Mapping[str, Any], described: Mapping[Any, Shape]
) -> str | None:
    """The type that the expression has, if it is known before the run."""
    if "Std:Join" in expression:
        return "String"
    path = expression.get("Get")
    if not isinstance(path, str):
        return None
    root, _, rest = path.partition(".")
    if root != "Steps":
        kind = types.get(path)
        return kind if isinstance(kind, str) else None
    try:
        name, *selectors = selectors_of(rest, path)
    except (ExpressionError, ValueError):
        return None  # a run of it says what is wrong
    shape: Shape | None = described.get(name)
    for selector in selectors:
        if isinstance(shape, StructureShape):
            shape = shape.members.get(str(selector))
        elif isinstance(shape, ListShape):
            shape = shape.member
        elif isinstance(shape, MapShape):
            shape = shape.value
    return _TYPES.get(shape.type_name) if shape is not None else None
