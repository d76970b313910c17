"""Runs one build, phase by phase.

    QUEUED ─▶ PROVISIONING ─▶ DOWNLOAD_SOURCE ─▶ INSTALL ─▶ PRE_BUILD ─▶ BUILD ─▶ POST_BUILD
                                                    ╰─ failed ─╯  │                   │
                                                          ▼       ╰── or failed ──────┤
                                                      FINALIZING ◀── UPLOAD_ARTIFACTS ◀╯

The phases and who follows whom are those of the user guide, "Build phase transitions".
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_aws.codebuild import artifacts, variables
from local_aws.codebuild.artifacts import ArtifactError
from local_aws.codebuild.build_log import BuildLog, log_names
from local_aws.codebuild.build_record import (
    FAILED,
    FAULT,
    STOPPED,
    SUCCEEDED,
    TIMED_OUT,
    BuildRecord,
)
from local_aws.codebuild.build_shell import BuildShell, ShellStopped
from local_aws.codebuild.buildspec import PHASES, Buildspec, BuildspecError, Phase, parse_buildspec
from local_aws.codebuild.image import BuildEnvironment, BuildImageError, BuildImages
from local_aws.codebuild.sources import SourceError, download_source
from local_aws.containers.container import Isolation
from local_aws.containers.log_stream import LogStream
from local_aws.containers.path_rewriting import shell_safe
from local_aws.containers.supervision import StartError
from local_aws.own_aws import OwnAws

PRINCIPAL = "codebuild.amazonaws.com"
MOUNT_FOLDER, MOUNT_NAME = "/opt", "codebuild"


class PhaseFailed(Exception):
    """A phase ends badly; `code` and the message are its context."""

    def __init__(self, code: str, message: str, status: str = FAILED) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass
class BuildRun:
    """One build on its way; `stop` may be called from any thread."""

    own: OwnAws
    images: BuildImages
    build: BuildRecord
    minute_seconds: float
    isolation: Isolation
    wait_for_turn: Callable[[BuildRecord, float], bool]
    _shell: BuildShell | None = field(default=None, init=False)
    _deadline: float = field(default=0.0, init=False)
    _failed: bool = field(default=False, init=False)

    def run(self) -> None:
        """Run it; the outcome is in the record. `fail` is due when it raises."""
        log = self._open_log()
        try:
            self.build.publish()
            status = self._run_phases(log)
        finally:
            try:
                if self._shell is not None:
                    self._shell.close()
            finally:
                log.close()
        self.build.end(status)
        # After the end: an environment's 45,000 files take seconds.
        shutil.rmtree(self._work, ignore_errors=True)

    def fail(self, cause: str) -> None:
        """The build met a fault of local_aws."""
        if not self.build.complete:
            self.build.leave(FAULT, [("INTERNAL_SERVICE_ERROR", cause)])
            self.build.end(FAULT)
        shutil.rmtree(self._work, ignore_errors=True)

    def stop(self) -> None:
        """End it: what runs is ended, with all below it."""
        self.build.stop_requested.set()
        if self._shell is not None:
            self._shell.stop()

    @property
    def _work(self) -> Path:
        return self.own.state_dir.absolute() / "builds" / self.build.project_name / self.build.uuid

    def _open_log(self) -> BuildLog:
        path = self._work.with_suffix(".log")
        names = log_names(self.build.request, self.build.uuid)
        logs: dict[str, Any] = {"deepLink": path.as_uri(), "cloudWatchLogs": {"status": "DISABLED"}}
        stream = None
        if names is not None:
            group, name = names
            logs |= {
                "groupName": group,
                "streamName": name,
                "cloudWatchLogsArn": self.own.arn("logs", f"log-group:{group}:log-stream:{name}"),
                "cloudWatchLogs": {"status": "ENABLED", "groupName": group},
            }
            stream = LogStream(self._client("logs"), group, name, path)
        self.build.update(logs=logs)
        return BuildLog(path, self._work / "output", stream)

    def _client(self, service: str) -> Any:
        role_arn = self.build.request["serviceRole"]
        return self.own.client(service, role_arn, principal=PRINCIPAL)

    def _run_phases(self, log: BuildLog) -> str:
        """The build's status."""
        work = _WorkFolder.of(self._work, self.isolation)
        try:
            self._phase("QUEUED", log, self._queue)
            self._deadline = time.monotonic() + self._seconds("timeoutInMinutes")
            log.write("Running on local_aws: this machine's processes, no container")
            environment = self._phase(
                "PROVISIONING", log, lambda: self.images.prepare(work.root, work.visible_root)
            )
            plan = self._phase(
                "DOWNLOAD_SOURCE", log, lambda: self._download(work, environment, log)
            )
            self._shell = self._make_shell(plan, log)
            if self.build.stop_requested.is_set():
                self._shell.stop()
            if self._run_commands(plan, log):
                shell = self._shell
                self._phase(
                    "UPLOAD_ARTIFACTS", log, lambda: self._upload(plan, shell, log), may_fail=True
                )
            self._export(plan, log)
        except PhaseFailed as err:
            return err.status
        finally:
            if self.build.describe()["currentPhase"] not in ("QUEUED",):
                self._finalize(log)
        return FAILED if self._failed else SUCCEEDED

    def _finalize(self, log: BuildLog) -> None:
        self.build.enter("FINALIZING")
        log.send()
        self.build.leave(SUCCEEDED)

    def _seconds(self, member: str) -> float:
        return float(self.build.request[member]) * self.minute_seconds

    def _phase(
        self, name: str, log: BuildLog, work: Callable[[], Any], *, may_fail: bool = False
    ) -> Any:
        """What the work of a phase gives; raises PhaseFailed after writing down that it failed."""
        self.build.enter(name)
        try:
            answer = _told(work)
            if self.build.stop_requested.is_set():
                raise PhaseFailed("", "", STOPPED)
        except PhaseFailed as err:
            contexts = [(err.code, str(err))] if err.code else []
            self._write_end(log, name, err.status, contexts)
            if may_fail and err.status == FAILED:
                self._failed = True
                return None
            raise
        self._write_end(log, name, SUCCEEDED, [])
        return answer

    def _write_end(
        self, log: BuildLog, name: str, status: str, contexts: list[tuple[str, str]]
    ) -> None:
        code, message = contexts[0] if contexts else ("", "")
        log.write(f"Phase complete: {name} State: {status}")
        log.write(f"Phase context status code: {code} Message: {message}")
        log.send()
        self.build.leave(status, contexts or [("", "")])

    def _queue(self) -> None:
        if not self.wait_for_turn(self.build, self._seconds("queuedTimeoutInMinutes")):
            raise PhaseFailed("QUEUE_TIMED_OUT", "Build has timed out in the queue.", TIMED_OUT)

    def _download(self, work: _WorkFolder, environment: BuildEnvironment, log: BuildLog) -> _Plan:
        """Fetch the sources, read the buildspec, resolve the variables."""
        request = self.build.request
        s3 = self._client("s3")
        seen = {"CODEBUILD_SRC_DIR": work.visible_root / "src"}
        if request["source"]["type"] == "NO_SOURCE":
            work.source.mkdir()
        else:
            download_source(s3, request["source"]["location"], work.source)
        for source in request.get("secondarySources", ()):
            name = source["sourceIdentifier"]
            folder = work.root / "secondary" / name
            folder.parent.mkdir(exist_ok=True)
            download_source(s3, source["location"], folder)
            seen[f"CODEBUILD_SRC_DIR_{name}"] = work.visible_root / "secondary" / name
        log.write("Phase is DOWNLOAD_SOURCE")
        log.write(f"CODEBUILD_SRC_DIR={seen['CODEBUILD_SRC_DIR']}")
        text, location = self._read_buildspec(work)
        log.write(f"YAML location is {location}")
        spec = parse_buildspec(text)
        for key in spec.ignored:
            log.write(f"local_aws ignores {key} of the buildspec")
        if request.get("cache", {}).get("type", "NO_CACHE") != "NO_CACHE":
            log.write("local_aws ignores the project's cache")
        log.write("Processing environment variables")
        listed = request["environment"].get("environmentVariables", ())
        source = str(seen["CODEBUILD_SRC_DIR"])
        resolved = {
            **environment.variables,
            **variables.own_variables(self.build, source=source, region=self.own.region),
            **{name: str(folder) for name, folder in seen.items()},
            **variables.resolve(spec, listed, self._client),
            **self._credentials(),
        }
        if version := request.get("sourceVersion"):
            self.build.update(resolvedSourceVersion=version)
        log.write(f"Phases found in YAML: {len(spec.phases)}")
        for name, phase in spec.phases.items():
            log.write(f" {name.upper()}: {len(phase.commands)} commands")
        secret_names = variables.secret_names(listed)
        log.hide(resolved[name] for name in secret_names)
        return _Plan(spec, resolved, secret_names, work)

    def _credentials(self) -> dict[str, str]:
        return self.own.credentials_environment(
            self.build.request["serviceRole"], principal=PRINCIPAL
        )

    def _read_buildspec(self, work: _WorkFolder) -> tuple[str, str]:
        """The buildspec's text, and where it was."""
        named = self.build.request["source"].get("buildspec") or "buildspec.yml"
        if "\n" in named:
            return named, "the project"
        path = (work.source / named).resolve()
        if not path.is_relative_to(work.source.resolve()) or not path.is_file():
            raise BuildspecError(f"YAML file does not exist: {named}")
        return path.read_text(), f"{work.visible_root / 'src' / named}"

    def _make_shell(self, plan: _Plan, log: BuildLog) -> BuildShell:
        image = self.build.request["environment"]["image"]
        shell = ["bash"] if plan.spec.shell == "bash" else ["sh"]
        if shell == ["sh"] and "amazonlinux" in image and shutil.which("bash"):
            shell = ["bash", "--posix"]  # what sh is on Amazon Linux
        return BuildShell(
            shell,
            root=plan.work.root,
            visible_root=plan.work.visible_root,
            variables=plan.variables,
            cwd=plan.work.visible_root / "src",
            log_path=log.output_path,
            deadline=self._deadline,
            mounts=plan.work.mounts,
            on_wait=log.send,
        )

    def _run_commands(self, plan: _Plan, log: BuildLog) -> bool:
        """Run the phases with commands; whether the artifacts' turn comes."""
        for name in PHASES:
            phase = plan.spec.phases.get(name, Phase())
            self.build.enter(name.upper())
            log.write(f"Entering phase {name.upper()}")
            try:
                contexts = self._run_phase(phase, log)
            except ShellStopped as err:
                status = TIMED_OUT if err.timed_out else STOPPED
                ended = [("BUILD_TIMED_OUT", "Build has timed out. ")] if err.timed_out else []
                self._write_end(log, name.upper(), status, ended)
                raise PhaseFailed("", "", status) from err
            self._write_end(log, name.upper(), FAILED if contexts else SUCCEEDED, contexts)
            if contexts:
                self._failed = True
                last = phase.on_failure == "ABORT" or name in ("install", "pre_build")
                if last and phase.on_failure != "CONTINUE":
                    return False
        return True

    def _run_phase(self, phase: Phase, log: BuildLog) -> list[tuple[str, str]]:
        """The contexts of a failed command; none if all went well."""
        assert self._shell is not None
        if phase.python_version:
            log.write(
                f"runtime-versions python {phase.python_version}: local_aws has no runtimes to "
                f"select from, python is {self.images.python_version()}"
            )
        contexts: list[tuple[str, str]] = []
        for commands in (phase.commands, phase.finally_commands):
            for command in commands:
                log.write(f"Running command {command.rstrip()}")
                code = self._shell.run(command)
                if code:
                    text, reason = command.rstrip(), f"exit status {code}"
                    log.write(f"Command did not exit successfully {text} {reason}")
                    message = f"Error while executing command: {text}. Reason: {reason}"
                    error = ("COMMAND_EXECUTION_ERROR", message)
                    contexts = contexts or [error]
                    self._shell.run("export CODEBUILD_BUILD_SUCCEEDING=0")
                    break
        return contexts

    def _upload(self, plan: _Plan, shell: BuildShell, log: BuildLog) -> None:
        request, artifact = self.build.request, plan.spec.artifact
        if request["artifacts"]["type"] != "S3":
            return
        if artifact is None:
            log.write("The buildspec names no artifacts: nothing to upload")
            return
        log.write(f"Expanding base directory path: {artifact.base_directory or '.'}")
        log.write("Assembling file list")
        for pattern in artifact.files:
            log.write(f"Expanding {pattern}")
        files = artifacts.find_files(artifact, plan.work.source, shell.exported())
        log.write(f"Found {len(files)} file(s)")
        described = artifacts.upload(
            self._client("s3"),
            files,
            settings=request["artifacts"],
            default_name=self.build.project_name,
            kms_key=request.get("encryptionKey", ""),
            scratch=self._work,
        )
        self.build.update(artifacts=described)

    def _export(self, plan: _Plan, log: BuildLog) -> None:
        if not plan.spec.exported_variables or self._shell is None:
            return
        try:
            current = self._shell.exported()
        except ShellStopped as err:
            raise PhaseFailed("", "", TIMED_OUT if err.timed_out else STOPPED) from err
        exported = []
        for name in plan.spec.exported_variables:
            if name in plan.secret_names or name.startswith("AWS_"):
                log.write(f"{name} holds a secret and is not exported")
            else:
                exported.append({"name": name, "value": current.get(name, "")})
        self.build.update(exportedEnvironmentVariables=exported)


@dataclass(frozen=True)
class _WorkFolder:
    """A build's folder; inside it is called /opt/codebuild where the system allows that."""

    root: Path
    visible_root: Path
    mounts: Mapping[str, str] | None

    @classmethod
    def of(cls, work: Path, isolation: Isolation) -> _WorkFolder:
        root = work / MOUNT_NAME
        root.mkdir(parents=True)
        if isolation is Isolation.REWRITE:
            root = shell_safe(root.resolve())
            return cls(root, root, None)
        (work / "staging").mkdir()
        mounts = {
            "staging": str(work / "staging"),
            "folder": MOUNT_FOLDER,
            "name": MOUNT_NAME,
            "source": str(root),
        }
        return cls(root, Path(MOUNT_FOLDER, MOUNT_NAME), mounts)

    @property
    def source(self) -> Path:
        return self.root / "src"


@dataclass(frozen=True)
class _Plan:
    """What is known once the sources are there."""

    spec: Buildspec
    variables: Mapping[str, str]
    secret_names: set[str]
    work: _WorkFolder


def _told(work: Callable[[], Any]) -> Any:
    """What `work` gives; what it can't do as PhaseFailed."""
    try:
        return work()
    except (SourceError, ArtifactError) as err:
        raise PhaseFailed("CLIENT_ERROR", str(err)) from err
    except BuildspecError as err:
        raise PhaseFailed("YAML_FILE_ERROR", str(err)) from err
    except variables.VariableError as err:
        raise PhaseFailed(err.code, str(err)) from err
    except (BuildImageError, StartError) as err:
        raise PhaseFailed("BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", str(err)) from err
    except ShellStopped as err:
        raise PhaseFailed("", "", TIMED_OUT if err.timed_out else STOPPED) from err
