"""Two moves at the same time, each in a process of its own, many rounds: how often is it wrong?

    production   versions 1 and 2 claim Production at once
    overlap      the test of prod ends for version 1 while that of staging ends for version 2

Wrong: not exactly one version in Production, an alias that disagrees with the stage, or an error.
Both write to the database themselves, through MLflow's own store; with `--server`, through a server
of it. `--backend mariadb` needs requirements/mariadb.sh. `--code REVISION` takes model_deploy from
another commit, so that figures stand side by side.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib.util
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop-{}"
_PLANS = {
    "production": (("1", "Production"), ("2", "Production")),
    "overlap": (("1", "Production"), ("2", "Staging")),
}
# A claimant is told what to move, looks it up, waits for the start, moves, says how it went.
_CLAIMANT = """
import logging, sys
logging.disable(logging.CRITICAL)
import mlflow
from model_deploy.mlflow_handler import Evidence, MLflowHandler
uri = sys.argv[1]
print("ready", flush=True)
for line in sys.stdin:
    name, version, stage, arn = line.rstrip("\\n").split("|")
    handler = MLflowHandler(uri, name, version)
    handler.resolve()
    print("set", flush=True)
    sys.stdin.readline()
    try:
        handler.move_stage(stage, Evidence(endpoint_arn=arn))
        print("moved", flush=True)
    except Exception as err:
        print(f"{type(err).__name__}: {err}".replace("\\n", " ")[:300], flush=True)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 1 if a round ended wrong."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--race", choices=tuple(_PLANS), action="append", help="one of them only")
    parser.add_argument("--rounds", type=int, default=200, help="of each race")
    parser.add_argument("--backend", choices=("sqlite", "mariadb"), default="sqlite")
    parser.add_argument("--server", action="store_true", help="ask a server, not the database")
    parser.add_argument("--code", default="", help="commit whose model_deploy is run")
    args = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated
    with tempfile.TemporaryDirectory(prefix="races-") as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        code = checked_out(args.code, folder) if args.code else ROOT
        uri = stack.enter_context(database(args.backend, folder))
        if args.server:
            uri = stack.enter_context(server(uri, folder))
        client(uri).search_registered_models()  # it makes its tables
        claimants = [stack.enter_context(claimant(uri, code)) for _ in range(2)]
        wrong = 0
        for race in args.race or _PLANS:
            begun = time.perf_counter()
            ends = collections.Counter(
                run_round(uri, claimants, race, number) for number in range(args.rounds)
            )
            seconds = (time.perf_counter() - begun) / args.rounds
            wrong += args.rounds - ends["right"]
            print(
                f"{args.backend:8} {args.code or 'here':10} {race:11} {args.rounds:4} rounds, "
                f"{seconds:.2f} s each: {dict(ends)}",
                flush=True,
            )
    return 1 if wrong else 0


def run_round(uri: str, claimants: Sequence[subprocess.Popen[str]], race: str, number: int) -> str:
    """`right`, or what is wrong."""
    registry = client(uri)
    name = f"{race}-{number}"
    registry.create_registered_model(name)
    for _ in range(2):
        registry.create_model_version(name, "s3://bucket/model", await_creation_for=0)
    if race == "overlap":  # version 1 passed in staging before
        registry.transition_model_version_stage(name, "1", "Staging")
        registry.set_registered_model_alias(name, "challenger", "1")
    for process, (version, stage) in zip(claimants, _PLANS[race], strict=True):
        assert process.stdin is not None
        arn = _ARN.format(f"{name}-{stage}")
        process.stdin.write(f"{name}|{version}|{stage}|{arn}\n")
        process.stdin.flush()
    for process in claimants:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "set"
    for process in claimants:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in claimants if process.stdout]
    if any(answer != "moved" for answer in answers):
        return f"told: {next(answer for answer in answers if answer != 'moved')}"
    return judge(registry, name, race)


def client(uri: str) -> Any:
    """An MlflowClient of that URI."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def judge(registry: Any, name: str, race: str) -> str:
    """What stages and aliases look like after both moved."""
    stages = {v.version: v.current_stage for v in registry.search_model_versions(f"name='{name}'")}
    aliases = {k: str(v) for k, v in registry.get_registered_model(name).aliases.items()}
    production = [str(number) for number, stage in stages.items() if stage == "Production"]
    staging = [str(number) for number, stage in stages.items() if stage == "Staging"]
    if len(production) != 1:
        return f"{len(production)} Productions"
    if race == "overlap" and (production, staging) != (["1"], ["2"]):
        return "a stage is lost"
    wanted = {"champion": production[0]} | ({"challenger": staging[0]} if staging else {})
    return "right" if aliases == wanted else "aliases disagree"


@contextlib.contextmanager
def claimant(uri: str, code: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that moves what its input tells."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CLAIMANT, uri],
        cwd=code,  # else `-c` would import what lies where this was started
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(code), "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def database(backend: str, folder: Path) -> Iterator[str]:
    """URI of an empty database."""
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'mlflow.db'}"
        return
    with _mariadb() as uri:
        yield uri


@contextlib.contextmanager
def server(store: str, folder: Path) -> Iterator[str]:
    """URL of an MLflow server over that database."""
    with contextlib.ExitStack() as stack:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "4"),
                *("--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", store),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=(folder / "server.log").open("wb"),
            start_new_session=True,
        )
        stack.callback(_end, process)
        url = f"http://127.0.0.1:{port}"
        _wait(url, process)
        yield url


@contextlib.contextmanager
def _mariadb() -> Iterator[str]:
    # By its file: some installed packages bring a `tests` of their own.
    spec = importlib.util.spec_from_file_location("mariadb", ROOT / "tests/mariadb.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT))
    sys.modules["mariadb"] = module
    spec.loader.exec_module(module)
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    running = module.Mariadb(folder)
    running.start()
    try:
        database = running.create_database("races")
        login = f"{database.user}:{database.password}@{database.host}:{database.port}"
        yield f"mysql+pymysql://{login}/{database.name}?ssl_ca={database.ca_path}"
    finally:
        running.stop()
        shutil.rmtree(folder)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2):
            return
        time.sleep(0.2)
    raise SystemExit(f"MLflow's server did not start: exit code {process.poll()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    process.wait(timeout=30)


def checked_out(revision: str, folder: Path) -> Path:
    """model_deploy of another commit, in a folder of its own."""
    code = folder / "code"
    code.mkdir()
    archive = subprocess.run(
        ["git", "archive", revision, "model_deploy"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", code], input=archive.stdout, check=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
