"""CodeCommit, CodeBuild, CodePipeline, and connections to repositories elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.resource_types.api_resource import ApiResource
from local_aws.cloudformation.resource_types.calls import call
from local_aws.cloudformation.resource_types.described import changed
from local_aws.cloudformation.resource_types.resource_type import (
    Physical,
    Provisioner,
    ResourceType,
)
from local_aws.cloudformation.resource_types.seeding import seed


@dataclass(frozen=True, kw_only=True)
class _Repository(ApiResource):
    """A repository; Code seeds it once, later changes of Code do nothing, as on AWS.

    AWS renames a repository in place; here that is refused, and there is no CloneUrlSsh.
    """

    def furnish(self, by: Provisioner, physical: Physical, properties: Mapping[str, Any]) -> None:
        if "Code" in properties:
            seed(by, physical.attributes["CloneUrlHttp"], properties["Code"])

    def update(
        self, by: Provisioner, physical: Physical, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        if "RepositoryDescription" in changed(old, new):
            call(
                by.client("codecommit"),
                "UpdateRepositoryDescription",
                {
                    "RepositoryName": physical.attributes["Name"],
                    "RepositoryDescription": new.get("RepositoryDescription", ""),
                },
            )
        super().update(by, physical, old, new)


@dataclass(frozen=True, kw_only=True)
class _Pipeline(ApiResource):
    """A pipeline, whose actions may have a JSON document as configuration."""

    def create(self, by: Provisioner, properties: Mapping[str, Any], name: str) -> Physical:
        made = super().create(by, properties, name)
        return Physical(made.id, {**made.attributes, "Arn": by.own.arn("codepipeline", made.id)})

    def parameters(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        stages = [
            {**stage, "Actions": [_action(action) for action in stage.get("Actions", [])]}
            for stage in properties["Stages"]
        ]
        return {**properties, "Stages": stages}


def _action(action: Mapping[str, Any]) -> dict[str, Any]:
    configuration = action.get("Configuration")
    if isinstance(configuration, str):  # the schema takes a JSON document too
        return {**action, "Configuration": json.loads(configuration)}
    return dict(action)


TYPES: tuple[ResourceType, ...] = (
    _Repository(
        type="AWS::CodeCommit::Repository",
        service="codecommit",
        creates="CreateRepository",
        deletes="DeleteRepository",
        named_by="RepositoryName",
        identified_by="RepositoryName",
        ref="RepositoryId",
        answers={
            "RepositoryId": "repositoryMetadata.repositoryId",
            "Arn": "repositoryMetadata.Arn",
            "CloneUrlHttp": "repositoryMetadata.cloneUrlHttp",
            "Name": "repositoryMetadata.repositoryName",
        },
        apart=frozenset({"Code"}),
        refused=frozenset({"Triggers"}),
        immutable=frozenset({"RepositoryName", "KmsKeyId"}),
        attributes=frozenset({"Arn", "CloneUrlHttp", "Name", "RepositoryId"}),
    ),
    ApiResource(
        type="AWS::CodeBuild::Project",
        service="codebuild",
        creates="CreateProject",
        updates="UpdateProject",
        deletes="DeleteProject",
        named_by="Name",
        identified_by="Name",
        ref="Name",
        answers={"Arn": "project.arn"},
        resets={
            "AutoRetryLimit": 0,
            "BadgeEnabled": False,
            "Cache": {"Type": "NO_CACHE"},
            "Description": "",
            "EncryptionKey": "",
            "FileSystemLocations": [],
            "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED"}},
            "QueuedTimeoutInMinutes": 480,
            "SecondarySourceVersions": [],
            "SecondarySources": [],
            "SourceVersion": "",
            "TimeoutInMinutes": 60,
            "VpcConfig": {},
        },
        refused=frozenset({"Triggers", "Visibility", "ResourceAccessRole"}),
        attributes=frozenset({"Arn"}),
    ),
    _Pipeline(
        type="AWS::CodePipeline::Pipeline",
        service="codepipeline",
        creates="CreatePipeline",
        updates="UpdatePipeline",
        deletes="DeletePipeline",
        named_by="Name",
        identified_by="Name",
        ref="Name",
        wrapper="pipeline",
        refused=frozenset(
            {"ArtifactStores", "DisableInboundStageTransitions", "RestartExecutionOnUpdate"}
        ),
        attributes=frozenset({"Arn"}),
    ),
)
