"""`mlops demo`: from `git push` to a prediction from prod, through the project's own pipelines.

local-aws ─▶ platform and project deployed, while MLflow starts ─▶ push modelbuild: CI trains,
registers ─▶ push modeldeploy: CD builds, staging, test, approval, prod, test ─▶ all read back
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlops.account import Account, open_account
from mlops.arguments import require_answer
from mlops.demo import mlflow_login
from mlops.demo.command_line import STATE_DIR
from mlops.demo.machine import local_machine
from mlops.demo.narration import Narrator, Step
from mlops.demo.pipeline_story import execution_report, tell_execution
from mlops.display import Display, Progress, print_json
from mlops.errors import AwsRefused, CommandFailed, InputError
from mlops.hints import as_typed
from mlops.platform.change_sets import Change
from mlops.platform.commands import deploy_platform
from mlops.platform.deployment import DeployOptions
from mlops.platform.settings import read_settings, size_file, with_parameters
from mlops.platform.stack_events import StackEvent
from mlops.platform.stacks import LAPTOP
from mlops.project.deployment import ProjectOptions, deploy_project
from mlops.project.executions import newest_execution_id
from mlops.project.project_stack import ProjectStack
from mlops.project.push import push_unit, require_tree
from mlops.project.watching import wait_for_execution
from mlops.release.registry_report import read_endpoints, read_prediction, read_versions, table_of
from model_deploy.mlflow_pages import model_page

PROJECT_NAME = "local"
_FOREST = "model_build/steps/train_evaluate_register/estimators/random_forest.py"
_TREES = re.compile(r'(name="NEstimators",\s+default=)(\d+)')
_HOW = DeployOptions(yes=True, accept_data_loss=True, delay_seconds=0.2)
_MLFLOW_SECONDS = 120.0


@dataclass
class _Seconds:
    """Where the time went."""

    up: float = 0.0
    deploy: float = 0.0
    train: float = 0.0
    release: float = 0.0
    total: float = 0.0


def demo(args: argparse.Namespace) -> int:
    """Run it; on a terminal everything stays up until Ctrl-C, unless --exit."""
    tree = Path.cwd()
    require_tree(tree)
    require_answer(args.yes, "approve the deployments to prod")
    login = mlflow_login.read_login(
        args.tracking_uri, args.credentials_secret_file, args.tracking_username, os.environ
    )
    narrator = Narrator()

    def approve(question: str) -> bool:
        if args.yes:
            return True
        return input(f"    {question} [y/N] ").strip().lower() in ("y", "yes")

    begun = time.monotonic()
    seconds = _Seconds()
    stays = not args.exit and sys.stdin.isatty()
    # Of an AWS or an MLflow that somebody else started, nothing ends with the demo.
    lives_on = bool(os.environ.get("AWS_ENDPOINT_URL"))
    with _sigterm_as_ctrl_c(), contextlib.ExitStack() as exits:
        with narrator.step("up: AWS on this machine; MLflow begins to start") as step:
            account = _open(args, exits)
            step.result = account.describe()
        seconds.up = step.seconds
        if args.tracking_uri:
            mlflow_login.require_answer(args.tracking_uri, login)
        seconds.deploy, project = _deploy(account, narrator, args.tracking_uri, login)
        _become_client(account, project, login)
        with narrator.step("up: MLflow") as step:
            _await_mlflow(project.tracking_uri)
            step.result = project.tracking_uri
        seconds.up += step.seconds
        # What reading back needs, seconds long, while the pipelines run.
        threading.Thread(target=_import_libraries, daemon=True).start()
        road = _Road(account, narrator, project, tree, approve)
        for number in range(args.versions):
            seconds.train += road.train(number)
            seconds.release += road.release()
        report = _read_back(account, narrator, project, road.executions)
        seconds.total = time.monotonic() - begun
        rounded = {name: round(value, 1) for name, value in asdict(seconds).items()}
        report["seconds"] = rounded
        path = args.state_dir.absolute() / "demo.json"
        _write(path, report)
        narrator.console.print(table_of(report))
        narrator.say("seconds: " + ", ".join(f"{name} {value}" for name, value in rounded.items()))
        if stays or lives_on or args.tracking_uri:
            narrator.say(f"MLflow: {model_page(project.tracking_uri, _model_name(tree))}")
        narrator.say(f"all of it, read back from MLflow and AWS: {_shown(path)}")
        if args.json:
            print_json(report)
        if stays or lives_on:
            for line in _next_lines(report, None if lives_on else args.state_dir, stays=stays):
                narrator.say(line)
        if stays:
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    if not stays and not lives_on:
        for line in _ENDED:
            narrator.say(line)
    return 0


_ENDED = (
    "What it started has ended. To look around:",
    "`mlops demo --yes` on a terminal does it again, and stays up",
    "with a table of your own: README.md",
)


def _next_lines(report: Mapping[str, Any], state_dir: Path | None, *, stays: bool) -> list[str]:
    """What to type where everything is up.

    `state_dir` is that of the demo's own local-aws, which another shell does not know yet.
    """
    prediction = report["prediction"]
    body = json.dumps({"dataframe_records": prediction["inputs"][:1]})
    commands = [
        "mlops status",
        f"mlops invoke {PROJECT_NAME}-prod --data {shlex.quote(body)}",
        "mlops logs",
    ]
    if state_dir is not None:
        flag = "" if state_dir == STATE_DIR else f" --state-dir {shlex.quote(str(state_dir))}"
        commands.insert(0, f'eval "$(local-aws env{flag})"')
    where = " until Ctrl-C. In another terminal" if stays else ". Go on with"
    return [f"Everything stays up{where}:", *(f"  {as_typed(each)}" for each in commands)]


def _shown(path: Path) -> Path:
    """As it is named from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _open(args: argparse.Namespace, exits: contextlib.ExitStack) -> Account:
    """The AWS on this machine that the environment names, or one of our own.

    Raises InputError where the environment means a real account: a demo costs nothing.
    """
    if not os.environ.get("AWS_ENDPOINT_URL"):
        announced = exits.enter_context(
            local_machine(args.state_dir, mlflow=args.tracking_uri is None)
        )
        for name, value in announced.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    account = open_account(args.region, args.profile)
    if not account.is_local:
        raise InputError(
            f"the demo is for this machine, and AWS_ENDPOINT_URL names {account.describe()}. "
            "On AWS: `mlops platform deploy --size single-user`, then `mlops project deploy NAME`."
        )
    return account


def _deploy(
    account: Account, narrator: Narrator, tracking_uri: str | None, login: Any
) -> tuple[float, ProjectStack]:
    settings = read_settings(size_file(LAPTOP.key))
    given = [f"{LAPTOP.key}.CredentialsSecret={mlflow_login.keep_login(account, login)}"]
    if tracking_uri:
        given.append(f"{LAPTOP.key}.TrackingUri={tracking_uri.rstrip('/')}")
    with narrator.step("deploy: the platform and the project, by CloudFormation") as step:
        display = _StepDisplay(step=step)
        deploy_platform(account, with_parameters(settings, given), [LAPTOP.key], _HOW, display)
        project, _ = deploy_project(account, PROJECT_NAME, ProjectOptions(), _HOW, display)
        assert project is not None, "it was no dry run"
        resources = len(display.done)
        step.result = (
            f"{resources} resources: repositories, pipelines, roles, bucket (stack "
            f"{project.stack.name})"
        )
    return step.seconds, project


@dataclass(frozen=True)
class _StepDisplay(Display):
    """Of a deployment the demo tells only how many resources are done."""

    step: Step | None = None
    done: set[tuple[str, str]] = field(default_factory=set)

    def say(self, text: str) -> None:
        """Nothing: it is one step of many."""

    def result(self, text: str, style: str = "") -> None:
        """Nothing."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Nothing."""

    def changes(self, title: str, changes: Sequence[Change]) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """The step's own line."""
        yield _StepProgress(self, title)


class _StepProgress(Progress):
    def __init__(self, display: _StepDisplay, title: str) -> None:
        super().__init__(display, title, None)
        self._step_display = display

    def tell(self, event: StackEvent) -> None:
        """Count what is done."""
        display = self._step_display
        if event.status.endswith("_COMPLETE") and not event.of_stack:
            display.done.add((self._title, event.logical_id))
        assert display.step is not None
        display.step.progress(f"{len(display.done)} resources, {event.logical_id} {event.status}")


class _Road:
    """The part between the project's stack and the report."""

    def __init__(
        self,
        account: Account,
        narrator: Narrator,
        project: ProjectStack,
        tree: Path,
        approve: Callable[[str], bool],
    ) -> None:
        self._account = account
        self._narrator = narrator
        self._project = project
        self._tree = tree
        self._approve = approve
        self.executions: list[tuple[str, str]] = []

    def train(self, number: int) -> float:
        """Push modelbuild, follow CI; the seconds of both."""
        factor = 2**number
        message = "Train" if factor == 1 else f"Train a forest {factor} times as large"
        pushed = self._push("build", message, lambda folder: _multiply_trees(folder, factor))
        return pushed + self._follow("CI trains and registers")

    def release(self) -> float:
        """Push modeldeploy, follow CD to prod; the seconds of both."""
        pushed = self._push("deploy", "Deploy the latest version", lambda _: None)
        return pushed + self._follow("CD deploys, tests, asks, deploys")

    def _push(self, unit: str, message: str, edit: Callable[[Path], None]) -> float:
        pipeline = self._project.pipeline_name(unit)
        before = newest_execution_id(self._account, pipeline)
        with self._narrator.step(f'git push: model{unit}, "{message}"') as step:
            pushed = push_unit(self._account, self._project, unit, self._tree, message, edit=edit)
            if pushed.new:
                execution = wait_for_execution(self._account, pipeline, before)
                step.result = f"commit {pushed.commit[:8]} started {pipeline}"
            else:
                execution = self._account.client("codepipeline").start_pipeline_execution(
                    name=pipeline
                )["pipelineExecutionId"]
                step.result = f"nothing changed since {pushed.commit[:8]}; started {pipeline} again"
        self.executions.append((pipeline, execution))
        return step.seconds

    def _follow(self, title: str) -> float:
        pipeline, execution = self.executions[-1]
        return tell_execution(
            self._account,
            self._narrator,
            f"{pipeline}: {title}",
            pipeline,
            execution,
            self._approve,
        )


def _multiply_trees(folder: Path, factor: int) -> None:
    """Change a default in the files that are pushed; the working tree stays as it is."""
    path = folder / _FOREST
    text, found = _TREES.subn(lambda m: f"{m[1]}{int(m[2]) * factor}", path.read_text())
    if not found:
        raise CommandFailed(f"{path.name} declares no NEstimators whose default could change")
    path.write_text(text)


def _become_client(account: Account, project: ProjectStack, login: Any) -> None:
    """Let this process ask MLflow, which may keep artifacts in the account's S3."""
    os.environ.update(account.environment())
    os.environ["MLFLOW_TRACKING_URI"] = project.tracking_uri
    if login is not None:
        os.environ["MLFLOW_TRACKING_USERNAME"] = login.username
        os.environ["MLFLOW_TRACKING_PASSWORD"] = login.password


def _await_mlflow(url: str) -> None:
    """Return when it answers; raises AwsRefused if it doesn't in two minutes."""
    import urllib3  # with boto3

    deadline = time.monotonic() + _MLFLOW_SECONDS
    http = urllib3.PoolManager(retries=False, timeout=2.0)
    while True:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if http.request("GET", f"{url}/health").status == 200:
                return
        if time.monotonic() > deadline:
            raise AwsRefused(f"MLflow did not answer at {url} within {_MLFLOW_SECONDS:.0f} s")
        time.sleep(0.1)


def _import_libraries() -> None:
    for name in ("mlflow.pyfunc", "skops.io"):
        importlib.import_module(name)


def _read_back(
    account: Account,
    narrator: Narrator,
    project: ProjectStack,
    executions: list[tuple[str, str]],
) -> dict[str, Any]:
    uri = project.tracking_uri
    with narrator.step("read back: versions, endpoints, a prediction from prod") as step:
        endpoints = read_endpoints(account.client("sagemaker"), project.name)
        prod = next(row for row in endpoints if row["name"].endswith("-prod"))
        prediction = read_prediction(
            account.client("sagemaker-runtime"),
            prod["name"],
            uri,
            f"models:/{prod['model_name']}/{prod['model_version']}",
        )
        step.result = f"{prod['name']} says {prediction['endpoint']}"
        versions = read_versions(uri, prod["model_name"])
        pipelines = [execution_report(account, *each) for each in executions]
    return {
        "versions": versions,
        "endpoints": endpoints,
        "prediction": prediction,
        "pipelines": pipelines,
    }


def _model_name(tree: Path) -> str:
    document = json.loads((tree / "model_deploy" / "deploy.json").read_text())
    return str(document["model_name"])


def _write(path: Path, document: object) -> None:
    """A reader sees the whole new file or the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """`kill` ends it as Ctrl-C does: with everything that it started."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
