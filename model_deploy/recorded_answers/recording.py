"""What the model itself answers to each case, before any endpoint exists.

    model folder ─copy─▶ isolation.py + answering.py, in the model's environment ─▶ answers twice
      └─ judged: no error, finite numbers, the same both times ─▶ cases with their answers

The process starts with variables made from nothing, and ends with all that it started. How far it
was kept from this machine is tried out in it and recorded, not assumed (isolation).
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model_deploy.endpoint_test_plan import NO_OFFLINE_COMPARISON, Case
from model_deploy.errors import ConfigError, ModelNotDeployable
from model_deploy.recorded_answers.answering import ROUNDS
from model_deploy.recorded_answers.cases import read_cases
from model_deploy.recorded_answers.environment import (
    TELL_SECONDS,
    WAIVE,
    ModelEnvironment,
    end_group,
    find_uv,
    make_environment,
)
from model_deploy.recorded_answers.isolation import list_hidden
from model_deploy.request_limits import RequestLimit

logger = logging.getLogger(__name__)

# SageMaker gives a container that long for a request.
ANSWER_SECONDS = 60.0
# A container has longer to start, but nobody wants to wait for it in each deployment.
LOAD_SECONDS = 600.0
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9

_HERE = Path(__file__).parent
_LAST_LINES = 12
_LAST_BYTES = 64 * 1024
_POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long an answer, and a model's import and load, may take; in seconds."""

    answer_seconds: float = ANSWER_SECONDS
    load_seconds: float = LOAD_SECONDS


@dataclass(frozen=True, kw_only=True)
class Recording:
    """The cases with their answers, and where these are from."""

    cases: Sequence[Case]
    recorded: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PlanParts:
    """What an EndpointTestPlan is told of a version's answers; its fields of the same names."""

    cases: Sequence[Case]
    recorded: Mapping[str, Any] = field(default_factory=dict)
    waived: Mapping[str, str] = field(default_factory=dict)


def make_plan_parts(
    model_folder: Path,
    *,
    cases_folder: Path,
    limit: RequestLimit,
    has_raw_rows: bool,
    accept: Mapping[str, str],
    scratch: Path,
    model: str = "the model",
) -> PlanParts:
    """The cases of a version, with answers unless training recorded some or a review does without.

    `cases_folder` is the model's own, `accept` that of deploy.json, `scratch` an existing folder.
    Raises ConfigError, ModelNotDeployable and ServiceError, as read_cases and record_answers do.
    """
    cases = read_cases(model_folder, _read_description(model_folder), cases_folder, limit)
    reason = accept.get(NO_OFFLINE_COMPARISON, "")
    if has_raw_rows:
        if len(cases) > 1:
            raise ConfigError(
                str(cases_folder),
                [
                    "this version was trained by the project, which compares its own rows of "
                    "training; cases are for models registered by hand. Remove the folder."
                ],
            )
        if reason:
            logger.info("%s is accepted and not needed: rows were recorded", NO_OFFLINE_COMPARISON)
        return PlanParts(cases=cases)
    if reason:
        logger.warning("no answers are recorded, as deploy.json accepts: %s", reason)
        return PlanParts(cases=cases, waived={NO_OFFLINE_COMPARISON: reason})
    recording = record_answers(model_folder, cases, scratch, model=model)
    return PlanParts(cases=recording.cases, recorded=recording.recorded)


def record_answers(
    model_folder: Path,
    cases: Sequence[Case],
    scratch: Path,
    *,
    uv: Path | None = None,
    environment: ModelEnvironment | None = None,
    limits: Limits | None = None,
    home: Path | None = None,
    model: str = "the model",
) -> Recording:
    """The model's own answers to `cases`, the first of which is its input example.

    A copy of the folder answers, in `scratch`, an existing folder. `environment` saves making one;
    `home` is the user's, whose credentials are hidden. Raises ModelNotDeployable where the model
    can't answer or can't be installed, ServiceError where a package index is not reachable.
    """
    folder = scratch.resolve() / "recording"
    folder.mkdir()
    try:
        copy = folder / "model"
        shutil.copytree(model_folder, copy)
        if environment is None:
            description = _read_description(copy)
            program = uv or find_uv()
            environment = make_environment(copy, description, folder / "env", program, model)
        run = _Run(environment.python, copy, cases, folder, limits or Limits(), model)
        rounds, kept_from = run.answer(home or Path.home())
        problems = list(_judge(cases, rounds))
        if problems:
            raise ModelNotDeployable(model, problems)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    answered = [
        replace(case, status=answer["status"], answer=answer["body"])
        for case, answer in zip(cases, rounds[0], strict=True)
    ]
    logger.info("%d answers recorded; %s", len(cases), _told(kept_from))
    return Recording(
        cases=answered, recorded={**environment.to_record(), "kept_from": dict(kept_from)}
    )


def _read_description(model_folder: Path) -> Mapping[str, Any]:
    import yaml

    document: Any = yaml.safe_load((model_folder / "MLmodel").read_text(encoding="utf-8"))
    return document if isinstance(document, Mapping) else {}


@dataclass(frozen=True)
class _Run:
    """One process that answers all cases."""

    python: Path
    model_copy: Path
    cases: Sequence[Case]
    scratch: Path
    limits: Limits
    model: str

    @property
    def work(self) -> Path:
        """The only folder that the process may write into, where that can be enforced."""
        return self.scratch / "work"

    def answer(self, home: Path) -> tuple[list[list[dict[str, Any]]], Mapping[str, bool]]:
        """Each round's answers, and what the process was kept from."""
        for name in ("home", "tmp"):
            (self.work / name).mkdir(parents=True)
        programs = self.scratch / "programs"
        programs.mkdir()
        for name in ("isolation.py", "answering.py"):
            shutil.copyfile(_HERE / name, programs / name)
        job = programs / "job.json"
        job.write_text(json.dumps(self._job()), encoding="utf-8")
        hidden = "\n".join([str(home.resolve()), *list_hidden(os.environ)])
        places = [hidden, self.scratch, self.work, self.work / "kept_from.json"]
        command = [self.python, "-I", "-B", programs / "isolation.py", *places]
        command += [programs / "answering.py", job]
        with (self.work / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=self.work,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                late = self._watch(process)
            finally:
                end_group(process)
        return self._read(late, process.returncode)

    def _job(self) -> dict[str, Any]:
        return {
            "model": str(self.model_copy),
            "cases": [{"body": c.body, "content_type": c.content_type} for c in self.cases],
            "answers": str(self.work / "answers.json"),
            "progress": str(self.work / "progress.txt"),
        }

    def _variables(self) -> dict[str, str]:
        threads = ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")
        return {
            "PATH": os.pathsep.join((str(self.python.parent), os.defpath)),
            "HOME": str(self.work / "home"),
            "TMPDIR": str(self.work / "tmp"),
            "LANG": "C.UTF-8",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **{f"{name}_NUM_THREADS": "1" for name in threads},
        }

    def _watch(self, process: subprocess.Popen[Any]) -> str:
        """Wait for it to end; what took too long, if anything did."""
        started = told = since = time.monotonic()
        doing = ""
        while process.poll() is None:
            now = time.monotonic()
            current = _last_line(self.work / "progress.txt")
            if current != doing:
                doing, since = current, now
            if now - told > TELL_SECONDS:
                told = now
                logger.info("%s (%.0f s)", self._in_words(doing), now - started)
            limit = self.limits.load_seconds
            if doing.startswith("case"):
                limit = self.limits.answer_seconds
            if now - since > limit:
                told_limit = f"{self._in_words(doing)}: not done after {limit:g} s"
                gives = f" (SageMaker gives a request {ANSWER_SECONDS:.0f} s)"
                return told_limit + (gives if doing.startswith("case") else "")
            time.sleep(_POLL_SECONDS)
        return ""

    def _in_words(self, doing: str) -> str:
        kind, _, number = doing.partition(" ")
        if kind == "case" and number.isdigit() and int(number) < len(self.cases):
            return f"the model answers {self.cases[int(number)].name}"
        words = {"load": "the model is loaded", "write": "its answers are written"}
        return words.get(kind, "its MLflow is imported")

    def _read(self, late: str, code: int) -> tuple[list[list[dict[str, Any]]], Mapping[str, bool]]:
        if late:
            raise self._refused(late, with_output=False)
        result = _read_json(self.work / "answers.json")
        if not isinstance(result, dict):
            how = f"signal {-code if code < 0 else code - 128}" if not 0 <= code <= 128 else code
            doing = self._in_words(_last_line(self.work / "progress.txt"))
            raise self._refused(f"its process ended without answers ({how}) while {doing}")
        if "rounds" not in result:
            raise self._refused(f"it can not be loaded: {result.get('error')}")
        if not _are_rounds(result["rounds"], len(self.cases)):
            raise self._refused("it wrote into the file of its answers")
        kept_from = _read_json(self.work / "kept_from.json")
        return result["rounds"], kept_from if isinstance(kept_from, dict) else {}

    def _refused(self, problem: str, with_output: bool = True) -> ModelNotDeployable:
        problem = f"in its own environment {problem}"
        if with_output:
            text = _read_text(self.work / "output.txt", _LAST_BYTES)
            lines = [line for line in text.splitlines() if line.strip()][-_LAST_LINES:]
            problem = "\n    ".join([problem, *lines])
        mended = "what the lines say" if with_output else "that"
        return ModelNotDeployable(self.model, [f"{problem}\n    Repair {mended} and log it again."])


def _judge(cases: Sequence[Case], rounds: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """A sentence for each case whose answer no endpoint could be compared with."""
    for number, (case, first, second) in enumerate(zip(cases, *rounds, strict=True)):
        problem = _find_problem(first, is_example=number == 0)
        if problem:
            yield f"it answers {case.name} {problem}"
            continue
        difference = _difference(first, second)
        if difference:
            yield (
                f"it answers {case.name} differently when asked again: {difference}. It draws, "
                f"remembers or looks at the clock, so nothing can be compared: fix that, {WAIVE}."
            )


def _find_problem(answer: Mapping[str, Any], *, is_example: bool) -> str:
    status, body = answer["status"], answer["body"]
    if answer.get("crashed"):
        return f"with a crash (HTTP {status}): {_explain(body)}"
    if status != 200 and (is_example or not 400 <= status < 500):
        return f"with HTTP {status}: {_explain(body)}"
    if status != 200:
        return ""
    try:
        document = parse_strictly(body)
    except ValueError as err:
        return f"with what is no JSON: {err}"
    if document in ({}, [], None) or document in ({"predictions": []}, {"predictions": None}):
        return "without a prediction"
    return ""


def parse_strictly(text: str) -> Any:
    """The JSON document. Raises ValueError, also for NaN, Infinity and numbers too large."""

    def refuse(name: str) -> None:
        raise ValueError(f"it holds {name}, which JSON does not have (RFC 8259)")

    def read(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise ValueError(f"it holds {number}, which no number is as large as")
        return value

    try:
        return json.loads(text, parse_constant=refuse, parse_float=read)
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err


def _explain(body: str) -> str:
    """MLflow's message, and the last lines of the model's traceback."""
    try:
        document = json.loads(body)
        message = str(document["message"])
        trace = str(document.get("stack_trace") or "").strip().splitlines()[-3:]
    except (ValueError, KeyError, TypeError, AttributeError):
        return body[:500]
    return "\n    ".join([message[:500], *(line[:300] for line in trace)])


def _difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    if first["status"] != second["status"]:
        return f"HTTP {first['status']}, then {second['status']}"
    if first["body"] == second["body"]:
        return ""
    if first["status"] != 200:
        return ""  # a refusal's words, which may name an address in memory
    try:
        documents = json.loads(first["body"]), json.loads(second["body"])
    except ValueError:
        return "two texts"
    return next(_differences(*documents, "the answer"), "")


def _differences(first: Any, second: Any, where: str) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        for key in first:
            yield from _differences(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _differences(one, other, f"{where}[{index}]")
    elif not _same(first, second):
        yield f"{where} is {_short(first)}, then {_short(second)}"


def _same(first: Any, second: Any) -> bool:
    floats = isinstance(first, float) and isinstance(second, float)
    if floats and math.isclose(
        first, second, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
    ):
        return True
    return type(first) is type(second) and bool(first == second)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(kept_from: Mapping[str, bool]) -> str:
    names: dict[str, str] = {
        "credentials": "credentials",
        "network": "the network",
        "writes": "writing elsewhere",
        "processes": "other processes",
    }
    say: Callable[[bool], str] = lambda held: ", ".join(  # noqa: E731
        told for name, told in names.items() if bool(kept_from.get(name)) is held
    )
    kept, not_kept = say(True), say(False)
    words = f"the model was kept from {kept}" if kept else "the model was kept from nothing"
    return words + (
        f"; this machine ({sys.platform}) could not keep it from {not_kept}" if not_kept else ""
    )


def _are_rounds(found: Any, cases: int) -> bool:
    return (
        isinstance(found, list)
        and len(found) == ROUNDS
        and all(isinstance(each, list) and len(each) == cases for each in found)
        and all(
            isinstance(answer, dict)
            and isinstance(answer.get("status"), int)
            and isinstance(answer.get("body"), str)
            for each in found
            for answer in each
        )
    )


def _last_line(path: Path) -> str:
    lines = _read_text(path, _LAST_BYTES).splitlines()
    return lines[-1] if lines else ""


def _read_json(path: Path) -> Any:
    """What the process wrote; None if it wrote nothing, or another thing."""
    try:
        return json.loads(_read_text(path))
    except (ValueError, RecursionError):
        return None


def _read_text(path: Path, last_bytes: int = 0) -> str:
    """A file, or its end; nothing where there is none. The model may have put anything there."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    about = os.fstat(opened)
    if not stat.S_ISREG(about.st_mode):
        os.close(opened)
        return ""
    with os.fdopen(opened, "rb") as file:
        if last_bytes:
            file.seek(max(about.st_size - last_bytes, 0))
        return file.read().decode("utf-8", errors="replace")
