"""An account with CodeBuild: projects, sources in S3, and builds that run to their end."""

from __future__ import annotations

import io
import json
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local_aws.codebuild.service import Builds
from local_aws.event_bus import Event, EventBus
from local_aws.gateway import Gateway

IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"


class BuildAccount:
    """Short ways to make projects and to run builds; names are unique."""

    def __init__(self, gateway: Gateway, events: list[Event]) -> None:
        own = gateway.own
        self.own = own
        self.events = events
        self.codebuild = own.client("codebuild")
        self.s3 = own.client("s3")
        self.bucket = f"builds-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.role_arn = self.create_role("codebuild.amazonaws.com")

    def create_role(self, principal: str) -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": principal},
            "Action": "sts:AssumeRole",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        role = self.own.client("iam").create_role(
            RoleName=f"role-{uuid.uuid4().hex[:12]}", AssumeRolePolicyDocument=policy
        )
        return str(role["Role"]["Arn"])

    def put_zip(self, files: Mapping[str, str]) -> str:
        """The location `bucket/key` of a zip archive with these files."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, textwrap.dedent(text))
        key = f"sources/{uuid.uuid4().hex}.zip"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=buffer.getvalue())
        return f"{self.bucket}/{key}"

    def definition(
        self, buildspec: str = "", *, files: Mapping[str, str] | None = None, **members: Any
    ) -> dict[str, Any]:
        """CreateProject's arguments; without `files` the buildspec is the project's own."""
        if files is None:
            source = {"type": "NO_SOURCE", "buildspec": textwrap.dedent(buildspec)}
        else:
            named = {"buildspec.yml": buildspec} if buildspec else {}
            source = {"type": "S3", "location": self.put_zip({**named, **files})}
        variables = members.pop("variables", [])
        return {
            "name": f"p-{uuid.uuid4().hex[:12]}",
            "source": source,
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": IMAGE,
                "computeType": "BUILD_GENERAL1_SMALL",
                "environmentVariables": variables,
            },
            "serviceRole": self.role_arn,
            **members,
        }

    def create_project(self, buildspec: str = "", **members: Any) -> str:
        """The name of a new project."""
        definition = self.definition(buildspec, **members)
        return str(self.codebuild.create_project(**definition)["project"]["name"])

    def start(self, name: str, **overrides: Any) -> str:
        """The id of a new build."""
        return str(self.codebuild.start_build(projectName=name, **overrides)["build"]["id"])

    def build(self, build_id: str) -> dict[str, Any]:
        """The build as it is now."""
        (build,) = self.codebuild.batch_get_builds(ids=[build_id])["builds"]
        return dict(build)

    def finished(self, build_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """The build once it is complete."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            build = self.build(build_id)
            if build["buildComplete"]:
                return build
            time.sleep(0.1)
        raise AssertionError(f"{build_id} still runs after {seconds} s: {self.log(build)}")

    def run(self, buildspec: str = "", **members: Any) -> dict[str, Any]:
        """The complete first build of a new project."""
        return self.finished(self.start(self.create_project(buildspec, **members)))

    def log(self, build: Mapping[str, Any]) -> str:
        """What the build's stream in CloudWatch Logs holds."""
        logs = build["logs"]
        stream = self.own.client("logs").get_log_events(
            logGroupName=logs["groupName"], logStreamName=logs["streamName"], limit=1000
        )
        return "\n".join(event["message"] for event in stream["events"])

    def build_arn(self, build_id: str) -> str:
        """The ARN of a build."""
        return self.own.arn("codebuild", f"build/{build_id}")

    def content(self, build: Mapping[str, Any]) -> dict[str, str]:
        """Name -> text of the files in the build's artifact, a zip archive."""
        bucket, _, key = build["artifacts"]["location"].removeprefix("arn:aws:s3:::").partition("/")
        body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}


def phase_of(build: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The phase of that type."""
    (phase,) = [phase for phase in build["phases"] if phase["phaseType"] == name]
    return dict(phase)


@pytest.fixture(scope="session")
def phase() -> Callable[[Mapping[str, Any], str], dict[str, Any]]:
    return phase_of


@pytest.fixture(scope="session")
def make_account() -> Callable[..., Iterator[BuildAccount]]:
    """Makes a gateway with nothing but CodeBuild; the arguments are those of Builds."""

    def make(folder: Path, **settings: Any) -> Iterator[BuildAccount]:
        events: list[Event] = []

        def services(own: Any) -> list[Builds]:
            bus = EventBus(own)
            bus.subscribe(events.append)
            return [Builds(own, bus, **settings)]

        gateway = Gateway(folder, services).start()
        yield BuildAccount(gateway, events)
        gateway.close()

    return make


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module")
def account(
    tmp_path_factory: pytest.TempPathFactory, make_account: Callable[..., Iterator[BuildAccount]]
) -> Iterator[BuildAccount]:
    yield from make_account(tmp_path_factory.mktemp("builds"))
