"""Resource types whose properties are the input of one Create call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jmespath
from botocore.exceptions import ClientError

from local_aws.cloudformation.resource_types.calls import call, is_gone, member_named, untaken
from local_aws.cloudformation.resource_types.described import DescribedType, changed
from local_aws.cloudformation.resource_types.resource_type import Physical, Provisioner
from local_aws.cloudformation.resource_types.tags import retag, tags_in


@dataclass(frozen=True, kw_only=True)
class ApiResource(DescribedType):
    """A row: the operations, what names the thing in them, and what their answers give.

    Further needs are methods of a subclass; `arrange` holds what is beside the first call.
    """

    service: str
    creates: str
    updates: str | None = None
    deletes: str
    # Attribute that is the physical id, and the one by which Update and Delete know the thing.
    ref: str
    identified_by: str
    # Where Create's answer (JMESPath) holds each attribute; the name is there by itself.
    answers: Mapping[str, str] = field(default_factory=dict)
    # Parameter that the API wraps the properties into; tags stay beside it.
    wrapper: str | None = None
    # Properties that `arrange` sees to, which the Create call doesn't take.
    apart: frozenset[str] = frozenset()
    # What a property becomes when the template drops it, where Update keeps what it isn't told.
    resets: Mapping[str, Any] = field(default_factory=dict)
    # Attribute that tags go by when the update doesn't take them.
    tagged_by: str = "Arn"
    lower_case: bool = False

    def problems(self, provisioner: Provisioner, raw: Mapping[str, Any]) -> list[str]:
        found = super().problems(provisioner, raw)
        if found:
            return found
        shape = self._input(provisioner.own.client(self.service), self.creates)
        known = {n: v for n, v in raw.items() if n not in self.apart | {"Tags"}}
        return [
            f"local_aws does not support the property {path[1:]} of {self.type}"
            for path in untaken(shape, known)
        ]

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        chosen = self.custom_name(properties) or (name.lower() if self.lower_case else name)
        named = {**properties, self.named_by: chosen}
        answer = self._send(by, self.creates, named, tags_in(properties) or None)
        found = {key: str(jmespath.search(path, answer)) for key, path in self.answers.items()}
        attributes = {self.named_by: chosen, **found}
        return Physical(attributes[self.ref], attributes)

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        client, differing = by.client(self.service), changed(old, new)
        tagged_by_update = self.updates is not None and _takes_tags(client, self.updates)
        own = differing - self.apart - (set() if tagged_by_update else {"Tags"})
        if self.updates is not None and own:
            reset = {name: v for name, v in self.resets.items() if name in old and name not in new}
            identity = {self.identified_by: physical.attributes[self.identified_by]}
            self._send(by, self.updates, {**reset, **new, **identity}, tags_in(new))
        if "Tags" in differing and not tagged_by_update:
            retag(client, physical.attributes[self.tagged_by], tags_in(old), tags_in(new))
        self.arrange(by, physical, old, new)

    def delete(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        client = by.client(self.service)
        shape = client.meta.service_model.operation_model(self.deletes).input_shape
        given = {name: v for name, v in properties.items() if member_named(shape, name)}
        given[self.identified_by] = physical.attributes[self.identified_by]
        try:
            call(client, self.deletes, {**given, "Tags": None})
            self.await_end(by, physical)
        except ClientError as err:
            if not is_gone(err):
                raise

    def await_end(self, by: Provisioner, physical: Physical) -> None:
        """Return, or fail as for a thing that is not there, once the deletion has happened."""

    def parameters(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The properties in the API's structure."""
        return dict(properties)

    def _send(
        self,
        by: Provisioner,
        operation: str,
        properties: Mapping[str, Any],
        tags: Mapping[str, str] | None,
    ) -> Any:
        client = by.client(self.service)
        own = {n: v for n, v in properties.items() if n not in self.apart | {"Tags"}}
        shape = self._input(client, operation)
        values = {n: v for n, v in self.parameters(own).items() if member_named(shape, n)}
        parameters: dict[str, Any] = {self.wrapper: values} if self.wrapper else values
        if _takes_tags(client, operation):
            parameters["Tags"] = tags
        return call(client, operation, parameters)

    def _input(self, client: Any, operation: str) -> Any:
        shape = client.meta.service_model.operation_model(operation).input_shape
        return shape.members[self.wrapper] if self.wrapper else shape


def _takes_tags(client: Any, operation: str) -> bool:
    shape = client.meta.service_model.operation_model(operation).input_shape
    return member_named(shape, "Tags") is not None
