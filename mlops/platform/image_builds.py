"""Has CodeBuild build the container images, and follows it.

    sources ─▶ zip ─▶ the stack's bucket ─▶ StartBuild ─▶ phases as they begin ─▶ image's digest
               ╰─ what the last image was built from: nothing to do

infra/platform/images.yml makes the projects; a project knows where its source is, and the image's
parameter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from mlops.errors import DeploymentFailed, InputError
from mlops.platform.image_sources import IMAGES, ImageSource, image_source

Client = Callable[[str], Any]
Report = Callable[[str], None]

POLL_SECONDS = 5.0
LAST_LINES = 25
_SUCCEEDED = "SUCCEEDED"
# Phases of which a person expects something; the others take a moment.
_TOLD = ("QUEUED", "PROVISIONING", "INSTALL", "PRE_BUILD", "BUILD")


def build_images(
    client: Client,
    *,
    report: Report,
    images: Sequence[str] = tuple(IMAGES),
    force: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> dict[str, str]:
    """Image -> `<repository>@sha256:<digest>` as its parameter says it, all of them built.

    `client` gives boto3 clients by service, such as `Account.client`. An image is built when its
    sources are not those of its last good build, or when `force` is set. All builds run at once;
    `report` is told in lines. Raises InputError when there are no projects to build with, and
    DeploymentFailed, after the last build's end, when one failed. botocore's errors pass.
    """
    codebuild = client("codebuild")
    projects = _find_projects(codebuild, images)
    running: dict[str, str] = {}
    for image, project in projects.items():
        source = image_source(image)
        if not force and _is_built(client, project, source):
            report(f"{image} image: built from these sources already; --rebuild-images builds anew")
            continue
        version = _upload(client("s3"), project, source)
        running[_start(codebuild, project, version)] = image
        report(f"{image} image: build started, it takes {project.duration}")
    failed = _follow(codebuild, running, report, poll_seconds)
    if failed:
        raise _failure(client("logs"), failed, running)
    return {image: _published(client("ssm"), project) for image, project in projects.items()}


@dataclass(frozen=True, kw_only=True)
class _Project:
    """A CodeBuild project of infra/platform/images.yml."""

    name: str
    bucket: str
    key: str
    parameter: str

    @property
    def duration(self) -> str:
        return "about 15 minutes" if "inference" in self.name else "about 5 minutes"


def _find_projects(codebuild: Any, images: Sequence[str]) -> dict[str, _Project]:
    names = {f"sagemaker-mlflow-{image}-image": image for image in images}
    answer = codebuild.batch_get_projects(names=list(names))
    if answer["projectsNotFound"]:
        raise InputError(
            f"no CodeBuild project {', '.join(answer['projectsNotFound'])} in the region "
            f"{codebuild.meta.region_name}; deploy infra/platform/images.yml first"
        )
    found = {project["name"]: _project(project) for project in answer["projects"]}
    return {image: found[name] for name, image in names.items()}


def _project(answer: Mapping[str, Any]) -> _Project:
    bucket, _, key = answer["source"]["location"].partition("/")
    variables = {
        variable["name"]: variable["value"]
        for variable in answer["environment"]["environmentVariables"]
    }
    return _Project(name=answer["name"], bucket=bucket, key=key, parameter=variables["PARAMETER"])


def _is_built(client: Client, project: _Project, source: ImageSource) -> bool:
    """Whether a build has succeeded since these very sources were uploaded."""
    try:
        stored = client("s3").head_object(
            Bucket=project.bucket, Key=project.key, ChecksumMode="ENABLED"
        )
    except ClientError as err:
        if err.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return False
        raise
    if stored.get("ChecksumSHA256") != source.sha256 or not _is_published(client("ssm"), project):
        return False
    codebuild = client("codebuild")
    ids = codebuild.list_builds_for_project(projectName=project.name)["ids"]
    builds = codebuild.batch_get_builds(ids=ids[:100])["builds"] if ids else []
    return any(
        build["startTime"] >= stored["LastModified"]
        for build in builds
        if build["buildStatus"] == _SUCCEEDED
    )


def _upload(s3: Any, project: _Project, source: ImageSource) -> str:
    """The version of the uploaded object, so that the build takes no other."""
    answer = s3.put_object(
        Bucket=project.bucket,
        Key=project.key,
        Body=source.content,
        ChecksumAlgorithm="SHA256",  # by which the next run knows what is there
    )
    return str(answer["VersionId"])


def _start(codebuild: Any, project: _Project, version: str) -> str:
    try:
        started = codebuild.start_build(projectName=project.name, sourceVersion=version)
    except ClientError as err:
        if err.response["Error"]["Code"] != "AccountLimitExceededException":
            raise
        raise InputError(
            f"{project.name} is building already, or the account may not run another build "
            f"({err.response['Error']['Message']}); wait for its end and try again"
        ) from err
    return str(started["build"]["id"])


def _follow(
    codebuild: Any, running: Mapping[str, str], report: Report, poll_seconds: float
) -> list[Mapping[str, Any]]:
    """The builds that failed, once all have ended."""
    open_builds = dict(running)
    phases: dict[str, str] = {}
    failed = []
    while open_builds:
        for build in codebuild.batch_get_builds(ids=list(open_builds))["builds"]:
            image, phase = open_builds[build["id"]], build["currentPhase"]
            if phase != phases.get(build["id"]) and phase in _TOLD:
                report(f"{image} image: {phase.lower().replace('_', '-')}")
            phases[build["id"]] = phase
            if build["buildComplete"]:
                del open_builds[build["id"]]
                seconds = (build["endTime"] - build["startTime"]).total_seconds()
                status = build["buildStatus"].lower().replace("_", " ")
                report(f"{image} image: {status} after {seconds / 60:.1f} minutes")
                if build["buildStatus"] != _SUCCEEDED:
                    failed.append(build)
        if open_builds:
            time.sleep(poll_seconds)
    return failed


def _failure(
    logs: Any, failed: Sequence[Mapping[str, Any]], images: Mapping[str, str]
) -> DeploymentFailed:
    names = " and ".join(images[build["id"]] for build in failed)
    reasons = [
        f"{images[build['id']]}: {context['message']}"
        for build in failed
        for phase in build["phases"]
        for context in phase.get("contexts", ())
        if context.get("message")
    ]
    remedies = []
    for build in failed:
        remedies += [
            f"The last lines of the {images[build['id']]} image's log:",
            *(f"    {line}" for line in _last_lines(logs, build)),
            f"All of it: {build['logs'].get('deepLink', build['id'])}",
        ]
    remedies.append("A failed build publishes nothing: the image from before stays in use.")
    return DeploymentFailed(f"could not build the {names} image", reasons, remedies)


def _last_lines(logs: Any, build: Mapping[str, Any]) -> list[str]:
    place = build["logs"]
    if "streamName" not in place:
        return ["(it has none)"]
    try:
        answer = logs.get_log_events(
            logGroupName=place["groupName"],
            logStreamName=place["streamName"],
            startFromHead=False,
            limit=LAST_LINES,
        )
    except ClientError as err:  # why the build failed matters more
        return [f"(can not be read: {err})"]
    return [event["message"].rstrip() for event in answer["events"]][-LAST_LINES:]


def _is_published(ssm: Any, project: _Project) -> bool:
    return not ssm.get_parameters(Names=[project.parameter])["InvalidParameters"]


def _published(ssm: Any, project: _Project) -> str:
    return str(ssm.get_parameter(Name=project.parameter)["Parameter"]["Value"])
