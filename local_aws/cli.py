"""`local-aws`: AWS and MLflow on this machine.

up       serve until Ctrl-C            env      what to export: eval "$(local-aws env)"
status   what runs                     logs     what jobs and endpoints printed
invoke   ask an endpoint               down     end what `up` started
deploy   put the project's CI/CD up    push     release the working tree: build or deploy
pipeline how far its pipelines are     approve  let what waits go to prod; reject: stop it
schedule when it trains by itself      demo     the whole road, from `git push` to prod
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.errors import LocalAwsError, UsageError
from local_aws.project.command_line import add_project_commands
from local_aws.state import DEFAULT_STATE_DIR, StateFolder, process_of

if TYPE_CHECKING:
    from local_aws.mlflow_elsewhere import MlflowElsewhere

_END_SECONDS = 40.0  # how long `down` waits before it ends the process the hard way


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done.

    1 the demo failed or the endpoint answered with an error, 2 wrong input, 3 start failed, 130
    Ctrl-C.
    """
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        level=arguments.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # MLflow's thread changes the environment while requests read it, which fails now and then.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except LocalAwsError as err:
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    except (ClientError, BotoCoreError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print(f"ended by Ctrl-C; {arguments.interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line; each subcommand's function is in `command`."""
    parser = argparse.ArgumentParser(
        prog="local-aws", description="AWS and MLflow on this machine.", allow_abbrev=False
    )
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE_DIR,
        help="where everything is kept (default: %(default)s)",
    )
    shared.add_argument(
        "--log-level",
        default="WARNING",
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        help="how much the servers tell on stderr (default: %(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str,
        function: Callable[[argparse.Namespace], int],
        text: str,
        interrupted: str = "what runs in the folder runs on",
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text, parents=[shared], allow_abbrev=False
        )
        command.set_defaults(command=function, interrupted=interrupted)
        return command

    all_ended = "nothing of local_aws runs any more"
    up = add("up", _up, "serve until Ctrl-C; prints the environment to export", all_ended)
    up.add_argument("--port", type=int, default=0, help="of the gateway (default: a free one)")
    _add_mlflow_flags(up)
    add("env", _env, 'print what to export: eval "$(local-aws env)"')
    add("status", _status, "what runs: servers, pipeline executions, endpoints, stacks")
    logs = add("logs", _logs, "what a job or endpoint printed; without a name, which there are")
    logs.add_argument("name", nargs="?", help="name of a job or endpoint, or the start of it")
    logs.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    invoke = add("invoke", _invoke, "send a request to an endpoint, print its answer")
    invoke.add_argument("endpoint", metavar="ENDPOINT")
    body = invoke.add_mutually_exclusive_group(required=True)
    body.add_argument("--file", type=Path, help="the request's body, from a file")
    body.add_argument("--data", help="the request's body, as text")
    invoke.add_argument(
        "--content-type",
        help="of the body (default: by the file's ending .csv or .json, else application/json)",
    )
    down = add("down", _down, "end what `up` or `demo` started in this folder")
    down.add_argument("--quiet", action="store_true", help="say nothing if nothing runs")
    released = add(
        "release", _release, "take a registered version to staging, and to prod once approved"
    )
    released.add_argument("--model-name", required=True, help="as it is registered in MLflow")
    released.add_argument(
        "--model-version", default="latest", help="number, alias or latest (default: %(default)s)"
    )
    released.add_argument("--yes", action="store_true", help="approve the deployment to prod")
    add_project_commands(add)
    demo = add(
        "demo",
        _demo,
        "deploy the project, push, approve, predict from prod; writes demo.json",
        all_ended,
    )
    demo.add_argument("--yes", action="store_true", help="approve each deployment to prod unasked")
    demo.add_argument(
        "--versions",
        type=int,
        choices=[1, 2, 3],
        default=1,
        help="how often to train and release, each forest twice as large (default: %(default)s)",
    )
    demo.add_argument(
        "--exit", action="store_true", help="end everything afterwards, on a terminal too"
    )
    _add_mlflow_flags(demo)
    return parser


def _add_mlflow_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="an MLflow server that runs already (default: one of its own is started)",
    )
    login = command.add_mutually_exclusive_group()
    login.add_argument(
        "--credentials-secret-file",
        type=Path,
        metavar="FILE",
        help='its login, as JSON: {"username": "...", "password": "..."} (default: none)',
    )
    login.add_argument(
        "--tracking-username",
        metavar="NAME",
        help="its user; the password is in MLFLOW_TRACKING_PASSWORD (default: none)",
    )


def _mlflow_elsewhere(arguments: argparse.Namespace) -> MlflowElsewhere | None:
    from local_aws.mlflow_elsewhere import MlflowElsewhere

    return MlflowElsewhere.from_flags(
        arguments.tracking_uri,
        arguments.credentials_secret_file,
        arguments.tracking_username,
        os.environ,
    )


def _up(arguments: argparse.Namespace) -> int:
    from local_aws.server import LocalAws

    served = LocalAws(arguments.state_dir, arguments.port, mlflow=_mlflow_elsewhere(arguments))
    with _sigterm_as_ctrl_c(), served as local_aws:
        for line in _exports(local_aws.environment):
            print(line)
        print(
            f"# AWS at {local_aws.own.url}, "
            f"MLflow at {local_aws.environment['MLFLOW_TRACKING_URI']}.\n"
            '# In another terminal: eval "$(local-aws env)"    Ctrl-C ends it.',
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        print("ending ...", file=sys.stderr)
    return 0


def _env(arguments: argparse.Namespace) -> int:
    for line in _exports(StateFolder(arguments.state_dir).require_running().environment):
        print(line)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from local_aws.status import print_status

    print_status(StateFolder(arguments.state_dir).require_running())
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    from local_aws.log_reader import follow_logs, list_logs, print_logs

    logs = _client(arguments, "logs")
    if arguments.name is None:
        list_logs(logs)
    elif arguments.follow:
        follow_logs(logs, arguments.name)
    else:
        print_logs(logs, arguments.name)
    return 0


def _invoke(arguments: argparse.Namespace) -> int:
    runtime = _client(arguments, "sagemaker-runtime")
    if arguments.file is not None:
        try:
            body = arguments.file.read_bytes()
        except OSError as err:
            raise UsageError(f"cannot read {arguments.file}: {err.strerror}") from err
    else:
        body = arguments.data.encode()
    csv = arguments.file is not None and arguments.file.suffix == ".csv"
    kind = arguments.content_type or ("text/csv" if csv else "application/json")
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=arguments.endpoint, Body=body, ContentType=kind
        )
    except ClientError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    print(answer["Body"].read().decode())
    return 0


def _down(arguments: argparse.Namespace) -> int:
    state = StateFolder(arguments.state_dir)
    running = state.running()
    if running is None:
        if not arguments.quiet:
            print(f"nothing runs in {state.path}")
        return 0
    process = process_of(running)
    if process is not None:
        process.terminate()
        deadline = time.monotonic() + _END_SECONDS
        while process_of(running) is not None:
            if time.monotonic() > deadline:
                process.kill()  # what it started ends with it: each child watches its parent
                break
            time.sleep(0.1)
    state.withdraw()
    print(f"ended process {running.pid}")
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from local_aws.demo.commands import Commands
    from local_aws.demo.narration import Narrator
    from local_aws.demo.release import release
    from local_aws.mlflow_elsewhere import become_client

    approve = _approval(arguments)
    state = StateFolder(arguments.state_dir)
    running = state.require_running()
    if running.mlflow_elsewhere:
        become_client(running.environment, os.environ)
    # A folder for each run: two at once must not read each other's files.
    runs = state.path / "release"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=runs))
    commands = Commands(running.environment, Path.cwd(), folder)
    with _sigterm_as_ctrl_c():
        release(commands, Narrator(), approve, arguments.model_name, arguments.model_version)
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from local_aws.demo.demo import run_demo
    from local_aws.demo.narration import Narrator

    def stay() -> None:
        if arguments.exit or not sys.stdin.isatty():
            return
        print("Everything stays up until Ctrl-C.", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()

    approve = _approval(arguments)
    with _sigterm_as_ctrl_c():
        run_demo(
            arguments.state_dir,
            Path.cwd(),
            Narrator(),
            approve,
            stay,
            versions=arguments.versions,
            mlflow=_mlflow_elsewhere(arguments),
        )
    return 0


def _approval(arguments: argparse.Namespace) -> Callable[[str], bool]:
    """What answers "deploy to prod?": --yes, or the person at the terminal."""
    if arguments.yes:
        return lambda _: True
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for approval on. Pass --yes to approve.")
    return lambda question: input(f"    {question} [y/N] ").strip().lower() in ("y", "yes")


def _client(arguments: argparse.Namespace, service: str) -> Any:
    from local_aws.remote import client_of

    running = StateFolder(arguments.state_dir).require_running()
    return client_of(running.environment, service)


def _exports(environment: dict[str, str]) -> Iterator[str]:
    for name, value in sorted(environment.items()):
        yield f"export {name}={shlex.quote(value)}"


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


if __name__ == "__main__":
    sys.exit(main())
