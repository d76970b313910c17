"""`local-aws`: AWS and MLflow on this machine.

up       serve until Ctrl-C            env      what to export: eval "$(local-aws env)"
status   what runs                     down     end what `up` started
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.errors import LocalAwsError, UsageError
from local_aws.hints import as_typed
from local_aws.shell import OTHER_ACCOUNTS, path_line, shell_lines
from local_aws.state import DEFAULT_STATE_DIR, StateFolder
from local_aws.workers import only_logged, start_worker

_END_SECONDS = 40.0  # how long `down` waits before it ends the process the hard way


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done.

    1 the answer can't be written, 2 wrong input, 3 start failed, 130 Ctrl-C.
    """
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        level=arguments.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for name in OTHER_ACCOUNTS:  # a profile that isn't there would fail every client
        os.environ.pop(name, None)
    # MLflow's thread changes the environment while requests read it, which fails now and then.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        code = command(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where what goes wrong can still be said
        return code
    except LocalAwsError as err:
        print(f"error: {as_typed(str(err))}", file=sys.stderr)
        return err.exit_code
    except (ClientError, BotoCoreError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print(f"ended by Ctrl-C; {arguments.interrupted}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as err:
        print(f"error: {err}", file=sys.stderr)
        _drop_output()
        return 1


def _drop_output() -> None:
    """Nobody reads what is still buffered, or it can't be written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """Its help has commands as they can be typed."""

    def format_help(self) -> str:
        return as_typed(super().format_help())


def build_parser() -> argparse.ArgumentParser:
    """The command line; each subcommand's function is in `command`."""
    parser = _Parser(
        prog="local-aws", description="AWS and MLflow on this machine.", allow_abbrev=False
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"local-aws {metadata.version('local-aws')}",
    )
    shared = _Parser(add_help=False, allow_abbrev=False)
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
    up.add_argument(
        "--mlflow",
        action=argparse.BooleanOptionalAction,
        help="start an MLflow server too, on SQLite (default: if MLflow is installed)",
    )
    up.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end when standard input ends too: for a program that starts it",
    )
    up.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        help="go on with the state that the last `up --keep` left, and keep this one (default: "
        "start from nothing, unless there is a kept state)",
    )
    add("env", _env, 'print what to export: eval "$(local-aws env)"')
    add("status", _status, "what runs: servers, pipeline executions, endpoints, stacks")
    down = add("down", _down, "end what `up` started in this folder")
    down.add_argument("--quiet", action="store_true", help="say nothing if nothing runs")
    return parser


def _up(arguments: argparse.Namespace) -> int:
    from local_aws.server import LocalAws

    def print_environment() -> None:
        for line in shell_lines(served.environment, os.environ):
            print(line)
        for note in served.notes:
            print(f"# {note}")
        tracking = served.environment.get("MLFLOW_TRACKING_URI")
        mlflow = tracking and f", MLflow, which takes some seconds, at {tracking}"
        print(f"# AWS at {served.own.url}{mlflow or ''}.", flush=True)

    served = LocalAws(
        arguments.state_dir,
        arguments.port,
        mlflow=_with_mlflow(arguments.mlflow),
        keep=arguments.keep,
        on_aws=print_environment,
    )
    with _sigterm_as_ctrl_c():
        if arguments.end_with_stdin:
            start_worker("the watch over stdin", _interrupt_at_end_of_stdin, only_logged)
        with served:
            hint = as_typed('# In another terminal: eval "$(local-aws env)"    Ctrl-C ends it.')
            with contextlib.suppress(KeyboardInterrupt):
                print(hint, flush=True)
                signal.pause()
            print("ending ...", file=sys.stderr)
    return 0


def _interrupt_at_end_of_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _with_mlflow(wanted: bool | None) -> bool:
    """Whether to start MLflow's server; UsageError if it is wanted and not installed."""
    if wanted is False:
        return False
    try:
        metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        how = as_typed("`pip install 'local-aws[mlflow]'` brings it")
        if wanted:
            raise UsageError(f"MLflow is not installed: {how}") from None
        print(f"MLflow is not installed, so AWS comes alone; {how}", file=sys.stderr)
        return False
    return True


def _env(arguments: argparse.Namespace) -> int:
    running = StateFolder(arguments.state_dir).require_running()
    _require_output()
    for line in shell_lines(running.environment, os.environ):
        print(line)
    for line in path_line(Path(sys.executable).parent, os.environ):
        print(line)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from local_aws.status import print_status

    running = StateFolder(arguments.state_dir).require_running()
    _require_output()
    print_status(running)
    return 0


def _require_output() -> None:
    """Raise LocalAwsError where the answer would go nowhere without a word."""
    if sys.stdout is None:
        raise LocalAwsError("standard output is closed: there is nowhere to print")


def _down(arguments: argparse.Namespace) -> int:
    state = StateFolder(arguments.state_dir)
    process = state.holder()
    if process is None:
        if not arguments.quiet:
            print(f"nothing runs in {state.path}")
        return 0
    process.terminate()
    deadline = time.monotonic() + _END_SECONDS
    while state.holder() == process:
        if time.monotonic() > deadline:
            process.kill()  # what it started ends with it: each child watches its parent
            process.wait()
        time.sleep(0.1)
    print(f"ended process {process.pid}")
    return 0


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
