"""What CreatePipeline and UpdatePipeline refuse, with AWS's error codes; its words where known.

All problems of one kind are in one message. What AWS has and local_aws doesn't is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from local_aws.codepipeline.action_checks import action_problems, repeated
from local_aws.codepipeline.actions.action import PRINCIPAL
from local_aws.codepipeline.definition import Pipeline
from local_aws.errors import AwsError
from local_aws.own_aws import OwnAws


def check_pipeline(own: OwnAws, pipeline: Pipeline) -> None:
    """Raise AwsError unless the pipeline can run: its structure, then the role, then the bucket."""
    for code, problems in (
        ("InvalidStructureException", _structure_problems(pipeline)),
        ("InvalidStageDeclarationException", _stage_problems(pipeline)),
        ("InvalidActionDeclarationException", action_problems(pipeline, own.region)),
        ("InvalidStructureException", _trigger_problems(pipeline)),
    ):
        found = list(problems)
        if found:
            raise AwsError(code, "; ".join(found))
    _require_roles(own, pipeline)
    _require_bucket(own, pipeline)


def _structure_problems(pipeline: Pipeline) -> Iterable[str]:
    declaration, stages = pipeline.declaration, pipeline.stages
    if "artifactStores" in declaration:
        yield "local_aws does not emulate artifactStores; give one artifactStore"
    elif "artifactStore" not in declaration:
        yield "Pipeline must have an artifactStore"
    if len(stages) < 2:
        yield (
            f"Pipeline has only {len(stages)} stage(s). "
            "There should be a minimum of 2 stages in a pipeline"
        )
    if stages and any(action.category != "Source" for action in stages[0].actions):
        yield "Pipeline should start with a stage that only contains source actions"
    for stage in stages[1:]:
        for action in stage.actions:
            if action.category == "Source":
                yield (
                    f"Source action {action.name} is in stage {stage.name}: "
                    "only the first stage may contain source actions"
                )
    if declaration.get("variables"):
        yield "local_aws does not emulate variables of a pipeline"
    if pipeline.execution_mode != "SUPERSEDED":
        yield f"local_aws does not emulate executionMode {pipeline.execution_mode}; use SUPERSEDED"
    if pipeline.type == "V1":
        yield from _v2_problems(pipeline)


def _v2_problems(pipeline: Pipeline) -> Iterable[str]:
    if pipeline.declaration.get("triggers"):
        yield "triggers can be used in pipelines of type V2 only"
    for stage in pipeline.stages:
        for key in ("onFailure", "onSuccess", "beforeEntry"):
            if key in stage.declaration:
                yield f"{key} of stage {stage.name} can be used in pipelines of type V2 only"


def _stage_problems(pipeline: Pipeline) -> Iterable[str]:
    for name in repeated([stage.name for stage in pipeline.stages]):
        yield f"The stage name {name} is used more than once"
    for position, stage in enumerate(pipeline.stages):
        if not stage.actions:
            yield f"Stage {stage.name} must contain at least one action"
        for name in repeated([action.name for action in stage.actions]):
            yield f"Stage {stage.name} has more than one action with the name {name}"
        for key in ("onSuccess", "beforeEntry", "blockers"):
            if stage.declaration.get(key):
                yield f"local_aws does not emulate {key}, which stage {stage.name} has"
        failure = stage.declaration.get("onFailure", {})
        if failure.get("conditions"):
            yield f"local_aws does not emulate onFailure.conditions, which stage {stage.name} has"
        if failure.get("result", "FAIL") == "SKIP":
            yield f"onFailure of stage {stage.name}: SKIP is for conditions, which local_aws lacks"
        if failure.get("result") == "ROLLBACK" and position == 0:
            yield f"onFailure of stage {stage.name}: a source stage cannot be rolled back"
        if failure.get("result") == "RETRY" or "retryConfiguration" in failure:
            yield f"local_aws does not emulate RETRY, which onFailure of stage {stage.name} has"


def _trigger_problems(pipeline: Pipeline) -> Iterable[str]:
    connections = {
        action.name
        for action in pipeline.stages[0].actions
        if action.provider == "CodeStarSourceConnection"
    }
    triggers = pipeline.declaration.get("triggers", [])
    for trigger in triggers:
        git = trigger["gitConfiguration"]
        name = git["sourceActionName"]
        if name not in connections:
            yield (
                f"Trigger for {name}: there is no source action of this name with the provider "
                "CodeStarSourceConnection"
            )
        if git.get("pullRequest"):
            yield f"local_aws does not emulate pullRequest, which the trigger for {name} has"
        for push_filter in git.get("push", []):
            yield from _push_problems(name, push_filter)
    for name in repeated([trigger["gitConfiguration"]["sourceActionName"] for trigger in triggers]):
        yield f"Source action {name} has more than one trigger"


def _push_problems(name: str, push_filter: Mapping[str, Any]) -> Iterable[str]:
    if "tags" in push_filter:
        yield f"local_aws does not emulate tags, which the trigger for {name} has"
    for key, criteria in push_filter.items():
        if not criteria.get("includes") and not criteria.get("excludes"):
            yield f"Trigger for {name}: {key} needs includes or excludes"
        for pattern in (*criteria.get("includes", ()), *criteria.get("excludes", ())):
            if set(pattern) & set("[]{}\\"):
                yield f"local_aws does not emulate [ ], {{ }} and \\ in patterns: {pattern}"


def _require_roles(own: OwnAws, pipeline: Pipeline) -> None:
    roles = [("CodePipeline", pipeline.role_arn)]
    roles += [(pipeline.role_arn, a.role_arn) for _, a in pipeline.actions() if a.role_arn]
    for who, role_arn in roles:
        try:
            own.client("s3", role_arn, principal=PRINCIPAL)
        except AwsError as err:
            raise AwsError(
                "InvalidStructureException",
                f"{who} is not authorized to perform AssumeRole on role {role_arn}",
            ) from err


def _require_bucket(own: OwnAws, pipeline: Pipeline) -> None:
    s3 = own.client("s3", pipeline.role_arn, principal=PRINCIPAL)
    try:
        s3.get_bucket_versioning(Bucket=pipeline.bucket)  # what AWS asks, and so roles allow
    except ClientError as err:
        raise AwsError(
            "InvalidStructureException",
            f"The artifact store {pipeline.bucket} of pipeline {pipeline.name} is no bucket that "
            f"role {pipeline.role_arn} can reach: {err.response['Error']['Message']}",
        ) from err
