"""The templates that local_aws deploys name resource types and properties that it knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_aws.cloudformation.resource_types.described import shape_of
from local_aws.cloudformation.resources import RESOURCE_TYPES

ROOT = Path(__file__).parents[2]
TEMPLATES = ("infra/project/project.yml", "model_deploy/endpoint-config-template.yml")


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


@pytest.mark.parametrize("path", TEMPLATES)
def test_every_property_of_a_template_is_known(path: str) -> None:
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
    template = yaml.load((ROOT / path).read_text(), Loader)
    resources = template["Resources"].items()
    assert {r["Type"] for _, r in resources} <= set(RESOURCE_TYPES)
    unknown = [
        path for name, r in resources for path in paths(shape_of(r["Type"]), r["Properties"], name)
    ]
    assert unknown == []
