"""Models registered by hand, each the whole way: logged, validated, recorded, served, compared.

    .venv/bin/python benchmarks/models_by_hand.py [NAME ...] [--table FILE]

The models are those of hand_models.py. Each is logged in an environment that has all libraries;
answers in its own (model_deploy.recorded_answers); is then served in that environment from
/opt/ml/model by the files that the inference image has (serving/, over uvicorn); and each answer is
compared with the recorded one. Exits with 1 where one does not end as it is expected to. Needs
PyPI; a quarter of an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from hand_models import (  # noqa: E402
    COMPARED,
    DIFFERS,
    LIBRARIES,
    MODELS,
    REFUSED,
    HandModel,
)

from model_deploy.endpoint_test_plan import Case  # noqa: E402
from model_deploy.errors import ModelNotDeployable  # noqa: E402
from model_deploy.recorded_answers.cases import read_cases  # noqa: E402
from model_deploy.recorded_answers.environment import (  # noqa: E402
    ModelEnvironment,
    find_uv,
    make_environment,
)
from model_deploy.recorded_answers.recording import record_answers  # noqa: E402
from model_deploy.request_limits import RequestLimit  # noqa: E402
from model_deploy.test.answers import find_difference_of_answers, read_answer  # noqa: E402

# What a container has instead of this machine's /opt/ml.
ENTER = """\
import os, sys
sys.path.insert(0, sys.argv[1])
from local_aws.containers.mount_namespace import enter
enter(sys.argv[2], "/opt", "ml", sys.argv[3])
os.execv(sys.argv[4], sys.argv[4:])
"""
START_SECONDS = 120.0

# A case with its recorded answer, the served status and body -> what differs, or nothing.
Compare = Callable[[Case, int, str], str]
# A model's folder and the model -> nothing, or ModelNotDeployable.
Validate = Callable[[Path, HandModel], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one model, and how: one line of the table."""

    model: HandModel
    became: str
    detail: str
    seconds: float

    @property
    def as_expected(self) -> bool:
        return self.became == self.model.expect and self.model.words in self.detail


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--table", type=Path, metavar="FILE", help="Markdown to write")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="models-by-hand-") as scratch:
        for outcome in try_all(args.names or list(MODELS), Path(scratch)):
            outcomes.append(outcome)
            mark = "" if outcome.as_expected else f"   NOT AS EXPECTED ({outcome.model.expect})"
            sys.stdout.write(
                f"{outcome.model.name:28} {outcome.became:9} {outcome.seconds:5.1f} s  "
                f"{outcome.detail}{mark}\n"
            )
            sys.stdout.flush()
    if args.table:
        args.table.write_text(to_markdown(outcomes))
    wrong = [outcome.model.name for outcome in outcomes if not outcome.as_expected]
    sys.stdout.write(f"{len(outcomes)} models, {len(wrong)} not as expected {wrong or ''}\n")
    return 1 if wrong else 0


def try_all(
    names: Sequence[str],
    scratch: Path,
    *,
    libraries: Sequence[str] = LIBRARIES,
    compare: Compare | None = None,
    validate: Validate | None = None,
    environment: ModelEnvironment | None = None,
) -> Iterator[Outcome]:
    """Each model the whole way. `environment` is used for all of them instead of their own."""
    folders = log_models(names, scratch, libraries, environment)
    environments: dict[str, ModelEnvironment] = {}
    for name in names:
        started = time.monotonic()
        try:
            became, detail = try_one(
                MODELS[name],
                folders[name],
                environment or (lambda folder: own_environment(folder, scratch, environments)),
                compare or find_difference,
                validate or validate_model,
            )
        except ModelNotDeployable as err:
            became, detail = REFUSED, " ".join(err.problems[0].split())
        yield Outcome(
            model=MODELS[name], became=became, detail=detail, seconds=time.monotonic() - started
        )


def try_one(
    model: HandModel,
    folder: Path,
    environment: ModelEnvironment | Callable[[Path], ModelEnvironment],
    compare: Compare,
    validate: Validate,
) -> tuple[str, str]:
    """What became of a model, and what was compared."""
    import yaml

    validate(folder, model)
    own_cases = folder.parent / "cases"
    own_cases.mkdir()
    for name, text in model.cases.items():
        (own_cases / name).write_text(text)
    description = yaml.safe_load((folder / "MLmodel").read_text())
    cases = read_cases(folder, description, own_cases, RequestLimit.of({}))
    made = environment if isinstance(environment, ModelEnvironment) else environment(folder)
    work = folder.parent / "work"
    work.mkdir()
    recording = record_answers(folder, cases, work, environment=made)
    with serve(made, folder, work) as port:
        for case in recording.cases:
            difference = compare(case, *ask(port, case))
            if difference:
                return DIFFERS, f"{case.name}: {difference}"
    return COMPARED, ", ".join(_describe(case) for case in recording.cases)


def log_models(
    names: Sequence[str],
    scratch: Path,
    libraries: Sequence[str],
    environment: ModelEnvironment | None = None,
) -> dict[str, Path]:
    """Each model's folder, logged where all libraries are."""
    if environment is None:
        python = _make_library_environment(scratch / "libraries", libraries)
    else:
        python = environment.python
    for name in names:
        (scratch / name).mkdir()
    program = ROOT / "benchmarks/hand_models.py"
    command = [str(python), "-W", "ignore", str(program), ",".join(names), str(scratch)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=scratch)
    if answer.returncode or json.loads(answer.stdout.splitlines()[-1]):
        raise RuntimeError(f"could not be logged:\n{answer.stderr[-3000:]}\n{answer.stdout}")
    return {name: scratch / name / "model" for name in names}


def _make_library_environment(folder: Path, libraries: Sequence[str]) -> Path:
    uv = str(find_uv())
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin/python"
    subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *libraries], check=True)
    return python


def own_environment(
    folder: Path, scratch: Path, environments: dict[str, ModelEnvironment]
) -> ModelEnvironment:
    """The model's own environment; models whose requirements are the same text share one."""
    text = (folder / "requirements.txt").read_text()
    if text not in environments:
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        place = scratch / f"environment-{digest}"
        environments[text] = make_environment(folder, {}, place, find_uv())
    return environments[text]


def validate_model(folder: Path, model: HandModel) -> None:
    """As the build does, with nothing trusted in deploy.json."""
    from model_deploy.model_validation import validate_model

    validate_model(folder, model.name)


@contextlib.contextmanager
def serve(environment: ModelEnvironment, folder: Path, scratch: Path) -> Iterator[int]:
    """The port of a server as the inference image starts it, with the model in /opt/ml/model."""
    container, staging = scratch / "container", scratch / "staging"
    shutil.copytree(folder, container / "model")
    staging.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = ["-m", "uvicorn", "--app-dir", ROOT, "serving.app:app", "--host", "127.0.0.1"]
    enter = [sys.executable, "-c", ENTER, ROOT, staging, container]
    command = [*enter, environment.python, *server, "--port", port]
    with (scratch / "server.txt").open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={
                "PATH": os.pathsep.join((str(environment.python.parent), os.defpath)),
                "__pyfunc_model_path__": "/opt/ml/model",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            cwd=scratch,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_ping(process, port, scratch / "server.txt")
            yield port
        finally:
            process.terminate()
            process.wait()


def _await_ping(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    started = time.monotonic()
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _request(port, "GET", "/ping")[0] == 200:
                return
        if process.poll() is not None or time.monotonic() - started > START_SECONDS:
            raise RuntimeError(f"the server does not start:\n{output.read_text()[-3000:]}")
        time.sleep(0.1)


def ask(port: int, case: Case) -> tuple[int, str]:
    """HTTP status and body."""
    headers = {"Content-Type": case.content_type}
    return _request(port, "POST", "/invocations", case.body.encode(), headers)


def _request(port: int, *request: Any) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(*request)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def find_difference(case: Case, status: int, body: str) -> str:
    """What differs from the recorded answer, as the endpoint's test finds it."""
    if status != case.status:
        return f"HTTP {status} served, {case.status} recorded"
    try:
        served = read_answer(body)
    except ValueError as err:
        return f"no strict JSON: {err}"
    return find_difference_of_answers(served, read_answer(case.answer or ""))


def _describe(case: Case) -> str:
    """What was compared, in a few words: the case's name, and its answer's beginning."""
    text = json.dumps(json.loads(case.answer or "null"))
    return f"{case.name}: {text if len(text) <= 70 else text[:67] + '...'}"


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """What became of each; docs/models-by-hand.md says it in short."""
    lines = ["| model | requirements | what became of it | what to do |", "|---|---|---|---|"]
    for each in outcomes:
        detail = each.detail.replace("|", "\\|")
        if each.became != COMPARED:
            detail = f"**{each.became}**: {detail if len(detail) <= 160 else detail[:157] + '...'}"
        else:
            detail = f"compared: `{detail}`"
        requires = ", ".join(name.partition("==")[0] for name in each.model.requires)
        lines.append(f"| {each.model.name} | {requires} | {detail} | {each.model.by_hand} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
