"""What is wrong with single actions: provider, configuration, artifacts, variable references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from local_aws.codepipeline.actions.action import Provider
from local_aws.codepipeline.actions.providers import PROVIDERS
from local_aws.codepipeline.definition import Action, Pipeline, Stage
from local_aws.codepipeline.variables import (
    EXECUTION_VARIABLES,
    PIPELINE_VARIABLES,
    is_well_formed,
    references,
)

_COMPUTE_ONLY = ("commands", "environmentVariables", "outputVariables")


def action_problems(pipeline: Pipeline, region: str) -> list[str]:
    """All problems of all actions, in the order in which the actions run."""
    problems: list[str] = []
    for _, action in pipeline.actions():
        provider = PROVIDERS.get((action.category, action.provider))
        owner = action.declaration["actionTypeId"]["owner"]
        version = action.declaration["actionTypeId"]["version"]
        if provider is None or owner != "AWS" or version != "1":
            known = ", ".join("/".join(key) for key in PROVIDERS)
            problems.append(
                f"ActionType (Category: '{action.category}', Provider: '{action.provider}', "
                f"Owner: '{owner}', Version: '{version}') in action '{action.name}' is not "
                f"available in local_aws, which has, each with Owner 'AWS', Version '1': {known}"
            )
            continue
        problems.extend(_declaration_problems(action, region))
        problems.extend(_configuration_problems(action, provider))
        problems.extend(_count_problems("input", action.name, action.inputs, provider.inputs))
        problems.extend(_count_problems("output", action.name, action.outputs, provider.outputs))
    problems.extend(_artifact_problems(pipeline))
    problems.extend(_namespace_problems(pipeline))
    return problems


def repeated(names: Sequence[str]) -> list[str]:
    """The names that are there more than once."""
    return sorted({name for name in names if names.count(name) > 1})


def _declaration_problems(action: Action, region: str) -> Iterable[str]:
    for key in _COMPUTE_ONLY:
        if action.declaration.get(key):
            yield (
                f"The following action cannot contain a {key} field: {action.name}. "
                f"To use the {key} field, use a compute action (which local_aws does not have)."
            )
    if any("files" in artifact for artifact in action.declaration["outputArtifacts"]):
        yield f"outputArtifacts of action {action.name}: files is for compute actions"
    if action.declaration.get("region", region) != region:
        yield f"local_aws has one region, {region}; action {action.name} asks for another"
    if action.timeout_minutes is not None and action.category != "Approval":
        yield f"timeoutInMinutes is for manual approvals; action {action.name} is none"


def _configuration_problems(action: Action, provider: Provider) -> Iterable[str]:
    configuration = action.configuration
    for key in sorted(provider.required - set(configuration)):
        yield (
            f"Action configuration for action '{action.name}' is missing required "
            f"configuration '{key}'"
        )
    known = provider.required | provider.optional
    for key in sorted(set(configuration) - known):
        yield (
            f"Action configuration for action '{action.name}' contains unknown configuration "
            f"'{key}'; local_aws knows: {', '.join(sorted(known))}"
        )
    for problem in provider.problems(action):
        yield f"Action configuration for action '{action.name}': {problem}"


def _count_problems(
    kind: str, action_name: str, artifacts: Sequence[str], limits: tuple[int, int]
) -> Iterable[str]:
    least, most = limits
    if len(artifacts) < least:
        yield (
            f"Action {action_name} declares {len(artifacts)} {kind} artifacts which is less than "
            f"the minimum count ({least})"
        )
    if len(artifacts) > most:
        yield (
            f"Action {action_name} declares {len(artifacts)} {kind} artifacts which is more than "
            f"the maximum count ({most})"
        )


def _artifact_problems(pipeline: Pipeline) -> Iterable[str]:
    outputs = [name for _, action in pipeline.actions() for name in action.outputs]
    for name in repeated(outputs):
        yield f"Output artifact {name} is declared by more than one action"
    for position, (_, action) in _before_groups(pipeline):
        earlier = {name for _, before in position for name in before.outputs}
        for name in action.inputs:
            if name not in earlier:
                why = "only by a later action" if name in outputs else "by no action"
                yield (
                    f"Input artifact {name} of action {action.name} is declared as output "
                    f"artifact {why}"
                )


def _namespace_problems(pipeline: Pipeline) -> Iterable[str]:
    declared = [action.namespace for _, action in pipeline.actions() if action.namespace]
    for name in repeated(declared):
        yield f"The namespace {name} is declared by more than one action"
    for name in sorted({PIPELINE_VARIABLES, EXECUTION_VARIABLES} & set(declared)):
        yield f"The namespace {name} is reserved"
    for before, (stage, action) in _before_groups(pipeline):
        known = {earlier.namespace for _, earlier in before} | {EXECUTION_VARIABLES}
        for key, text in action.configuration.items():
            for reference in references(text):
                namespace = reference.partition(".")[0]
                if is_well_formed(reference) and namespace in known:
                    continue
                yield (
                    "Valid format for a pipeline execution variable reference is a namespace and "
                    "a key separated by a period (.). The following pipeline execution variables "
                    "are referencing a namespace that does not exist. "
                    f"StageName=[{stage.name}], ActionName=[{action.name}], "
                    f"ActionConfigurationKey=[{key}], VariableReferenceText=[{reference}]"
                )


Placed = tuple[Stage, Action]


def _before_groups(pipeline: Pipeline) -> Iterable[tuple[list[Placed], Placed]]:
    """Each action, with those that are over when it begins: of other run orders and stages."""
    before: list[Placed] = []
    for stage in pipeline.stages:
        for group in stage.run_orders():
            for action in group:
                yield before, (stage, action)
            before = before + [(stage, action) for action in group]
