"""A pipeline definition (JSON, version 2020-12-01), checked and made into values.

    parse_definition(text) -> PipelineDefinition
                              ├── parameters   what a start may or must give
                              └── steps        all of them, those inside Condition steps too,
                                               each with what it needs and the branch it lies in

Everything that a run could stumble over later is refused here, before any step runs.
Source: "Amazon SageMaker Pipelines pipeline definition JSON schema", and what SDK 3.27 compiles to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_aws.errors import AwsError
from local_aws.sagemaker.pipelines import conditions as pipeline_conditions
from local_aws.sagemaker.pipelines import retry as pipeline_retry
from local_aws.sagemaker.pipelines.argument_types import type_problems
from local_aws.sagemaker.pipelines.expressions import (
    EXECUTION_VARIABLES,
    PropertyFile,
    references,
    step_named_in,
)
from local_aws.sagemaker.pipelines.parameters import TYPES, Parameter
from local_aws.sagemaker.pipelines.retry import RetryPolicy

_LONGEST = 1_048_576  # also of one that lies in S3
VERSION = "2020-12-01"
STEP_TYPES = ("Processing", "Training", "Condition", "Fail")
_STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_STEP_MEMBERS = frozenset(
    {
        *("Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"),
        *("CacheConfig", "RetryPolicies", "PropertyFiles"),
    }
)


@dataclass(frozen=True)
class Branch:
    """The steps that run when the Condition step `condition` has this outcome."""

    condition: str
    outcome: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. `needs` names the steps that must have succeeded before it starts."""

    name: str
    type: str
    arguments: Mapping[str, Any]
    needs: frozenset[str] = frozenset()
    branch: Branch | None = None
    display_name: str = ""
    description: str = ""
    retry_policies: tuple[RetryPolicy, ...] = ()
    property_files: Mapping[str, PropertyFile] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PipelineDefinition:
    """A definition that local_aws can run."""

    parameters: tuple[Parameter, ...]
    steps: tuple[Step, ...]


def parse_definition(text: str) -> PipelineDefinition:
    """The definition in `text`; raises AwsError (ValidationException) with all that is wrong."""
    document = read_definition(text)
    problems = [*_problems_of_document(document)]
    parameters = []
    for declared in document.get("Parameters") or []:
        problems += _problems_of_parameter(declared)
        parameters.append(
            Parameter(
                name=str(declared.get("Name")),
                type=str(declared.get("Type")),
                default=declared.get("DefaultValue"),
                allowed=tuple(declared.get("EnumValues") or ()),
            )
        )
    steps: list[Step] = []
    for step, branch in _all_steps(document["Steps"], None):
        found = [*_problems_of_step(step)]
        problems += found
        if not found:
            steps.append(_step(step, branch))
    if not problems:
        problems += _problems_between(steps, parameters)
    if problems:
        raise AwsError("ValidationException", "Pipeline definition: " + ". ".join(problems))
    return PipelineDefinition(parameters=tuple(parameters), steps=tuple(steps))


def checked_definition(text: str) -> str:
    """The text again; raises AwsError (ValidationException) for what CreatePipeline refuses."""
    if len(text) > _LONGEST:
        raise AwsError(
            "ValidationException",
            f"The pipeline definition has {len(text)} characters; {_LONGEST} are allowed",
        )
    document = read_definition(text)
    steps = [step for step, _ in _all_steps(document["Steps"], None)]
    for problem in type_problems(steps, document.get("Parameters") or []):
        raise AwsError("ValidationException", problem)
    return text


def read_definition(text: str) -> dict[str, Any]:
    """The JSON object in `text`; raises AwsError (ValidationException) if it is no definition."""
    try:
        document = json.loads(text)
    except ValueError as err:
        raise AwsError(
            "ValidationException", f"Unable to parse pipeline definition: {err}"
        ) from err
    if not isinstance(document, dict) or not isinstance(document.get("Steps"), list):
        raise AwsError(
            "ValidationException",
            "Unable to parse pipeline definition: it is not a JSON object with a list of Steps",
        )
    if document.get("Version") != VERSION:
        raise AwsError(
            "ValidationException",
            f"Pipeline definition version {document.get('Version')!r} is not supported; "
            f"{VERSION!r} is",
        )
    return document


def _all_steps(
    steps: Sequence[Any], branch: Branch | None
) -> Iterator[tuple[Mapping[str, Any], Branch | None]]:
    """Every step with its branch, in the order of the definition."""
    for step in steps:
        if not isinstance(step, Mapping):
            step = {"Name": repr(step)}
        yield step, branch
        arguments = step.get("Arguments")
        if step.get("Type") != "Condition" or not isinstance(arguments, Mapping):
            continue
        for member, outcome in (("IfSteps", True), ("ElseSteps", False)):
            inner = Branch(condition=str(step.get("Name")), outcome=outcome)
            yield from _all_steps(arguments.get(member) or [], inner)


def _problems_of_document(document: Mapping[str, Any]) -> Iterator[str]:
    if not document["Steps"]:
        yield "it has no steps"
    if document.get("MlflowConfig"):
        yield (
            "MlflowConfig (SageMaker's managed MLflow) is not supported by local_aws; "
            "pass the tracking URI as a pipeline parameter"
        )


def _problems_of_parameter(declared: Mapping[str, Any]) -> Iterator[str]:
    if declared.get("Type") not in TYPES:
        yield (
            f"parameter {declared.get('Name')!r} has type {declared.get('Type')!r}; "
            f"there are {', '.join(TYPES)}"
        )


def _problems_of_step(step: Mapping[str, Any]) -> Iterator[str]:
    name, kind = step.get("Name"), step.get("Type")
    where = f"step {name!r}"
    if not isinstance(name, str) or not _STEP_NAME.fullmatch(name):
        yield f"{where}: a step name has 1 to 64 letters, digits, - and _"
    if kind not in STEP_TYPES:
        yield (
            f"{where} is of type {kind!r}, which local_aws does not support; "
            f"it runs {', '.join(STEP_TYPES)}"
        )
        return
    for member in sorted(set(step) - _STEP_MEMBERS):
        yield f"{where}: {member} is not supported by local_aws"
    if not isinstance(step.get("Arguments"), Mapping):
        yield f"{where} has no Arguments"
        return
    for dependency in step.get("DependsOn") or []:
        if not isinstance(dependency, str):
            yield (
                f"{where}: DependsOn {json.dumps(dependency)}, a run condition, "
                "is not supported by local_aws"
            )
    for policy in step.get("RetryPolicies") or []:
        yield from (f"{where}: {problem}" for problem in pipeline_retry.problems_of(policy))
    if kind == "Condition":
        for condition in step["Arguments"].get("Conditions") or []:
            yield from (
                f"{where}: {problem}" for problem in pipeline_conditions.problems_of(condition)
            )
    elif kind == "Fail" and "ErrorMessage" not in step["Arguments"]:
        yield f"{where} has no ErrorMessage"


def _step(step: Mapping[str, Any], branch: Branch | None) -> Step:
    arguments = step["Arguments"]
    own = {name: value for name, value in arguments.items() if name not in ("IfSteps", "ElseSteps")}
    needs = {name for path in references(own) if (name := step_named_in(path))}
    needs.update(step.get("DependsOn") or [])
    if branch is not None:
        needs.add(branch.condition)
    return Step(
        name=step["Name"],
        type=step["Type"],
        arguments=own,
        needs=frozenset(needs),
        branch=branch,
        display_name=step.get("DisplayName") or "",
        description=step.get("Description") or "",
        retry_policies=tuple(map(RetryPolicy.from_definition, step.get("RetryPolicies") or [])),
        property_files={
            file["PropertyFileName"]: PropertyFile(file["OutputName"], file["FilePath"])
            for file in step.get("PropertyFiles") or []
        },
    )


def _problems_between(steps: Sequence[Step], parameters: Sequence[Parameter]) -> Iterator[str]:
    """What is wrong with how steps refer to each other and to parameters."""
    names = [step.name for step in steps]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"two steps are named {name!r}"
    known = {parameter.name for parameter in parameters}
    for step in steps:
        for missing in sorted(step.needs - set(names)):
            yield f"step {step.name!r} refers to step {missing!r}, which does not exist"
        for path in references(step.arguments):
            root, _, rest = path.partition(".")
            if root == "Parameters" and rest not in known:
                yield f"step {step.name!r} refers to parameter {rest!r}, which does not exist"
            elif root == "Execution" and rest not in EXECUTION_VARIABLES:
                yield f"step {step.name!r} refers to the unknown execution variable {rest!r}"
            elif root not in ("Parameters", "Execution", "Steps"):
                yield f"step {step.name!r} has the unknown reference {path!r}"
    cycle = _steps_in_cycles(steps)
    if cycle:
        yield f"steps {', '.join(cycle)} wait for each other"


def _steps_in_cycles(steps: Sequence[Step]) -> list[str]:
    """Names of the steps that could never start: those in a cycle, and those behind one."""
    names = {step.name for step in steps}
    waiting = {step.name: step.needs & names for step in steps}
    while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in ready:
            del waiting[name]
    return sorted(waiting)
