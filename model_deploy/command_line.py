"""What the command lines of this package set up for their process."""

from __future__ import annotations

import atexit
import http.client
import json
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from model_deploy.errors import ServiceError

logger = logging.getLogger(__name__)

# In backticks, after `$(`, or the whole text: where messages have their commands.
_FIRST_WORD = re.compile(r"(?:(?<=`)|(?<=\$\()|^)(?P<name>[a-z][\w-]*)(?=\s+[\w\"'$/.-])")
# Whichever there is: the commands that are printed are of both versions of the AWS CLI.
_ANY = frozenset({"aws"})


def set_up_process(log_level: str) -> None:
    """Our log at `log_level` on stderr, libraries' from WARNING; MLflow gives up within seconds.

    SIGTERM, by which CodeBuild and people end a build, ends it as Ctrl-C does: what is open is
    closed, what is temporary is removed. Where the shell names an AWS or MLflow of this machine
    that has ended, it ends at once, saying so.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_with_commands_as_typed)
    logging.getLogger("model_deploy").setLevel(log_level)
    tell_topic("model_deploy")
    logging.getLogger("mlflow.tracking.request_header.registry").addFilter(_is_news)
    # MLflow's own defaults try eight times for two minutes each. Three times half a minute, with
    # the pauses between, end a call within two minutes also where a server is frozen in it.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    if not sys.stderr.isatty():  # a progress bar in a build's log is one endless line
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    problem = explain_stale_shell(os.environ)
    if problem:
        logger.error("%s", problem)
        raise SystemExit(ServiceError.exit_code)


def explain_stale_shell(environment: Mapping[str, str]) -> str:
    """Why nothing answers at an address of this machine that the shell exports; empty if all do.

    AWS's SDK and MLflow would try for a minute. No other machine's address is looked at.
    """
    try:
        running = json.loads(Path(".local/running.json").read_text())["environment"]
    except (OSError, ValueError, LookupError, TypeError):
        running = {}  # no local-aws in this folder
    program = Path(sys.executable).with_name("local-aws")
    found = shutil.which("local-aws") is None and program.is_file()
    use = f'eval "$({os.path.relpath(program) if found else "local-aws"} env)"'
    known = {"AWS_ENDPOINT_URL": "where a local-aws was", "MLFLOW_TRACKING_URI": "MLflow's address"}
    for name, what in known.items():
        address = urlsplit(environment.get(name, ""))
        if address.hostname not in ("127.0.0.1", "localhost", "::1"):
            continue
        same = running.get(name, environment[name]) == environment[name]
        if name == "MLFLOW_TRACKING_URI" and environment.get("AWS_ENDPOINT_URL") and same:
            continue  # that AWS answers, and its MLflow takes some seconds to start
        try:
            default = 443 if address.scheme == "https" else 80
            there = http.client.HTTPConnection(address.hostname, address.port or default, timeout=1)
            there.connect()
            there.close()
        except OSError:
            told = f"nothing answers at {address.netloc} ({name}), {what}"
            if not same:
                return f"{told}; another local-aws runs in this folder. Type: {use}"
            names = "AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_TRACKING_URI"
            return (
                f"{told}; start one by `local-aws up`, then type: {use}. "
                f"For another AWS type: unset {names}"
            )
    return ""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # Only once: a second one would end the clearing up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _is_news(record: logging.LogRecord) -> bool:
    """Drops what the sagemaker-mlflow plugin says at each request to an MLflow that is no ARN."""
    return "list index out of range" not in record.getMessage()


def _with_commands_as_typed(record: logging.LogRecord) -> bool:
    record.msg, record.args = as_typed(record.getMessage()), ()
    return True


def as_typed(text: str) -> str:
    """The text; a program that PATH would not find, or find another of, has its path before it.

    That is so where the environment of this interpreter is not active. In CodeBuild's log the names
    stay: who reads it sits elsewhere.
    """
    if "CODEBUILD_BUILD_ID" in os.environ:
        return text
    return _FIRST_WORD.sub(lambda found: _path_of(found["name"]), text)


def _path_of(name: str) -> str:
    own = Path(sys.executable).parent / name
    if not own.is_file():
        return name
    found = shutil.which(name)
    if found is not None and (name in _ANY or Path(found).samefile(own)):
        return name
    relative = os.path.relpath(own)
    if os.sep not in relative:
        relative = f".{os.sep}{relative}"
    return shlex.quote(min(relative, str(own), key=len))


class TopicHandler(logging.Handler):
    """Keeps the last error that was logged, and publishes it to a topic when the process ends."""

    def __init__(self, topic_arn: str) -> None:
        super().__init__(logging.ERROR)
        self._topic_arn = topic_arn
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, unless whoever logs says that it is told by others."""
        if not getattr(record, "told", False):
            self._last = record.getMessage()

    def publish(self) -> None:
        """Nothing that goes wrong here changes how the program ends."""
        if not self._last:
            return
        build = os.environ.get("CODEBUILD_BUILD_ID", "")
        read_on = f"\n\nIts log: `mlops logs {build}`" if build else ""
        import boto3
        from botocore.config import Config

        # A network without a way to SNS must not hold the build up.
        limits = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        try:
            boto3.client("sns", region_name=region, config=limits).publish(
                TopicArn=self._topic_arn,
                Subject=f"Failed: {build.partition(':')[0] or 'a build'}"[:100],
                Message=f"{self._last[:10_000]}{read_on}",
            )
        except Exception as err:  # noqa: BLE001 - of whatever kind
            sys.stderr.write(f"warning: nobody was told of it by mail: {err}\n")


def tell_topic(name: str) -> None:
    """Publish the last error of logger `name` to NOTIFICATION_TOPIC_ARN, where a build has one."""
    topic_arn = os.environ.get("NOTIFICATION_TOPIC_ARN", "")
    if topic_arn:
        # Now, as it starts what can not be started any more when the process ends.
        import boto3  # noqa: F401

        handler = TopicHandler(topic_arn)
        logging.getLogger(name).addHandler(handler)
        atexit.register(handler.publish)
