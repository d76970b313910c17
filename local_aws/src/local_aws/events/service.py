"""EventBridge: rules on the default event bus.

bus ─▶ rules whose pattern matches ─▶ their targets, by Deliveries
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.event_bus import Event, EventBus
from local_aws.events.delivery import Deliveries, Delivery
from local_aws.events.rules import BUS, Rule, check_rule_target, read_rule, rule_error_code
from local_aws.events.target_input import is_customised, target_input
from local_aws.events.targets import EVENTS, Invocation
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.tags import CAPITALISED, Tags


class Events:
    """The service: handlers for the gateway, a listener on the bus."""

    kept = ("_rules", "_tags._tags")

    def __init__(self, own: OwnAws, bus: EventBus) -> None:
        self._own = own
        self._lock = threading.RLock()
        self._rules: dict[str, Rule] = {}
        self._tags = Tags(
            self._require_rule,
            CAPITALISED,
            too_many="LimitExceededException",
            reserved="ValidationException",
            invalid="ValidationException",
        )
        self._deliveries = Deliveries(own, "events-delivery")
        bus.subscribe(self._on_event)

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """The operations of EventBridge that local_aws answers."""
        handlers: dict[str, Handler] = {
            "PutRule": self.put_rule,
            "DescribeRule": self.describe_rule,
            "DeleteRule": self.delete_rule,
            "PutTargets": self.put_targets,
            "RemoveTargets": self.remove_targets,
            "ListTargetsByRule": self.list_targets,
            **self._tags.handlers(),
        }
        return {("events", operation): handler for operation, handler in handlers.items()}

    def close(self) -> None:
        """End the threads."""
        self._deliveries.close()

    def put_rule(self, call: Call) -> Mapping[str, Any]:
        """PutRule: a new rule, or another definition for the one with this name."""
        self._require_default(call.params.get("EventBusName"))
        rule = read_rule(self._own, call.params)
        with self._lock:
            before = self._rules.get(rule.name)
            if before is None:
                self._tags.set(rule.arn, call.params.get("Tags", []))
            else:
                rule = replace(rule, targets=before.targets)
            self._rules[rule.name] = rule
        return {"RuleArn": rule.arn}

    def describe_rule(self, call: Call) -> Mapping[str, Any]:
        """DescribeRule."""
        return {**self._rule(call).describe(), "CreatedBy": self._own.account}

    def delete_rule(self, call: Call) -> Mapping[str, Any]:
        """DeleteRule: refused while it has targets; a rule that isn't there is no error."""
        self._require_default(call.params.get("EventBusName"))
        with self._lock:
            rule = self._rules.get(call.params["Name"])
            if rule is None:
                return {}
            if rule.targets:
                raise AwsError("ValidationException", "Rule can't be deleted since it has targets.")
            del self._rules[rule.name]
            self._tags.forget(rule.arn)
        return {}

    def put_targets(self, call: Call) -> Mapping[str, Any]:
        """PutTargets: all of them, or an error and none."""
        rule = self._rule(call, "Rule")
        for target in call.params["Targets"]:
            check_rule_target(self._own, target)
        with self._lock:
            rule = self._rule(call, "Rule")
            self._rules[rule.name] = rule.with_targets(call.params["Targets"])
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def remove_targets(self, call: Call) -> Mapping[str, Any]:
        """RemoveTargets; an Id that isn't there is a failed entry."""
        with self._lock:
            rule = self._rule(call, "Rule")
            failed = [
                {
                    "TargetId": target_id,
                    "ErrorCode": "ResourceNotFoundException",
                    "ErrorMessage": f"Rule {rule.name} has no target with the Id {target_id}.",
                }
                for target_id in call.params["Ids"]
                if target_id not in rule.targets
            ]
            self._rules[rule.name] = rule.without_targets(call.params["Ids"])
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    def list_targets(self, call: Call) -> Mapping[str, Any]:
        """ListTargetsByRule."""
        targets = list(self._rule(call, "Rule").targets.values())
        page, more = page_of(targets, lambda target: str(target["Id"]), call.params, size="Limit")
        return {"Targets": page, **more}

    def _on_event(self, event: Event) -> None:
        """Hand the event over to the targets of all rules that it matches."""
        with self._lock:
            rules = [rule for rule in self._rules.values() if rule.enabled]
        for rule in rules:
            if rule.pattern.matches(event.document):
                self._deliver(rule, event.document)

    def _deliver(self, rule: Rule, document: Mapping[str, Any]) -> None:
        for target in rule.targets.values():
            self._deliveries.submit(
                Delivery(
                    label=f"rule {rule.name}",
                    target=target,
                    invocation=lambda target=target: _invocation(rule, target, document),  # type: ignore[misc]
                    dead_letter_body=json.dumps(document),
                    dead_letter_attributes={"RULE_ARN": rule.arn},
                    dead_letter_code=rule_error_code,
                )
            )

    def _rule(self, call: Call, member: str = "Name") -> Rule:
        self._require_default(call.params.get("EventBusName"))
        name = call.params[member]
        with self._lock:
            rule = self._rules.get(name)
        if rule is None:
            raise AwsError(
                "ResourceNotFoundException", f"Rule {name} does not exist on EventBus {BUS}."
            )
        return rule

    def _require_rule(self, arn: str) -> None:
        with self._lock:
            arns = {rule.arn for rule in self._rules.values()}
        if arn not in arns:
            raise AwsError("ResourceNotFoundException", f"There is no rule with the ARN {arn}.")

    def _require_default(self, name_or_arn: str | None) -> None:
        if name_or_arn not in (None, BUS, self._own.arn("events", f"event-bus/{BUS}")):
            raise AwsError(
                "ResourceNotFoundException",
                f"Event bus {name_or_arn} does not exist. local_aws has the bus {BUS} only.",
            )


def _invocation(rule: Rule, target: Mapping[str, Any], document: Mapping[str, Any]) -> Invocation:
    return Invocation(
        arn=target["Arn"],
        role_arn=target.get("RoleArn"),
        principal=EVENTS,
        payload=target_input(target, document, rule_name=rule.name, rule_arn=rule.arn),
        chosen=is_customised(target),
        settings=target,
    )
