"""MLflow's server as its container would run it: infra/platform/mlflow.yml's container definition
and the image's Dockerfile, without Docker.

As root the server gets a file system of its own, read-only but for /tmp, with what the image has
and nothing else, and a process table of its own, in which it is the first process and user 10001.
Elsewhere it is an ordinary process; `reduction` tells why.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.infra import conftest as templates
from tests.mariadb import Database

ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / ".venv-images/mlflow-server"
SOURCES = ROOT / "infra/images/server"
USER_ID = 10001

# Written by bash, which becomes the container's first process. $1: an empty folder, $2: the virtual
# environment, $3: the interpreter's installation, $4: the image's files, $5: the CA's certificate.
_CONTAINER = r"""
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
root=$1 venv=$2 python=$3 sources=$4 ca=$5
shift 5
read_only() {
  mkdir -p "$root$1"
  mount --bind "$1" "$root$1"
  mount -o remount,bind,ro "$root$1"
}
umask 022
mount -t tmpfs -o mode=755 tmpfs "$root"
# First, as this checkout may lie below the machine's own /tmp.
mkdir "$root/tmp"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for path in /usr /etc "$python" "$venv"; do read_only "$path"; done
for path in /bin /sbin /lib /lib64; do
  if [ -L "$path" ]; then cp -P "$path" "$root$path"; continue; fi
  if [ -d "$path" ]; then read_only "$path"; fi
done
mkdir -p "$root"/{dev,proc,opt/mlflow-server}
for device in null zero random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t proc proc "$root/proc"
cp "$sources"/*.py "$root/opt/mlflow-server/"
cp "$ca" "$root/opt/mlflow-server/rds-ca.pem"
mount -o remount,ro "$root"
exec chroot --userspec=10001:10001 "$root" /bin/sh -c 'cd /tmp && exec "$@"' sh "$@"
"""


@dataclass(frozen=True, kw_only=True)
class ContainerDefinition:
    """What a task definition says of its container."""

    command: tuple[str, ...]
    health_command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    """Their names."""

    @classmethod
    def of(cls, *, basic_auth: bool) -> ContainerDefinition:
        """infra/platform/mlflow.yml's, with or without login."""
        rendered = templates._render("mlflow.yml", BasicAuth=str(basic_auth).lower())
        [task] = rendered.of_type("AWS::ECS::TaskDefinition").values()
        [container] = task["ContainerDefinitions"]
        kind, *health_command = container["HealthCheck"]["Command"]
        assert kind == "CMD"
        return cls(
            command=tuple(container["Command"]),
            health_command=tuple(health_command),
            environment={row["Name"]: str(row["Value"]) for row in container["Environment"]},
            secrets=tuple(row["Name"] for row in container["Secrets"]),
        )


@dataclass(frozen=True, kw_only=True)
class Result:
    exit_code: int
    output: str


class MlflowContainer:
    """One task of the service, on a free port of this machine."""

    admin_username = "admin"
    # What Secrets Manager would have made.
    secrets: Mapping[str, str] = {
        "ADMIN_PASSWORD": "admin's % pässword",
        "CLIENT_PASSWORD": "client's: p@ss/word?",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "one-key-for-all-tasks",
    }

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        basic_auth: bool,
        artifact_root: str = "s3://artifacts/mlflow",
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` comes on top of the definition's, `secrets` replaces values.

        Whatever the definition names and nobody here knows is an error: the two belong together.
        """
        self.definition = ContainerDefinition.of(basic_auth=basic_auth)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.hosts = self.definition.environment["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
        values = {
            "DATABASE_PASSWORD": database.password,
            **self.secrets,
            **(secrets or {}),
        }
        self.secrets = {name: values[name] for name in self.definition.secrets}
        self.client_username = self.definition.environment.get("CLIENT_USERNAME", "")
        self._environment = {
            **self.definition.environment,
            **self.secrets,
            "DATABASE_HOST": database.host,
            "DATABASE_PORT": str(database.port),
            "DATABASE_NAME": database.name,
            "DATABASE_USER": database.user,
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": artifact_root,
            "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join([*self.hosts, f"127.0.0.1:{self.port}"]),
            "PORT": str(self.port),
            "WORKERS": "1",
            **(environment or {}),
        }
        self._ca_path = database.ca_path
        self.reduction = _reduction()
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "container.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> MlflowContainer:
        """Return when it is healthy."""
        self.launch()
        self.wait_until_healthy()
        return self

    def launch(self) -> None:
        assert self._process is None, "it runs"
        self._process = self._popen(self.definition.command, self._log)

    def wait_until_healthy(self, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while True:
            process = self._process
            assert process is not None
            assert process.poll() is None, f"it ended: {self.log()[-3000:]}"
            assert time.monotonic() < deadline, f"not healthy: {self.log()[-3000:]}"
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)

    def stop(self) -> int:
        """As ECS ends a task: SIGTERM. The exit code; 0 if it doesn't run."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.poll() is None:
            os.kill(self._first_process(process).pid, signal.SIGTERM)
        try:
            return process.wait(timeout=30)
        finally:
            for child in psutil.Process().children():
                if child.pid == process.pid:
                    process.kill()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def run(self, command: str, *, environment: Mapping[str, str] | None = None) -> Result:
        """A task of its own with that command instead of the definition's, until it ends."""
        log = self._folder / f"{command}.log"
        log.unlink(missing_ok=True)
        process = self._popen((command,), log, environment)
        try:
            exit_code = process.wait(timeout=120)
        finally:
            process.kill()
        return Result(exit_code=exit_code, output=log.read_text(errors="replace"))

    def check(self) -> Result:
        """The definition's health check, in the running container."""
        if self.reduction:
            return self.inside(*map(str, self._interpreted()), self.definition.health_command[-1])
        return self.inside(*self.definition.health_command)

    def inside(self, *command: str) -> Result:
        """A second process in the running container, as `docker exec` starts one."""
        assert self._process is not None
        entering: list[str] = []
        if not self.reduction:
            entering = [
                *("nsenter", "--target", str(self._first_process(self._process).pid)),
                *("--mount", "--pid", "--root", "--wd"),
                *("--setuid", str(USER_ID), "--setgid", str(USER_ID), "--"),
            ]
        answer = subprocess.run(
            [*entering, *command],
            env=self._full_environment(),
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return Result(exit_code=answer.returncode, output=answer.stdout)

    def processes(self) -> list[psutil.Process]:
        """The container's, first the first."""
        assert self._process is not None
        first = self._first_process(self._process)
        return [first, *first.children(recursive=True)]

    def _popen(
        self,
        command: tuple[str, ...],
        log_path: Path,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        with log_path.open("ab") as log:
            if not self.reduction:
                os.fchown(log.fileno(), USER_ID, USER_ID)  # as runc does it
            return subprocess.Popen(
                [*self._prefix(), *command],
                env={**self._full_environment(), **(environment or {})},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _prefix(self) -> list[str | Path]:
        if self.reduction:
            return self._interpreted()
        root = self._folder / "root"
        root.mkdir(exist_ok=True)
        installation = (INSTALLED / "bin/python").resolve().parents[1]
        return [
            *("setpriv", "--pdeathsig", "KILL"),  # it ends with the tests, even with killed ones
            *("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"),
            *("bash", "-euc", _CONTAINER, "container"),
            *(root, INSTALLED, installation, SOURCES, self._ca_path),
            *of_dockerfile("ENTRYPOINT"),
        ]

    def _interpreted(self) -> list[str | Path]:
        """The image's entry point where there is no image."""
        return [INSTALLED / "bin/python", SOURCES / "tracking_server.py"]

    def _full_environment(self) -> dict[str, str]:
        image = dict(_dockerfile_environment())
        if self.reduction:
            temporary = self._folder / "tmp"
            temporary.mkdir(exist_ok=True)
            image |= {"HOME": str(temporary), "TMPDIR": str(temporary)}
            image["MLFLOW_MYSQL_SSL_CA"] = str(self._ca_path)
        path = f"{INSTALLED / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return {**image, "PATH": path, **self._environment}

    def _first_process(self, process: subprocess.Popen[bytes]) -> psutil.Process:
        running = psutil.Process(process.pid)
        return running if self.reduction else running.children()[0]


def _reduction() -> str:
    """Why the server can't be isolated here; empty if it can."""
    if os.geteuid() != 0:
        return "plain processes: only root may change the user and mount"
    for tool in ("setpriv", "unshare", "nsenter", "chroot"):
        if shutil.which(tool) is None:
            return f"plain processes: no {tool}"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
    )
    return f"plain processes: {tried.stderr.strip()}" if tried.returncode else ""


def of_dockerfile(instruction: str) -> list[str]:
    """Of an instruction in its JSON form."""
    [line] = re.findall(rf"^{instruction} (\[.*\])$", dockerfile(), re.MULTILINE)
    values: list[str] = json.loads(line)
    return values


def _dockerfile_environment() -> Iterator[tuple[str, str]]:
    for arguments in re.findall(r"^ENV (.*)$", dockerfile(), re.MULTILINE):
        for assignment in arguments.split():
            name, _, value = assignment.partition("=")
            yield name, value


def dockerfile() -> str:
    return (SOURCES / "Dockerfile").read_text().replace("\\\n", " ")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: Any = free.getsockname()[1]
        return int(port)
