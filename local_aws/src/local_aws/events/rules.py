"""A rule of the default event bus with its targets, checked as PutRule and PutTargets do it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from local_aws.errors import AwsError
from local_aws.events.patterns import Pattern, parse_pattern
from local_aws.events.target_input import check_input
from local_aws.events.targets import EVENTS, check_target
from local_aws.own_aws import OwnAws

BUS = "default"
_MOST_TARGETS = 5


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What PutRule and PutTargets said."""

    name: str
    arn: str
    state: str
    given: Mapping[str, Any]  # Description, EventPattern, RoleArn
    pattern: Pattern
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by Id

    @property
    def enabled(self) -> bool:
        return self.state == "ENABLED"

    def describe(self) -> dict[str, Any]:
        """As DescribeRule shows it."""
        return {
            "Name": self.name,
            "Arn": self.arn,
            "State": self.state,
            "EventBusName": BUS,
            **self.given,
        }

    def with_targets(self, targets: Sequence[Mapping[str, Any]]) -> Rule:
        """The rule with these added; one with the Id of another takes its place."""
        together = {**self.targets, **{target["Id"]: target for target in targets}}
        if len(together) > _MOST_TARGETS:
            raise AwsError(
                "LimitExceededException",
                f"The requested resource exceeds the maximum number allowed: rule {self.name} "
                f"would have {len(together)} targets, {_MOST_TARGETS} are allowed",
            )
        return replace(self, targets=together)

    def without_targets(self, ids: Sequence[str]) -> Rule:
        """The rule without the targets of these Ids."""
        return replace(
            self, targets={name: each for name, each in self.targets.items() if name not in ids}
        )


def read_rule(own: OwnAws, params: Mapping[str, Any]) -> Rule:
    """The rule that PutRule asks for, without targets.

    Raises ValidationException or InvalidEventPatternException.
    """
    name = params["Name"]
    if "ScheduleExpression" in params:
        raise AwsError(
            "ValidationException",
            "local_aws does not support ScheduleExpression of a rule. Make a schedule of it: "
            "EventBridge Scheduler's CreateSchedule takes the same expression.",
        )
    if "EventPattern" not in params:
        raise AwsError(
            "ValidationException",
            "Parameter(s) EventPattern or ScheduleExpression must be specified.",
        )
    state = params.get("State", "ENABLED")
    if state not in ("ENABLED", "DISABLED"):
        raise AwsError("ValidationException", f"local_aws does not support the rule state {state}")
    given = {
        member: params[member]
        for member in ("Description", "EventPattern", "RoleArn")
        if member in params
    }
    if "RoleArn" in given:
        _require_role(own, given["RoleArn"])
    return Rule(
        name=name,
        arn=own.arn("events", f"rule/{name}"),
        state=state,
        given=given,
        pattern=parse_pattern(given["EventPattern"]),
    )


def check_rule_target(own: OwnAws, target: Mapping[str, Any]) -> None:
    """Raise ValidationException for a target that PutTargets would refuse, or local_aws has not."""
    check_target(own, target)
    check_input(target)
    if "RoleArn" in target:
        _require_role(own, target["RoleArn"])


def rule_error_code(code: str) -> str:
    """The code of a failed delivery as EventBridge writes it to a dead-letter queue.

    Source: EventBridge user guide, "Using dead-letter queues".
    """
    table = (
        ("INVALID_JSON", r"INVALID_JSON"),
        ("FAILED_TO_ASSUME_ROLE", r"FAILED_TO_ASSUME_ROLE"),
        ("NO_RESOURCE", r"NotFound|NonExistent|NotExist"),
        ("NO_PERMISSIONS", r"AccessDenied|Forbidden|Unauthorized"),
        ("THROTTLING", r"Throttl|TooManyRequests|LimitExceeded"),
        ("INVALID_PARAMETER", r"Invalid|Validation"),
    )
    for name, pattern in table:
        if re.search(pattern, code):
            return name
    return "ERROR_FROM_TARGET"


def _require_role(own: OwnAws, role_arn: str) -> None:
    try:
        own.client("sts", role_arn, principal=EVENTS)
    except AwsError as err:
        raise AwsError(
            "ValidationException",
            f"Provided role '{role_arn}' cannot be assumed by principal '{EVENTS}'.",
        ) from err
