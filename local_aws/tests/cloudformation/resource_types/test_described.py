"""The rows of the table against AWS's published schemas and botocore's models."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from local_aws.cloudformation.resource_types.api_resource import ApiResource
from local_aws.cloudformation.resource_types.calls import member_named
from local_aws.cloudformation.resource_types.described import schema_of, shape_of
from local_aws.cloudformation.resources import RESOURCE_TYPES

ROWS = [kind for kind in RESOURCE_TYPES.values() if isinstance(kind, ApiResource)]


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
