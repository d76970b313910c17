"""The checks of a template that need no parameter: types, properties, functions, references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local_aws.cloudformation.intrinsics import PSEUDO_PARAMETERS, intrinsic_of, references
from local_aws.cloudformation.resources import Provisioner, ResourceType
from local_aws.cloudformation.rules import check_rule_functions
from local_aws.cloudformation.template import ResourceDeclaration, Template, format_error
from local_aws.errors import AwsError

# How many arguments a function takes: at least, at most.
_ARGUMENTS = {
    "Fn::And": (2, 10),
    "Fn::Cidr": (2, 3),
    "Fn::Equals": (2, 2),
    "Fn::FindInMap": (3, 3),
    "Fn::If": (3, 3),
    "Fn::Join": (2, 2),
    "Fn::Not": (1, 1),
    "Fn::Or": (2, 10),
    "Fn::Select": (2, 2),
    "Fn::Split": (2, 2),
}


def check_template(
    template: Template, types: Mapping[str, ResourceType], provisioner: Provisioner
) -> None:
    """Raise AwsError ValidationError with AWS's words for the first kind of mistake there is."""
    unknown = sorted({r.type for r in template.resources.values()} - set(types))
    if unknown:
        raise format_error(
            f"Unrecognized resource types: [{', '.join(unknown)}]; "
            f"local_aws knows {', '.join(types)}"
        )
    if "{{resolve:" in template.body:
        raise format_error(
            "local_aws does not support dynamic references ({{resolve:...}}); a parameter of the "
            "type AWS::SSM::Parameter::Value<String> takes what Parameter Store holds"
        )
    check_rule_functions(template)
    for block in (
        template.conditions,
        template.outputs,
        *(r.properties for r in template.resources.values()),
    ):
        _check_functions(template, block)
    _check_conditions(template)
    for name, resource in template.resources.items():
        _check_references(template, types, resource.properties, "Resources")
        _check_dependencies(template, resource)
        problems = types[resource.type].problems(provisioner, resource.properties)
        if problems:
            raise AwsError(
                "ValidationError",
                f"Properties validation failed for resource {name} with message: "
                f"{'; '.join(problems)}",
            )
    _check_references(template, types, template.outputs, "Outputs")
    for output in template.outputs.values():
        if "Condition" in output:
            _require_condition(template, output["Condition"])


def _check_conditions(template: Template) -> None:
    for reference in references(template.conditions):
        if reference.name not in template.parameters and reference.name not in PSEUDO_PARAMETERS:
            raise format_error(
                f"Unresolved dependencies [{reference.name}]. "
                "Cannot reference resources in the Conditions block of the template"
            )
    for name in template.conditions:
        _check_condition_ends(template, name, ())


def _check_condition_ends(template: Template, name: str, via: tuple[str, ...]) -> None:
    if name in via:
        raise format_error(f"Circular dependency between conditions: [{', '.join(via)}]")
    for used in _used_conditions(template.conditions[name]):
        _check_condition_ends(template, used, (*via, name))


def _check_references(
    template: Template, types: Mapping[str, ResourceType], raw: Any, block: str
) -> None:
    for reference in references(raw):
        resource = template.resources.get(reference.name)
        if reference.attribute is not None and resource is None:
            raise AwsError(
                "ValidationError",
                "Template error: instance of Fn::GetAtt references undefined resource "
                f"{reference.name}",
            )
        if resource is None:
            if reference.name in template.parameters or reference.name in PSEUDO_PARAMETERS:
                continue
            raise format_error(
                f"Unresolved resource dependencies [{reference.name}] "
                f"in the {block} block of the template"
            )
        known = types[resource.type].attributes
        if reference.attribute is not None and reference.attribute not in known:
            raise AwsError(
                "ValidationError",
                f"Template error: resource {reference.name} does not support attribute type "
                f"{reference.attribute} in Fn::GetAtt; it has {', '.join(sorted(known))}",
            )


def _check_dependencies(template: Template, resource: ResourceDeclaration) -> None:
    for name in resource.depends_on:
        if name not in template.resources:
            raise format_error(
                f"Unresolved resource dependencies [{name}] in the Resources block of the template"
            )
    if resource.condition is not None:
        _require_condition(template, resource.condition)


def _check_functions(template: Template, raw: Any) -> None:
    """Names, numbers of arguments, and the conditions and mappings that they name."""
    for name, argument in _functions(raw):
        if name in _ARGUMENTS:
            least, most = _ARGUMENTS[name]
            if not isinstance(argument, list) or not least <= len(argument) <= most:
                raise AwsError(
                    "ValidationError",
                    f"Template error: {name} takes a list of {least}"
                    f"{f' to {most}' if most > least else ''} arguments, not {argument!r}",
                )
        if name == "Fn::Sub" and not _is_substitution(argument):
            raise AwsError(
                "ValidationError",
                "Template error: One or more Fn::Sub intrinsic functions don't specify expected "
                "arguments. Specify a string as first argument, and an optional second argument "
                "to specify a mapping of values to replace in the string",
            )
        if (
            name == "Fn::FindInMap"
            and isinstance(argument[0], str)
            and argument[0] not in template.mappings
        ):
            raise AwsError(
                "ValidationError",
                f"Template error: Mapping named '{argument[0]}' is not present "
                "in the 'Mappings' section of template.",
            )
    for name in _used_conditions(raw):
        _require_condition(template, name)


def _functions(raw: Any) -> Iterator[tuple[str, Any]]:
    name = intrinsic_of(raw)
    if name is not None:
        yield name, raw[name]
    for item in raw.values() if isinstance(raw, Mapping) else raw if isinstance(raw, list) else ():
        yield from _functions(item)


def _used_conditions(raw: Any) -> Iterator[str]:
    for name, argument in _functions(raw):
        if name == "Condition":
            yield argument
        elif name == "Fn::If":
            yield argument[0]


def _require_condition(template: Template, name: Any) -> None:
    if name not in template.conditions:
        raise format_error(
            f"Unresolved condition dependency {name} in the Conditions block of the template"
        )


def _is_substitution(argument: Any) -> bool:
    if isinstance(argument, list):
        return len(argument) == 2 and isinstance(argument[0], str) and isinstance(argument[1], dict)
    return isinstance(argument, str)
