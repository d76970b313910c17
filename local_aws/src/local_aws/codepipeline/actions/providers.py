"""Who does the work of which actions, by category and provider."""

from __future__ import annotations

from collections.abc import Mapping

from local_aws.codepipeline.actions.action import Provider
from local_aws.codepipeline.actions.approval import ManualApproval
from local_aws.codepipeline.actions.cloud_formation import CloudFormation
from local_aws.codepipeline.actions.code_build import CodeBuild
from local_aws.codepipeline.actions.git_source import CodeCommitSource, ConnectionSource

PROVIDERS: Mapping[tuple[str, str], Provider] = {
    ("Source", "CodeCommit"): CodeCommitSource(),
    ("Source", "CodeStarSourceConnection"): ConnectionSource(),
    ("Build", "CodeBuild"): CodeBuild(),
    ("Test", "CodeBuild"): CodeBuild(),
    ("Deploy", "CloudFormation"): CloudFormation(),
    ("Approval", "Manual"): ManualApproval(),
}
