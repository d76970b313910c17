"""EventBridge: rules on the default event bus.

bus, PutEvents ─▶ rules whose pattern matches ─┐
timer          ─▶ rules that are due          ─┴▶ their targets, by Deliveries
"""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.event_bus import Event, EventBus
from local_aws.events.delivery import Deliveries, Delivery
from local_aws.events.entries import RefusedEntry, envelope, read_entry
from local_aws.events.patterns import parse_pattern
from local_aws.events.rules import BUS, Rule, check_rule_target, read_rule, rule_error_code
from local_aws.events.target_input import is_customised, target_input
from local_aws.events.targets import EVENTS, Invocation
from local_aws.events.timer import Clock, SystemClock, Timer
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of

_MOST_ENTRIES = 10
_ENVELOPE = ("id", "detail-type", "source", "account", "time", "region", "resources")


class Events:
    """The service: handlers for the gateway, a listener on the bus, scheduled rules."""

    kept = ("_rules", "_tags")

    def __init__(self, own: OwnAws, bus: EventBus, clock: Clock | None = None) -> None:
        self._own = own
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._rules: dict[str, Rule] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._timer = Timer("events-timer", self._clock)
        self._deliveries = Deliveries(own, "events-delivery")
        bus.subscribe(self._on_event)

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """The operations of EventBridge that local_aws answers."""
        handlers: dict[str, Handler] = {
            "PutRule": self.put_rule,
            "DescribeRule": self.describe_rule,
            "ListRules": self.list_rules,
            "DeleteRule": self.delete_rule,
            "EnableRule": self.enable_rule,
            "DisableRule": self.disable_rule,
            "PutTargets": self.put_targets,
            "RemoveTargets": self.remove_targets,
            "ListTargetsByRule": self.list_targets,
            "ListRuleNamesByTarget": self.list_rules_of_target,
            "PutEvents": self.put_events,
            "TestEventPattern": self.match_pattern,
            "DescribeEventBus": self.describe_bus,
            "ListEventBuses": self.list_buses,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
        }
        return {("events", operation): handler for operation, handler in handlers.items()}

    def close(self) -> None:
        """End the threads."""
        self._timer.close()
        self._deliveries.close()

    def resume(self) -> list[str]:
        """Scheduled rules count from now on."""
        with self._lock:
            for rule in self._rules.values():
                self._schedule(rule)
        return []

    def put_rule(self, call: Call) -> Mapping[str, Any]:
        """PutRule: a new rule, or another definition for the one with this name."""
        self._require_default(call.params.get("EventBusName"))
        rule = read_rule(self._own, call.params)
        with self._lock:
            before = self._rules.get(rule.name)
            if before is None:
                self._tags[rule.arn] = _as_map(call.params.get("Tags", []))
            else:
                rule = replace(rule, targets=before.targets)
            self._rules[rule.name] = rule
            self._schedule(rule)
        return {"RuleArn": rule.arn}

    def describe_rule(self, call: Call) -> Mapping[str, Any]:
        """DescribeRule."""
        return {**self._rule(call).describe(), "CreatedBy": self._own.account}

    def list_rules(self, call: Call) -> Mapping[str, Any]:
        """ListRules, by name."""
        self._require_default(call.params.get("EventBusName"))
        prefix = call.params.get("NamePrefix", "")
        with self._lock:
            rules = [rule.describe() for rule in self._rules.values()]
        found = sorted(
            (rule for rule in rules if rule["Name"].startswith(prefix)),
            key=lambda r: str(r["Name"]),
        )
        page, more = page_of(found, lambda rule: str(rule["Name"]), _limited(call))
        return {"Rules": page, **more}

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
            self._tags.pop(rule.arn, None)
            self._timer.cancel(rule.name)
        return {}

    def enable_rule(self, call: Call) -> Mapping[str, Any]:
        """EnableRule."""
        return self._set_state(call, "ENABLED")

    def disable_rule(self, call: Call) -> Mapping[str, Any]:
        """DisableRule."""
        return self._set_state(call, "DISABLED")

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
        page, more = page_of(targets, lambda target: str(target["Id"]), _limited(call))
        return {"Targets": page, **more}

    def list_rules_of_target(self, call: Call) -> Mapping[str, Any]:
        """ListRuleNamesByTarget."""
        self._require_default(call.params.get("EventBusName"))
        arn = call.params["TargetArn"]
        with self._lock:
            names = sorted(
                rule.name
                for rule in self._rules.values()
                if any(target["Arn"] == arn for target in rule.targets.values())
            )
        page, more = page_of(
            [{"Name": name} for name in names], lambda item: str(item["Name"]), _limited(call)
        )
        return {"RuleNames": [item["Name"] for item in page], **more}

    def put_events(self, call: Call) -> Mapping[str, Any]:
        """PutEvents: each entry is taken or refused by itself."""
        entries = call.params["Entries"]
        if not 1 <= len(entries) <= _MOST_ENTRIES:
            raise AwsError(
                "ValidationException", f"PutEvents takes 1 to {_MOST_ENTRIES} entries at once"
            )
        answers = [self._put_event(entry) for entry in entries]
        failed = sum("ErrorCode" in answer for answer in answers)
        return {"FailedEntryCount": failed, "Entries": answers}

    def match_pattern(self, call: Call) -> Mapping[str, Any]:
        """TestEventPattern."""
        pattern = parse_pattern(call.params["EventPattern"])
        try:
            event = json.loads(call.params["Event"])
        except ValueError as err:
            raise AwsError("ValidationException", "Parameter Event is not valid.") from err
        missing = [name for name in _ENVELOPE if not isinstance(event, dict) or name not in event]
        if missing:
            raise AwsError(
                "ValidationException",
                f"Parameter Event is not valid. Reason: {', '.join(missing)} missing",
            )
        return {"Result": pattern.matches(event)}

    def describe_bus(self, call: Call) -> Mapping[str, Any]:
        """DescribeEventBus, of the default one."""
        self._require_default(call.params.get("Name"))
        return self._bus()

    def list_buses(self, call: Call) -> Mapping[str, Any]:
        """ListEventBuses: there is one."""
        fits = BUS.startswith(call.params.get("NamePrefix", ""))
        return {"EventBuses": [self._bus()] if fits else []}

    def tag(self, call: Call) -> Mapping[str, Any]:
        """TagResource."""
        with self._lock:
            self._tags_of(call).update(_as_map(call.params["Tags"]))
        return {}

    def untag(self, call: Call) -> Mapping[str, Any]:
        """UntagResource."""
        with self._lock:
            tags = self._tags_of(call)
            for key in call.params["TagKeys"]:
                tags.pop(key, None)
        return {}

    def list_tags(self, call: Call) -> Mapping[str, Any]:
        """ListTagsForResource."""
        with self._lock:
            tags = self._tags_of(call)
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _on_event(self, event: Event) -> None:
        self._route(event.document)

    def _route(self, document: Mapping[str, Any]) -> None:
        """Hand the event over to the targets of all rules that it matches."""
        with self._lock:
            rules = [rule for rule in self._rules.values() if rule.enabled]
        for rule in rules:
            if rule.pattern is not None and rule.pattern.matches(document):
                self._deliver(rule, document)

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

    def _put_event(self, entry: Mapping[str, Any]) -> Mapping[str, str]:
        self._require_default(entry.get("EventBusName"))
        try:
            document = read_entry(self._own, entry, self._clock.now())
        except RefusedEntry as refused:
            return {"ErrorCode": refused.code, "ErrorMessage": refused.message}
        self._route(document)
        return {"EventId": document["id"]}

    def _schedule(self, rule: Rule) -> None:
        """Wait for the rule's next time, which counts from now."""
        if rule.expression is None or not rule.enabled:
            self._timer.cancel(rule.name)
            return
        now = self._clock.now()
        # The first time of a rule's rate is one interval after it was put.
        due = rule.expression.next_after(now, first=now)
        if due is not None:
            self._timer.set(rule.name, due, lambda due: self._on_due(rule, now, due))

    def _on_due(self, rule: Rule, first: datetime.datetime, due: datetime.datetime) -> None:
        with self._lock:
            current = self._rules.get(rule.name)
            # Put again, disabled or deleted since: that has set the timer anew, or cancelled it.
            if current is None or current.expression is not rule.expression or not current.enabled:
                return
            assert current.expression is not None
            following = current.expression.next_after(max(due, self._clock.now()), first=first)
            if following is not None:
                self._timer.set(rule.name, following, lambda at: self._on_due(rule, first, at))
        document = envelope(
            self._own, "aws.events", "Scheduled Event", due, [current.arn], detail={}
        )
        self._deliver(current, document)

    def _set_state(self, call: Call, state: str) -> Mapping[str, Any]:
        with self._lock:
            rule = replace(self._rule(call), state=state)
            self._rules[rule.name] = rule
            self._schedule(rule)
        return {}

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

    def _tags_of(self, call: Call) -> dict[str, str]:
        arn = call.params["ResourceARN"]
        if arn not in self._tags:
            raise AwsError("ResourceNotFoundException", f"There is no rule with the ARN {arn}.")
        return self._tags[arn]

    def _bus(self) -> dict[str, str]:
        return {"Name": BUS, "Arn": self._own.arn("events", f"event-bus/{BUS}")}

    def _require_default(self, name_or_arn: str | None) -> None:
        if name_or_arn not in (None, *self._bus().values()):
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


def _as_map(tags: list[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _limited(call: Call) -> Mapping[str, Any]:
    """The call's paging as `page_of` reads it."""
    limit = {"MaxResults": call.params["Limit"]} if "Limit" in call.params else {}
    return {**call.params, **limit}
