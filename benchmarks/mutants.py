"""How many small faults the tests notice, planted one at a time in a copy of the project.

    .venv/bin/python -m uv pip install --no-deps --target .venv-mutants -r benchmarks/mutants.txt
    .venv/bin/python benchmarks/mutants.py [--seed 1] [--per-module 18 | --sample 100] [PATH ...]

A PATH is a module or a folder of them; by default model_deploy and the step scripts. Which faults:
mutations.py. A fault is noticed when a test that belongs to the module fails, or takes several
times as long. Those that change nothing a user can see are in equivalent_mutants.toml, each judged
by a person; they aren't planted, and don't count. Exit code 1 when more than 5 % survive.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mutations import Mutation, Place

Given = TypeVar("Given")
Made = TypeVar("Made")

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = PROJECT / ".venv-mutants"
JUDGED = Path(__file__).with_name("equivalent_mutants.toml")
DEFAULT = ("model_deploy", "model_build/steps", "model_build/mlflow_login.py")
# Copies of the last one: tests/repo/test_units.py holds them to be equal, so any fault is noticed.
COPIES = {
    "model_deploy/mlflow_login.py",
    "model_build/steps/train_evaluate_register/mlflow_login.py",
}
MOST_SURVIVORS = 0.05
# A test that hangs with a fault may take this many times what all of them take, and this more.
SLOWER = 4
SECONDS_MORE = 60

PREPARATION = "tests/model_build/steps/prepare_data"
DEPLOYING = "tests/model_deploy"
TRAINING = "tests/model_build/steps/train_evaluate_register"
# What a module's own test file doesn't hold alone. Its own comes first.
FURTHER_TESTS = {
    "model_build/steps/prepare_data/": [PREPARATION],
    "model_build/steps/train_evaluate_register/": [f"{TRAINING}/test_train.py"],
    "model_build/steps/train_evaluate_register/estimators/": [
        f"{TRAINING}/estimators",
        f"{TRAINING}/test_model.py",
    ],
    "model_build/steps/train_evaluate_register/metrics.py": [f"{TRAINING}/test_evaluation.py"],
    "model_build/steps/train_evaluate_register/tracking.py": [f"{TRAINING}/test_champion.py"],
    "model_build/steps/train_evaluate_register/train.py": [f"{TRAINING}/test_rehearsal.py"],
    "model_build/steps/train_evaluate_register/verdict.py": [
        f"{TRAINING}/test_gate.py",
        f"{TRAINING}/test_evaluation.py",
    ],
    "model_deploy/test/": [f"{DEPLOYING}/test"],
    "model_deploy/registry/": [
        f"{DEPLOYING}/test_mlflow_handler.py",
        f"{DEPLOYING}/registry/test_lease.py",
        f"{DEPLOYING}/test_reconcile.py",
    ],
    "model_deploy/recorded_answers/answering.py": [
        f"{DEPLOYING}/recorded_answers/test_recording.py"
    ],
    "model_deploy/errors.py": [
        f"{DEPLOYING}/test_stage_config.py",
        f"{DEPLOYING}/test_model_archive.py",
        f"{DEPLOYING}/test_mlflow_handler.py",
        f"{DEPLOYING}/test_build.py",
    ],
    "model_deploy/model_loading.py": [f"{DEPLOYING}/test_model_validation.py"],
    "model_deploy/model_validation.py": [f"{DEPLOYING}/test_model_loading.py"],
    "model_deploy/skops_review.py": [
        f"{DEPLOYING}/test_model_validation.py",
        "tests/repo/test_reviewed_types.py",
    ],
    **{
        f"model_deploy/{name}.py": [f"{DEPLOYING}/test_build.py"]
        for name in ("approval", "command_line", "custody", "endpoint_test_plan", "plan_making")
    },
}


# Tests that start a whole script or server in a process of its own, by what alone needs them.
LEFT_OUT = {
    "test_every_classifier_and_regressor": "model_deploy/skops_review.py",
    "test_model_comes_from_a_server": "model_deploy/mlflow_handler.py",
    "test_script_": "model_build/steps/prepare_data/prepare_data.py",
    "test_a_stopped_job": "model_build/steps/train_evaluate_register/train.py",
}


# What the modules and their tests import, that isn't the project's.
LIBRARIES = (
    *("boto3", "moto", "mlflow", "mlflow.sklearn", "numpy", "pandas", "pyarrow.parquet"),
    *("matplotlib.figure", "scipy.stats", "sklearn.ensemble", "sklearn.inspection"),
    "skops.io",
)
# Several runs share the cores, and threads that wait for each other would take them from the rest.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
}
# A fault may end processes or mount folders that aren't the test's: here it can reach none.
APART = (
    *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"),
    *("--mount-proc", "--kill-child"),
)
NEEDS_TO_BE_APART = "model_deploy/recorded_answers/isolation.py"
# Reads a question a line: a test run to start, answered with its process id, one to look after, or
# one to send a signal.
FORKING = """
import importlib, json, os, sys, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for name in sys.argv[1].split(","):
        importlib.import_module(name)
    import mlflow.tracking, mlflow.pyfunc, mlflow.store.tracking.sqlalchemy_store
    import mlflow.store.model_registry.sqlalchemy_store
for line in sys.stdin:
    question = json.loads(line)
    if "poll" in question:
        pid, status = os.waitpid(question["poll"], os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if pid else "", flush=True)
        continue
    if "signal" in question:
        try:
            os.kill(question["to"], question["signal"])
            print("sent", flush=True)
        except ProcessLookupError:
            print("nobody", flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.environ["TMPDIR"] = question["temp"]
        log = os.open(question["log"], os.O_WRONLY | os.O_CREAT)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        import tempfile
        tempfile.tempdir = None
        import pytest
        sys.argv = ["pytest"]
        code = pytest.main(question["argv"])
        sys.stdout.flush()
        os._exit(int(code))
    print(pid, flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one fault."""

    status: str  # noticed, survived or equivalent
    file: str
    line: int
    function: str
    kind: str
    before: str
    after: str
    why: str
    seconds: float = 0


@dataclass
class Tally:
    """The outcomes of a module, counted."""

    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, status: str) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    def line(self, name: str) -> str:
        planted = self.count("noticed") + self.count("survived")
        survived = self.count("survived")
        share = f"{survived / planted:>7.1%}" if planted else " " * 7
        return (
            f"{name:<62} {planted:>7} {self.count('noticed'):>7} {survived:>8} {share} "
            f"{self.count('equivalent'):>10}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    # A shell that runs this in the background lets it ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not (PACKAGES / "cosmic_ray").is_dir():
        sys.exit(f"no {PACKAGES.name}: run the first command of `{sys.argv[0]} --help`")
    sys.path[:0] = [str(PACKAGES), str(Path(__file__).parent)]
    modules = find_modules(arguments.paths or DEFAULT)
    started, described = time.monotonic(), describe(arguments)
    with copies_of_the_project(arguments.jobs) as runners:
        faults = draw_faults(modules, arguments, runners[0].root)
        judged = read_judged()
        outcomes = [
            _outcome(fault, "equivalent", judged[fault.key()])
            for fault in faults
            if fault.key() in judged
        ]
        rest = [fault for fault in faults if fault.key() not in judged]
        outcomes += plant_all(rest, runners, measure(rest, runners))
    tallies: dict[str, Tally] = defaultdict(Tally)
    for outcome in outcomes:
        tallies[outcome.file].outcomes.append(outcome)
    print_figures(tallies)
    print(f"\n{described}; {time.monotonic() - started:.0f} s")
    if arguments.json:
        written = {"run": described, "mutants": [vars(outcome) for outcome in outcomes]}
        arguments.json.write_text(json.dumps(written, indent=1) + "\n")
    all_of_them = Tally(outcomes)
    return int(all_of_them.count("survived") > MOST_SURVIVORS * max(1, len(rest)))


def build_parser() -> argparse.ArgumentParser:
    lines = str(__doc__).splitlines()
    parser = argparse.ArgumentParser(
        description="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help=f"(default: {' '.join(DEFAULT)})")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: 1)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--per-module", type=int, default=18, help="faults a file (default: 18)")
    size.add_argument("--sample", type=int, help="faults in all")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each fault's outcome")
    return parser


def describe(arguments: argparse.Namespace) -> str:
    size = (
        f"--sample {arguments.sample}"
        if arguments.sample
        else f"--per-module {arguments.per_module}"
    )
    commit = _git("rev-parse", "--short", "HEAD").strip()
    changed = " and uncommitted changes" if _git("status", "--porcelain").strip() else ""
    return (
        f"--seed {arguments.seed} {size} {' '.join(arguments.paths)}".rstrip()
        + f"; commit {commit}{changed}; Python {sys.version.split()[0]}, "
        + f"cosmic-ray {version('cosmic-ray')}, pytest {version('pytest')}"
    )


def find_modules(paths: Sequence[str]) -> list[str]:
    """Python files of the project at the paths, in the order of their names."""
    found = set()
    for path in paths:
        full = PROJECT / path
        if not full.exists():
            sys.exit(f"no {path} in {PROJECT}")
        files = full.rglob("*.py") if full.is_dir() else [full]
        found |= {str(file.relative_to(PROJECT)) for file in files}
    if NEEDS_TO_BE_APART in found and not can_be_apart():
        found.remove(NEEDS_TO_BE_APART)
        _say(f"without {NEEDS_TO_BE_APART}: its faults need namespaces, which this machine refuses")
    return sorted(found - COPIES)


def tests_of(module: str, root: Path) -> list[str]:
    """Test files: the module's own, then those that the table names for it and its folders."""
    path = Path(module)
    own = Path("tests", path.parent, f"test_{path.name}")
    named = [str(own)] + [
        test
        for place, tests in sorted(FURTHER_TESTS.items(), key=lambda item: -len(item[0]))
        if module == place or (place.endswith("/") and module.startswith(place))
        for test in tests
    ]
    files: list[str] = []
    for name in named:
        full = root / name
        inside = sorted(full.rglob("test_*.py")) if full.is_dir() else [full]
        files += [str(file.relative_to(root)) for file in inside if file.is_file()]
    return list(dict.fromkeys(files))


def draw_faults(modules: list[str], arguments: argparse.Namespace, root: Path) -> list[Mutation]:
    """Each kind of fault in turn, as each is worth as much to know; the same for the same seed."""
    places = {module: find_places_in(module, root) for module in modules}
    if arguments.sample is None:
        return [
            fault
            for module in modules
            for fault in _draw(places[module], arguments.per_module, arguments.seed, root)
        ]
    together = [place for module in modules for place in places[module]]
    return _draw(together, arguments.sample, arguments.seed, root)


def find_places_in(module: str, root: Path) -> list[Place]:
    import mutations

    return mutations.find_places(module, (root / module).read_text())


def _draw(places: list[Place], count: int, seed: int, root: Path) -> list[Mutation]:
    import mutations

    random = Random(seed)
    by_kind: dict[str, list[Place]] = defaultdict(list)
    for place in random.sample(places, len(places)):
        by_kind[place.kind].append(place)
    faults: list[Mutation] = []
    while by_kind and len(faults) < count:
        for kind in sorted(by_kind):
            place = by_kind[kind].pop()
            if not by_kind[kind]:
                del by_kind[kind]
            fault = mutations.plant(place, (root / place.file).read_text(), random)
            if fault and len(faults) < count:
                faults.append(fault)
    return sorted(faults, key=lambda fault: (fault.file, fault.line))


def read_judged() -> dict[tuple[str, str, str, str], str]:
    """Faults that change nothing a user can see, and why; one whose line is gone is told."""
    judged = {}
    for entry in tomllib.loads(JUDGED.read_text())["equivalent"]:
        names = ("file", "function", "before", "after")
        file, function, before, after = (entry[name].strip() for name in names)
        path = PROJECT / file
        if not path.is_file() or before not in path.read_text():
            _say(f"{JUDGED.name}: {file} has no {before!r} any more; judge it again")
        judged[file, function, before, after] = entry["reason"]
    return judged


def measure(faults: list[Mutation], runners: list[Runner]) -> dict[str, float]:
    """Seconds of each test file without a fault; all must pass."""
    if untested := {fault.file for fault in faults if not tests_of(fault.file, runners[0].root)}:
        sys.exit(f"no tests of {', '.join(sorted(untested))}: name them in FURTHER_TESTS")
    names = (test for fault in faults for test in tests_of(fault.file, runners[0].root))
    files = list(dict.fromkeys(names))

    def measure_one(runner: Runner, file: str) -> float:
        started = time.monotonic()
        code, output = runner.run([file], "", timeout=1200)
        if code != 0:
            raise SystemExit(f"{file} fails without a fault:\n{output[-3000:]}")
        _say(f"without a fault: {file}: {time.monotonic() - started:.0f} s")
        return time.monotonic() - started

    return dict(zip(files, each_in_a_copy(measure_one, files, runners), strict=True))


def each_in_a_copy(
    make: Callable[[Runner, Given], Made], given: Sequence[Given], runners: list[Runner]
) -> list[Made]:
    """What `make` gives for each, as many at a time as there are copies of the project."""
    free: queue.SimpleQueue[Runner] = queue.SimpleQueue()
    for runner in runners:
        free.put(runner)

    def make_one(item: Given) -> Made:
        runner = free.get()
        try:
            return make(runner, item)
        finally:
            free.put(runner)

    pool = ThreadPoolExecutor(len(runners))
    try:
        return list(pool.map(make_one, given))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for runner in runners:
            runner.close()
        raise
    finally:
        pool.shutdown()


def plant_all(
    faults: list[Mutation], runners: list[Runner], seconds: dict[str, float]
) -> list[Outcome]:
    count = itertools.count(1)

    def plant_one(runner: Runner, fault: Mutation) -> Outcome:
        outcome = try_fault(fault, runner, seconds)
        _say(
            f"{next(count)}/{len(faults)} {outcome.status} in {outcome.seconds:.0f} s: "
            f"{fault.file}:{fault.line} {fault.kind}; {outcome.why}"
        )
        return outcome

    return each_in_a_copy(plant_one, faults, runners)


def try_fault(fault: Mutation, runner: Runner, seconds: dict[str, float]) -> Outcome:
    """Plants it, runs the tests that belong to the file, and takes it out again."""
    root = runner.root
    path = root / fault.file
    source = path.read_text()
    tests = tests_of(fault.file, root)
    started = time.monotonic()
    try:
        _write_as_newer(path, fault.text)
        limit = SLOWER * sum(seconds[test] for test in tests) + SECONDS_MORE
        code, output = runner.run(tests, fault.file, limit)
    finally:
        _write_as_newer(path, source)
    taken = time.monotonic() - started
    if code == 0:
        return _outcome(fault, "survived", "no test failed", taken)
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    why = "the tests hung" if code is None else (failed or [f"exit code {code}"])[0]
    return _outcome(fault, "noticed", why[:200], taken)


def _write_as_newer(path: Path, text: str) -> None:
    """Python takes a compiled file for the source's where size and whole seconds agree."""
    newer = path.stat().st_mtime + 10
    path.write_text(text)
    os.utime(path, (newer, newer))


class Runner:
    """Runs tests in a copy of the project, each time in a fork of a process that has the libraries.

    Importing them takes longer than most tests. Nothing of the project is imported before the fork.
    """

    def __init__(self, root: Path, start: Sequence[str] = ()) -> None:
        self.root = root
        self.scratch = root.with_name(f"{root.name}-tmp")
        self._process = subprocess.Popen(
            [*start, sys.executable, "-c", FORKING, ",".join(LIBRARIES)],
            cwd=root,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(root), "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that Ctrl-C reaches this process first
        )
        self._running: int | None = None
        self._asking = threading.Lock()

    def run(self, tests: list[str], module: str, timeout: float) -> tuple[int | None, str]:
        """Exit code, None where they hung, and what pytest printed."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        log = self.scratch / "log"
        without = ("-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not e2e")
        warned = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
        options = [*without, *warned, "-q", "-x", "-k", _choose(module)]
        self._running = int(
            self._ask({"temp": str(self.scratch), "log": str(log), "argv": [*options, *tests]})
        )
        deadline = time.monotonic() + timeout
        while (code := self._ask({"poll": self._running})) == "":
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        self._end(self._running)
        self._running = None
        return (int(code) if code else None), log.read_text(errors="replace")

    def close(self) -> None:
        if self._running:
            self._end(self._running)
        self._process.kill()
        self._process.communicate()

    def _end(self, group: int) -> None:
        """First as Ctrl-C does: fixtures end the servers that they started."""
        deadline = time.monotonic() + 15
        there = self._send(group, signal.SIGINT)
        while there and time.monotonic() < deadline:
            time.sleep(0.1)
            there = self._send(group, 0)
        self._send(-group, signal.SIGKILL)

    def _send(self, to: int, number: int) -> bool:
        return self._ask({"signal": number, "to": to}) == "sent"

    def _ask(self, question: dict[str, object]) -> str:
        assert self._process.stdin
        assert self._process.stdout
        with self._asking:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that the tests are forked from has ended")
        return answer.strip()


def _choose(module: str) -> str:
    names = [name for name, needs_it in LEFT_OUT.items() if module != needs_it]
    return " and ".join(f"not {name}" for name in names)


@contextmanager
def copies_of_the_project(count: int) -> Iterator[list[Runner]]:
    """As it is now, uncommitted changes too; the checkout itself is never written to."""
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    files = [name for name in listed.split("\0") if name and (PROJECT / name).is_file()]
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        copies = [Path(folder, str(number)) for number in range(count)]
        for copy in copies:
            for name in files:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, copy / name)
        start = APART if can_be_apart() else ()
        runners = [Runner(copy, start) for copy in copies]
        try:
            yield runners
        finally:
            for runner in runners:
                runner.close()


def can_be_apart() -> bool:
    """Whether this machine lets a process have namespaces of its own."""
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def print_figures(tallies: dict[str, Tally]) -> None:
    title = f"{'module':<62} planted noticed survived   share equivalent"
    print(title)
    for name in sorted(tallies):
        print(tallies[name].line(name))
    together = Tally([outcome for tally in tallies.values() for outcome in tally.outcomes])
    print(together.line("all"))
    for status in ("survived", "equivalent"):
        for outcome in together.outcomes:
            if outcome.status == status:
                print(f"\n{status}: {outcome.file}:{outcome.line} {outcome.function}, ", end="")
                print(f"{outcome.kind}" + (f": {outcome.why}" if status == "equivalent" else ""))
                print("\n".join(f"- {line}" for line in outcome.before.splitlines()))
                print("\n".join(f"+ {line}" for line in outcome.after.splitlines()))


def _outcome(fault: Mutation, status: str, why: str, seconds: float = 0) -> Outcome:
    return Outcome(
        status=status,
        file=fault.file,
        line=fault.line,
        function=fault.function,
        kind=fault.kind,
        before=fault.before,
        after=fault.after,
        why=why,
        seconds=round(seconds, 1),
    )


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
