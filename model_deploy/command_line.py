"""What the command lines of this package set up for their process."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

# In backticks, after `$(`, or the whole text: where messages have their commands.
_FIRST_WORD = re.compile(r"(?:(?<=`)|(?<=\$\()|^)(?P<name>[a-z][\w-]*)(?=\s+[\w\"'$/.-])")
# Whichever there is: the commands that are printed are of both versions of the AWS CLI.
_ANY = frozenset({"aws"})


def set_up_process(log_level: str) -> None:
    """Our log at `log_level` on stderr, libraries' from WARNING; MLflow gives up within seconds.

    SIGTERM, by which CodeBuild and people end a build, ends it as Ctrl-C does: what is open is
    closed, what is temporary is removed.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_with_commands_as_typed)
    logging.getLogger("model_deploy").setLevel(log_level)
    logging.getLogger("mlflow.tracking.request_header.registry").addFilter(_is_news)
    # MLflow's own defaults try eight times for two minutes each. Three times half a minute, with
    # the pauses between, end a call within two minutes also where a server is frozen in it.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    if not sys.stderr.isatty():  # a progress bar in a build's log is one endless line
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


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
