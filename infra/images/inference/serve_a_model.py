"""CLI: serve a model with an inference image as SageMaker does, and ask it a question.

    doubling.py ─▶ model ─▶ docker run IMAGE serve ─▶ GET /ping: 200 ─▶ POST /invocations
                            /opt/ml/model read-only    in 25 minutes     twice what was sent?

Asked are both servers in it: for a table in CSV that of serving/, which takes NA in a text column
as text and in a number column as missing; for numbers without columns MLflow's own.

The build of the image runs it before it pushes. The container makes the model's environment when
it starts, so this fails when that would: a Python that can't be compiled, a package that is gone.
Exit codes: 0 the answer is right, 1 it is not, or there is none; the container's log is printed.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

DEFAULT_LIMIT_SECONDS = 1500.0
POLL_SECONDS = 2.0
TELL_SECONDS = 30.0
TABLE = {
    "version": 1,
    "columns": [
        {"name": "code", "kind": "text", "gaps": False},
        {"name": "size", "kind": "number", "gaps": True},
    ],
}
# Content type, body, answer.
QUESTIONS = (
    (
        "text/csv",
        "code,size\nNA,1.5\nNone,2",
        '{"predictions": [{"code": "NANA", "size": 3.0}, {"code": "NoneNone", "size": 4.0}]}',
    ),
    ("application/json", '{"inputs": [1.5, 21.0]}', '{"predictions": [3.0, 42.0]}'),
)


class NoAnswerError(Exception):
    """The image does not serve; the message says how far it came."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code."""
    args = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        save_model(model)
        port = _free_port()
        container = _docker(
            *("run", "--detach", "--publish", f"127.0.0.1:{port}:8080"),
            *("--volume", f"{model}:/opt/ml/model:ro", args.image, "serve"),
        )
        try:
            seconds = wait_until_ready(container, port, args.limit_seconds)
            ask(port)
        except NoAnswerError as err:
            subprocess.run(["docker", "logs", "--tail", "100", container], check=False)
            sys.stderr.write(f"{args.image} does not serve: {err}\n")
            return 1
        finally:
            _docker("rm", "--force", container)
    sys.stdout.write(f"{args.image} serves a model after {seconds:.0f} s\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The flags, each with its default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("image", help="name of the image, known to the Docker of this machine")
    parser.add_argument(
        "--limit-seconds",
        type=float,
        default=DEFAULT_LIMIT_SECONDS,
        help="how long it may take until the model is served (default: %(default)s)",
    )
    return parser


def save_model(folder: Path) -> None:
    """Write the model that doubling.py defines, with this environment's MLflow and Python."""
    # After the arguments: 3 s.
    import mlflow

    mlflow.pyfunc.save_model(
        folder,
        metadata={"table": TABLE},
        python_model=str(Path(__file__).with_name("doubling.py")),
        pip_requirements=[f"mlflow=={mlflow.__version__}"],
    )


def wait_until_ready(container: str, port: int, limit_seconds: float) -> float:
    """The seconds until /ping said 200. Raises NoAnswerError if it ends first, or takes longer."""
    started = time.monotonic()
    told = started
    while not _answers(port):
        now = time.monotonic()
        if _docker("inspect", "--format", "{{.State.Running}}", container) != "true":
            raise NoAnswerError(f"the container ended after {now - started:.0f} s")
        if now - started > limit_seconds:
            raise NoAnswerError(f"no answer to /ping within {limit_seconds:.0f} s")
        if now - told >= TELL_SECONDS:
            told = now
            sys.stdout.write(f"making the model's environment, {now - started:.0f} s so far\n")
            sys.stdout.flush()
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started


def ask(port: int) -> None:
    """Raise NoAnswerError unless the served model doubles whatever it is sent."""
    for content_type, body, wanted in QUESTIONS:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            data=body.encode(),
            headers={"Content-Type": content_type},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                answer = json.dumps(json.loads(response.read()))
        except (OSError, ValueError) as err:
            raise NoAnswerError(f"/invocations failed for {body!r}: {err}") from err
        if answer != wanted:
            raise NoAnswerError(f"it answered {answer} to {body!r}, not {wanted}")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=10) as response:
            return bool(response.status == 200)
    except OSError:  # nobody there yet, or nginx without the server behind it
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _docker(*arguments: str) -> str:
    """What docker printed."""
    done = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
