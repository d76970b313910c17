"""Settings of an endpoint that exclude each other, found before anything is uploaded.

The template's section Rules refuses the same, as far as CloudFormation can compare: it knows only
equality. What SageMaker says of each is in docs/deployment.md.
"""

from __future__ import annotations

from collections.abc import Mapping

# As endpoint-config-template.yml has it, and what a new fleet may take of it to start.
EXECUTION_TIMEOUT_SECONDS = 14_400
_START_SECONDS = 1_800
# Of a serverless endpoint: the setting, the value that it must have, what it would need.
_NEED_INSTANCES = (
    ("DeploymentType", "ALL_AT_ONCE", "SageMaker shifts its traffic all at once"),
    ("DeploymentWaitInSeconds", "0", "no alarm watches its deployment"),
    ("EndpointMaxInstanceCount", "0", "it has no instances to scale"),
    ("DataCaptureUri", "", "it captures no data"),
    ("KmsKeyArn", "", "it has no volume to encrypt"),
    ("SubnetIds", "", "it can be in no VPC"),
)


def find_contradictions(settings: Mapping[str, str]) -> list[str]:
    """All of them, for the values in effect; a number that is none is left to others' checks."""
    number = {name: int(value) for name, value in settings.items() if value.isdecimal()}
    count, most = number.get("EndpointInstanceCount"), number.get("EndpointMaxInstanceCount", 0)
    wait = number.get("DeploymentWaitInSeconds", 0)
    kind = settings.get("DeploymentType", "ALL_AT_ONCE")
    serverless = number.get("ServerlessMemoryInMB", 0) != 0
    warm = number.get("ServerlessProvisionedConcurrency", 0)
    concurrent = number.get("ServerlessMaxConcurrency", 0)
    problems: list[str] = []
    if serverless:
        problems += [
            f"{name} is {settings[name]!r}, but ServerlessMemoryInMB makes the endpoint "
            f"serverless: {why}"
            for name, alone, why in _NEED_INSTANCES
            if settings.get(name, alone) != alone
        ]
        if warm > concurrent:
            problems.append(
                f"ServerlessProvisionedConcurrency is {warm}; it can be at most "
                f"ServerlessMaxConcurrency, {concurrent}"
            )
    elif warm:
        problems.append(
            f"ServerlessProvisionedConcurrency is {warm}, but nothing is serverless; set "
            "ServerlessMemoryInMB, or leave it out"
        )
    if kind != "ALL_AT_ONCE" and not serverless:
        problems += _gradual_problems(kind, count, wait, number.get("DeploymentStepPercentage"))
    if count is not None and 0 < most < count:
        problems.append(
            f"EndpointMaxInstanceCount is {most}, less than EndpointInstanceCount, {count}; "
            "0 turns scaling off"
        )
    if bool(settings.get("SubnetIds")) != bool(settings.get("SecurityGroupIds")):
        problems.append("SubnetIds and SecurityGroupIds go together; give both or neither")
    return problems


def _gradual_problems(kind: str, count: int | None, wait: int, step: int | None) -> list[str]:
    problems: list[str] = []
    if count == 1:
        problems.append(
            f"DeploymentType is {kind}, which moves part of the instances, but "
            "EndpointInstanceCount is 1; it needs 2 at least"
        )
    if wait == 0:
        problems.append(
            f"DeploymentType is {kind}, but DeploymentWaitInSeconds is 0: nothing would watch the "
            "steps. 600 is a good start"
        )
    if step:
        waits = wait * (2 if kind == "CANARY" else -(-100 // step))
        if waits > EXECUTION_TIMEOUT_SECONDS - _START_SECONDS:
            problems.append(
                f"{kind} in steps of {step} % with DeploymentWaitInSeconds {wait} waits for "
                f"{waits} s in all; {EXECUTION_TIMEOUT_SECONDS - _START_SECONDS} are possible"
            )
    return problems
