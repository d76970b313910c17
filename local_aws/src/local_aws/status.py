"""`local-aws status`: what runs, read through the public APIs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table

from local_aws.hints import as_typed
from local_aws.remote import client_of
from local_aws.state import Running

# Of each pipeline; how many there are besides is said.
_NEWEST = 20


def print_status(running: Running) -> None:
    """Print the servers, then a table each of both kinds of pipelines, endpoints and stacks."""
    console = Console(highlight=False)
    console.print(f"AWS     {running.gateway_url}  (process {running.pid})", soft_wrap=True)
    mlflow = running.environment.get("MLFLOW_TRACKING_URI", "not started")
    console.print(f"MLflow  {mlflow}", soft_wrap=True)
    sagemaker = client_of(running.environment, "sagemaker")
    cloudformation = client_of(running.environment, "cloudformation")
    codepipeline = client_of(running.environment, "codepipeline")
    _print_table(console, ("CodePipeline pipeline", "status", "started"), _pipelines(codepipeline))
    _print_table(
        console, ("SageMaker pipeline execution", "status", "started"), _executions(sagemaker)
    )
    _print_table(console, ("endpoint", "status", "changed"), _endpoints(sagemaker))
    _print_table(console, ("stack", "status", "changed"), _stacks(cloudformation))


def _pipelines(codepipeline: Any) -> list[tuple[str, ...]]:
    """Each with its newest execution."""
    rows: list[tuple[str, ...]] = []
    for pipeline in _all(codepipeline, "list_pipelines", "pipelines"):
        name = pipeline["name"]
        newest = codepipeline.list_pipeline_executions(pipelineName=name, maxResults=1)
        for execution in newest["pipelineExecutionSummaries"]:
            identifier = execution["pipelineExecutionId"][:8]
            started = f"{execution['startTime'].astimezone():%H:%M:%S}"
            rows.append((f"{name} {identifier}", execution["status"], started))
        if not newest["pipelineExecutionSummaries"]:
            rows.append((name, "has not run", "-"))
    return rows


def _executions(sagemaker: Any) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for pipeline in _all(sagemaker, "list_pipelines", "PipelineSummaries"):
        name = pipeline["PipelineName"]
        executions = _all(
            sagemaker,
            "list_pipeline_executions",
            "PipelineExecutionSummaries",
            PipelineName=name,
        )
        for execution in islice(executions, _NEWEST):
            identifier = execution["PipelineExecutionArn"].rpartition("/")[2]
            rows.append(
                (
                    f"{name} {identifier}",
                    execution["PipelineExecutionStatus"],
                    f"{execution['StartTime'].astimezone():%H:%M:%S}",
                )
            )
        older = sum(1 for _ in executions)
        if older:
            command = f"aws sagemaker list-pipeline-executions --pipeline-name {name}"
            rows.append((f"{name}: {older} older ones", as_typed(command), ""))
    return rows


def _endpoints(sagemaker: Any) -> list[tuple[str, ...]]:
    return [
        (
            endpoint["EndpointName"],
            endpoint["EndpointStatus"],
            f"{endpoint['LastModifiedTime'].astimezone():%H:%M:%S}",
        )
        for endpoint in _all(sagemaker, "list_endpoints", "Endpoints")
    ]


def _stacks(cloudformation: Any) -> list[tuple[str, ...]]:
    return [
        (
            stack["StackName"],
            stack["StackStatus"],
            f"{stack.get('LastUpdatedTime', stack['CreationTime']).astimezone():%H:%M:%S}",
        )
        for stack in _all(cloudformation, "describe_stacks", "Stacks")
    ]


def _all(client: Any, operation: str, member: str, **request: Any) -> Iterator[Any]:
    """Every item, whatever a page holds."""
    for page in client.get_paginator(operation).paginate(**request):
        yield from page[member]


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
