"""What a template, its parameters and tags would make of a stack; checked, nothing created.

    make_plan(...) -> Plan    the resources that exist under the conditions, in dependency order,
                              each with a `sketch`

A sketch is a resource's properties with everything evaluated except what only an existing resource
can tell, which stands there as text. Two plans with the same sketches are the same stack: "No
updates are to be performed."
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from local_aws.cloudformation.intrinsics import Evaluation, Reference
from local_aws.cloudformation.parameters import is_hidden, resolve_parameters, typed_parameters
from local_aws.cloudformation.resource_types.tags import tags_in
from local_aws.cloudformation.resources import RESOURCE_TYPES, Provisioner, ResourceType
from local_aws.cloudformation.rules import check_rules
from local_aws.cloudformation.template import ResourceDeclaration, Template, format_error
from local_aws.cloudformation.validation import check_template
from local_aws.errors import AwsError


@dataclass(frozen=True, kw_only=True)
class PlannedResource:
    """A resource that is to exist."""

    declaration: ResourceDeclaration
    type: ResourceType
    depends_on: frozenset[str]
    sketch: Mapping[str, Any]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "type": self.type.type}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, type=RESOURCE_TYPES[state["type"]])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A stack as it is to be: `resources` in order of creation."""

    template: Template
    parameters: Mapping[str, str]
    typed_parameters: Mapping[str, str | list[str]]
    tags: Mapping[str, str]
    pseudo: Mapping[str, Any]
    resources: Mapping[str, PlannedResource]
    outputs: Mapping[str, Mapping[str, Any]]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "imported"}

    def evaluation(self, resource: Callable[[Reference], Any]) -> Evaluation:
        """The template's values, where `resource` gives Refs and attributes."""
        return Evaluation(
            self.template,
            parameters=self.typed_parameters,
            pseudo=self.pseudo,
            resource=resource,
        )

    @property
    def hidden_values(self) -> frozenset[str]:
        """The values of parameters with NoEcho, which no description may show."""
        declared = self.template.parameters
        return frozenset(
            v for name, v in self.parameters.items() if v and is_hidden(declared[name])
        )

    def differs_from(self, other: Plan) -> bool:
        """Whether going from one to the other changes a resource, an output or a tag."""
        return self._essence() != other._essence()

    def _essence(self) -> tuple[Any, ...]:
        resources = {
            name: (
                r.type.type,
                r.sketch,
                r.declaration.retained_on_delete,
                r.declaration.retained_on_rollback,
                r.declaration.retained_on_replace,
            )
            for name, r in self.resources.items()
        }
        return resources, self.outputs, self.tags


def make_plan(
    template: Template,
    *,
    given: Mapping[str, str],
    tags: Mapping[str, str],
    pseudo: Mapping[str, Any],
    provisioner: Provisioner,
) -> Plan:
    """The plan. AwsError ValidationError for whatever is wrong and can be known by now."""
    check_template(template, RESOURCE_TYPES, provisioner)
    parameters = resolve_parameters(template.parameters, given)
    typed = typed_parameters(template.parameters, parameters, _ssm_lookup(provisioner))
    check_rules(template, typed, pseudo)
    seen: set[str] = set()
    active: set[str] = set()

    def placeholder(reference: Reference) -> str:
        if reference.name not in active:
            raise format_error(
                f"Unresolved resource dependencies [{reference.name}] "
                "in the Resources block of the template"
            )
        seen.add(reference.name)
        return (
            "${" + reference.name + ("." + reference.attribute if reference.attribute else "") + "}"
        )

    sketching = Evaluation(template, parameters=typed, pseudo=pseudo, resource=placeholder)
    for name, declaration in template.resources.items():
        if declaration.condition is None or sketching.condition(declaration.condition):
            active.add(name)
    planned: dict[str, PlannedResource] = {}
    for name in (n for n in template.resources if n in active):
        declaration = template.resources[name]
        seen.clear()
        kind = RESOURCE_TYPES[declaration.type]
        values = sketching.value(declaration.properties)
        sketch = with_stack_tags(kind, values, tags)
        needed = frozenset((seen | set(declaration.depends_on)) & active)
        planned[name] = PlannedResource(
            declaration=declaration, type=kind, depends_on=needed, sketch=sketch
        )
    outputs = {
        name: sketching.value(output)
        for name, output in template.outputs.items()
        if "Condition" not in output or sketching.condition(output["Condition"])
    }
    return Plan(
        template=template,
        parameters=parameters,
        typed_parameters=typed,
        tags=tags,
        pseudo=pseudo,
        resources={name: planned[name] for name in _order(planned)},
        outputs=outputs,
    )


def with_stack_tags(
    kind: ResourceType, properties: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """The properties with the stack's tags; the resource's own win.

    AWS adds aws:cloudformation:* tags as well; they are left out here.
    """
    if kind.tag_form is None or not (tags or properties.get("Tags")):
        return dict(properties)
    merged = {**tags, **tags_in(properties)}
    if kind.tag_form == "map":
        return {**properties, "Tags": {key: merged[key] for key in sorted(merged)}}
    return {**properties, "Tags": [{"Key": k, "Value": merged[k]} for k in sorted(merged)]}


def _order(planned: Mapping[str, PlannedResource]) -> list[str]:
    try:
        return list(
            TopologicalSorter({n: sorted(r.depends_on) for n, r in planned.items()}).static_order()
        )
    except CycleError as err:
        names = ", ".join(sorted(set(err.args[1])))
        raise AwsError(
            "ValidationError", f"Circular dependency between resources: [{names}]"
        ) from err


def _ssm_lookup(provisioner: Provisioner) -> Callable[[str], str]:
    def value(name: str) -> str:
        client = provisioner.client("ssm")
        try:
            parameter = client.get_parameter(Name=name)["Parameter"]
        except client.exceptions.ParameterNotFound as err:
            raise AwsError(
                "ValidationError",
                f"Unable to fetch parameters [{name}] from parameter store for this account.",
            ) from err
        if parameter["Type"] == "SecureString":
            raise AwsError(
                "ValidationError",
                f"Parameters [{name}] referenced by template have types not supported by "
                "CloudFormation.",
            )
        return str(parameter["Value"])

    return value
