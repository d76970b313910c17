"""The rows of the table against AWS's published schemas and botocore's models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from local_aws.cloudformation.resource_types.api_resource import ApiResource
from local_aws.cloudformation.resource_types.calls import member_named
from local_aws.cloudformation.resource_types.described import schema_of, shape_of
from local_aws.cloudformation.resources import RESOURCE_TYPES

ROWS = [kind for kind in RESOURCE_TYPES.values() if isinstance(kind, ApiResource)]
PROJECT = Path(__file__).parents[4] / "infra" / "project.yml"


@pytest.mark.parametrize("kind", RESOURCE_TYPES.values(), ids=RESOURCE_TYPES)
def test_attributes_are_those_that_aws_documents(kind: Any) -> None:
    schema = schema_of(kind.type)
    readable = {path.split("/")[2] for path in schema.get("readOnlyProperties", [])}
    # A few types let GetAtt read what was given, too.
    assert kind.attributes <= readable | set(schema["properties"])
    assert kind.named_by in {"", *schema["properties"]}
    known = {*kind.refused, *kind.replaced_by, *kind.immutable}
    assert known <= set(shape_of(kind.type).members)


@pytest.mark.parametrize("kind", ROWS, ids=[kind.type for kind in ROWS])
def test_rows_name_operations_and_parameters_that_exist(kind: ApiResource) -> None:
    model = botocore.session.get_session().get_service_model(kind.service)
    create = model.operation_model(kind.creates)
    assert kind.wrapper is None or kind.wrapper in create.input_shape.members
    if kind.updates is not None:
        assert kind.updates in model.operation_names
    assert member_named(model.operation_model(kind.deletes).input_shape, kind.identified_by)
    properties = set(shape_of(kind.type).members)
    assert kind.apart <= properties
    assert set(kind.resets) <= properties
    for path in kind.answers.values():
        shape = create.output_shape
        for part in path.split("."):
            shape = shape.members[part]
        assert shape.type_name == "string"


def paths(shape: Any, raw: Any, at: str) -> Iterator[str]:
    """Every property in `raw` that the schema doesn't know, functions looked into."""
    if isinstance(raw, dict) and len(raw) == 1 and next(iter(raw)).startswith(("Fn::", "Ref")):
        for branch in raw.get("Fn::If", [])[1:]:
            yield from paths(shape, branch, at)
    elif shape.type_name == "structure" and isinstance(raw, dict):
        for name, value in raw.items():
            if name not in shape.members:
                yield f"{at}/{name}"
            else:
                yield from paths(shape.members[name], value, f"{at}/{name}")
    elif shape.type_name == "list" and isinstance(raw, list):
        for value in raw:
            yield from paths(shape.member, value, at)


@pytest.mark.skipif(not PROJECT.exists(), reason="a unit's own repository has no infra/")
def test_every_property_of_the_project_template_is_known() -> None:
    class Loader(yaml.SafeLoader):
        pass

    def short_form(loader: Any, tag: str, node: Any) -> Any:
        build = {
            yaml.ScalarNode: loader.construct_scalar,
            yaml.SequenceNode: lambda n: loader.construct_sequence(n, deep=True),
            yaml.MappingNode: lambda n: loader.construct_mapping(n, deep=True),
        }[type(node)]
        return {f"Fn::{tag}": build(node)}

    Loader.add_multi_constructor("!", short_form)
    template = yaml.load(PROJECT.read_text(), Loader)
    resources = template["Resources"].items()
    assert {r["Type"] for _, r in resources} <= set(RESOURCE_TYPES)
    unknown = [
        path for name, r in resources for path in paths(shape_of(r["Type"]), r["Properties"], name)
    ]
    assert unknown == []
