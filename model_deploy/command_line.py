"""What the command lines of this package set up for their process."""

from __future__ import annotations

import logging
import os
import sys


def set_up_process(log_level: str) -> None:
    """Our log at `log_level` on stderr, libraries' from WARNING; MLflow gives up within seconds."""
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("model_deploy").setLevel(log_level)
    logging.getLogger("mlflow.tracking.request_header.registry").addFilter(_is_news)
    # MLflow's own defaults try eight times for two minutes each. Three times half a minute, with
    # the pauses between, end a call within two minutes also where a server is frozen in it.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    if not sys.stderr.isatty():  # a progress bar in a build's log is one endless line
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def _is_news(record: logging.LogRecord) -> bool:
    """Drops what the sagemaker-mlflow plugin says at each request to an MLflow that is no ARN."""
    return "list index out of range" not in record.getMessage()
