"""`local-aws status`: what runs, read through the public APIs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from local_aws.remote import client_of
from local_aws.state import Running


def print_status(running: Running) -> None:
    """Print the servers, then a table each of pipeline executions, endpoints and stacks."""
    console = Console(highlight=False)
    console.print(f"AWS     {running.gateway_url}  (process {running.pid})", soft_wrap=True)
    console.print(f"MLflow  {running.mlflow_url}", soft_wrap=True)
    sagemaker = client_of(running.environment, "sagemaker")
    cloudformation = client_of(running.environment, "cloudformation")
    _print_table(console, ("pipeline execution", "status", "started"), _executions(sagemaker))
    _print_table(console, ("endpoint", "status", "changed"), _endpoints(sagemaker))
    _print_table(console, ("stack", "status", "changed"), _stacks(cloudformation))


def _executions(sagemaker: Any) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for pipeline in sagemaker.list_pipelines()["PipelineSummaries"]:
        name = pipeline["PipelineName"]
        executions = sagemaker.list_pipeline_executions(PipelineName=name)
        for execution in executions["PipelineExecutionSummaries"]:
            identifier = execution["PipelineExecutionArn"].rpartition("/")[2]
            rows.append(
                (
                    f"{name} {identifier}",
                    execution["PipelineExecutionStatus"],
                    f"{execution['StartTime'].astimezone():%H:%M:%S}",
                )
            )
    return rows


def _endpoints(sagemaker: Any) -> list[tuple[str, ...]]:
    return [
        (
            endpoint["EndpointName"],
            endpoint["EndpointStatus"],
            f"{endpoint['LastModifiedTime'].astimezone():%H:%M:%S}",
        )
        for endpoint in sagemaker.list_endpoints()["Endpoints"]
    ]


def _stacks(cloudformation: Any) -> list[tuple[str, ...]]:
    return [
        (
            stack["StackName"],
            stack["StackStatus"],
            f"{stack.get('LastUpdatedTime', stack['CreationTime']).astimezone():%H:%M:%S}",
        )
        for stack in cloudformation.describe_stacks()["Stacks"]
    ]


def _print_table(console: Console, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table()
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    if rows:
        console.print(table)
    else:
        console.print(f"no {headings[0]}")
