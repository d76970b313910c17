"""What projects have in an account: their stacks, their endpoints."""

from __future__ import annotations

from mlops.account import Account
from mlops.platform.stacks import PROJECT_PREFIX, PROJECT_TAG, DeployedStack, list_stacks


def is_of_project(stack: DeployedStack) -> bool:
    """Whether it is a project's stack or that of its endpoints, whatever made it."""
    from_template = {"SageMakerProjectId", "Branch"} <= stack.parameters.keys()
    return stack.name.startswith(PROJECT_PREFIX) or from_template or PROJECT_TAG in stack.tags


def list_projects_use(account: Account) -> list[str]:
    """What uses the platform: stacks and endpoints of projects, one a line."""
    stacks = [
        f"stack {stack.name} ({stack.status})"
        for stack in list_stacks(account.client("cloudformation"))
        if is_of_project(stack)
    ]
    return [*stacks, *_endpoints(account)]


def _endpoints(account: Account) -> list[str]:
    sagemaker = account.client("sagemaker")
    found = []
    for page in sagemaker.get_paginator("list_endpoints").paginate():
        for endpoint in page["Endpoints"]:
            tags = sagemaker.get_paginator("list_tags").paginate(
                ResourceArn=endpoint["EndpointArn"]
            )
            if any(tag["Key"] == PROJECT_TAG for each in tags for tag in each["Tags"]):
                found.append(f"endpoint {endpoint['EndpointName']} ({endpoint['EndpointStatus']})")
    return found
