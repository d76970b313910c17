"""CodeBuild: projects, and builds that really run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.codebuild.build_record import BuildRecord
from local_aws.codebuild.build_requests import DEFAULTS, check_project, invalid, overridden
from local_aws.codebuild.build_run import PRINCIPAL, BuildRun
from local_aws.codebuild.image import BuildImages
from local_aws.containers.container import Isolation, detect_isolation
from local_aws.errors import AwsError
from local_aws.event_bus import EventBus
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.workers import only_logged, start_worker

STOP_SECONDS = 20.0
MOST_AT_ONCE = 8
_INITIATOR = "CODEBUILD_INITIATOR"


class Builds:
    """The projects and builds of one local_aws, in memory; each build has a thread of its own.

    `minute_seconds` is how long a minute of a project's limits takes; at most `most_at_once` builds
    run, the others wait in the queue; `isolation` is whether they see their folder as
    /opt/codebuild (default: where the system allows it).
    """

    kept = ("_projects", "_numbers")

    def __init__(
        self,
        own: OwnAws,
        bus: EventBus,
        *,
        cache_dir: Path | None = None,
        minute_seconds: float = 60.0,
        most_at_once: int = MOST_AT_ONCE,
        isolation: Isolation | None = None,
    ) -> None:
        self._own = own
        self._bus = bus
        self._images = BuildImages(cache_dir)
        self._minute_seconds = minute_seconds
        self._most_at_once = most_at_once
        self._isolation = isolation
        self._lock = threading.RLock()
        self._turn = threading.Condition()
        self._running: set[str] = set()
        self._line: list[str] = []
        self._projects: dict[str, dict[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._builds: dict[str, BuildRecord] = {}
        self._runs: dict[str, BuildRun] = {}
        self._threads: list[threading.Thread] = []
        self._closed = False

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        handlers: Mapping[str, Handler] = {
            "CreateProject": self.create_project,
            "UpdateProject": self.update_project,
            "DeleteProject": self.delete_project,
            "BatchGetProjects": self.batch_get_projects,
            "StartBuild": self.start_build,
            "StopBuild": self.stop_build,
            "BatchGetBuilds": self.batch_get_builds,
            "ListBuildsForProject": self.list_builds_for_project,
        }
        return {("codebuild", name): handler for name, handler in handlers.items()}

    def close(self) -> None:
        """Stop every build and wait until its processes are gone."""
        with self._lock:
            self._closed = True
            runs, threads = list(self._runs.values()), list(self._threads)
        for run in runs:
            run.build.stop_requested.set()
        with self._turn:
            self._turn.notify_all()
        stopping = [start_worker(f"stop {r.build.id}", r.stop, only_logged) for r in runs]
        for thread in (*stopping, *threads):
            thread.join(STOP_SECONDS)

    def create_project(self, call: Call) -> Mapping[str, Any]:
        name = call.params["name"]
        project = {**DEFAULTS, **call.params}
        self._check(project, "CreateProject")
        now = datetime.now(UTC)
        project |= {
            "arn": self._own.arn("codebuild", f"project/{name}"),
            "created": now,
            "lastModified": now,
        }
        with self._lock:
            if name in self._projects:
                raise AwsError(
                    "ResourceAlreadyExistsException", f"Project already exists: {project['arn']}"
                )
            self._projects[name] = project
        return {"project": _described(project)}

    def update_project(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            former = self._project(call.params["name"])
            project = {**former, **call.params, "lastModified": datetime.now(UTC)}
            self._check(_settings(project), "UpdateProject")
            self._projects[project["name"]] = project
        return {"project": _described(project)}

    def delete_project(self, call: Call) -> None:
        """Forget the project, if there is one; its builds stay."""
        with self._lock:
            self._projects.pop(_last_part(call.params["name"]), None)

    def batch_get_projects(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            names = {name: self._projects.get(_last_part(name)) for name in call.params["names"]}
        return {
            "projects": [_described(project) for project in names.values() if project],
            "projectsNotFound": [name for name, project in names.items() if not project],
        }

    def start_build(self, call: Call) -> Mapping[str, Any]:
        """The build, which runs from now on."""
        return {"build": self._start(call.params, call.caller_arn)}

    def stop_build(self, call: Call) -> Mapping[str, Any]:
        """The build once it has ended; one that had ended before stays as it is."""
        build = self._build(call.params["id"])
        with self._lock:
            run = self._runs.get(build.id)
        if run is not None:
            run.stop()
            with self._turn:
                self._turn.notify_all()
            build.done.wait(STOP_SECONDS)
        return {"build": build.describe()}

    def batch_get_builds(self, call: Call) -> Mapping[str, Any]:
        with self._lock:
            builds = {name: self._builds.get(_build_id(name)) for name in call.params["ids"]}
        return {
            "builds": [build.describe() for build in builds.values() if build],
            "buildsNotFound": [name for name, build in builds.items() if not build],
        }

    def list_builds_for_project(self, call: Call) -> Mapping[str, Any]:
        name = self._project(call.params["projectName"])["name"]
        with self._lock:
            ids = [build.id for build in self._builds.values() if build.project_name == name]
        if call.params.get("sortOrder", "DESCENDING") == "DESCENDING":
            ids.reverse()
        page, more = page_of(ids, str, call.params, following="nextToken")
        return {"ids": page, **more}

    def _start(self, start: Mapping[str, Any], caller_arn: str) -> Mapping[str, Any]:
        project = self._project(start["projectName"])
        request = overridden(_settings(project), start)
        self._require_role(request["serviceRole"])
        with self._lock:
            if self._closed:
                raise AwsError("ServiceUnavailable", "local_aws is shutting down", 503)
            self._require_room(project)
            name = project["name"]
            self._numbers[name] = self._numbers.get(name, 0) + 1
            build = BuildRecord(
                request,
                build_number=self._numbers[name],
                arn_prefix=self._own.arn("codebuild", ""),
                initiator=_initiator(request, caller_arn),
                bus=self._bus,
            )
            run = BuildRun(
                self._own,
                self._images,
                build,
                self._minute_seconds,
                self._isolation or detect_isolation(),
                self._wait_for_turn,
            )
            self._builds[build.id] = build
            self._line.append(build.id)
            self._runs[build.id] = run
            described = build.describe()
            self._threads = [other for other in self._threads if other.is_alive()]
            self._threads.append(start_worker(build.id, lambda: self._run(run), run.fail))
        return described

    def _require_room(self, project: Mapping[str, Any]) -> None:
        limit, name = project.get("concurrentBuildLimit"), project["name"]
        builds = [run.build for run in self._runs.values() if run.build.project_name == name]
        # A run outlives its build by the seconds that its folder takes to be removed.
        if limit and sum(not build.complete for build in builds) >= limit:
            raise AwsError(
                "AccountLimitExceededException",
                f"Cannot have more than {limit} builds in queue for the project {name}",
            )

    def _run(self, run: BuildRun) -> None:
        try:
            run.run()
        finally:
            with self._lock:
                self._runs.pop(run.build.id, None)
            with self._turn:
                self._running.discard(run.build.id)
                self._line = [waiting for waiting in self._line if waiting != run.build.id]
                self._turn.notify_all()

    def _wait_for_turn(self, build: BuildRecord, seconds: float) -> bool:
        """Wait in line, as it was started; False if that took too long."""

        def is_next() -> bool:
            room = len(self._running) < self._most_at_once and self._line[0] == build.id
            return room or build.stop_requested.is_set()

        with self._turn:
            has_turn = self._turn.wait_for(is_next, seconds)
            self._line.remove(build.id)
            if has_turn:
                self._running.add(build.id)
            self._turn.notify_all()
        return has_turn

    def _check(self, project: Mapping[str, Any], operation: str) -> None:
        check_project(project, operation)
        self._require_role(project["serviceRole"])

    def _require_role(self, role_arn: str) -> None:
        """Raise AwsError unless CodeBuild may take on the role."""
        try:
            self._own.credentials_environment(role_arn, principal=PRINCIPAL)
        except AwsError as err:
            raise invalid(
                f"CodeBuild is not authorized to perform: sts:AssumeRole on {role_arn}: {err}"
            ) from err

    def _project(self, name: str) -> dict[str, Any]:
        with self._lock:
            project = self._projects.get(_last_part(name))
        if project is None:
            arn = self._own.arn("codebuild", f"project/{_last_part(name)}")
            raise AwsError("ResourceNotFoundException", f"Project cannot be found: {arn}")
        return project

    def _build(self, name: str) -> BuildRecord:
        with self._lock:
            build = self._builds.get(_build_id(name))
        if build is None:
            raise AwsError("ResourceNotFoundException", f"Build cannot be found: {name}")
        return build


def _settings(project: Mapping[str, Any]) -> dict[str, Any]:
    """The project as its request said it."""
    return {k: v for k, v in project.items() if k not in ("arn", "created", "lastModified")}


def _described(project: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"cache": {"type": "NO_CACHE"}, "projectVisibility": "PRIVATE", **project}


def _initiator(request: Mapping[str, Any], caller_arn: str) -> str:
    """Who started it: the variable that CodePipeline sets, or the caller."""
    for variable in request["environment"]["environmentVariables"]:
        if variable["name"] == _INITIATOR:
            return str(variable["value"])
    return caller_arn.partition("/")[2] or "unknown"


def _last_part(name: str) -> str:
    """A project's name from its name or ARN."""
    return name.rpartition("/")[2]


def _build_id(name: str) -> str:
    """A build's id from its id or ARN."""
    return name.partition(":build/")[2] or name
