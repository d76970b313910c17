"""What the inference image runs: MLflow's container code, with this server instead of MLflow's.

    docker run IMAGE serve ─▶ mlflow.models.container: environment, nginx, workers
                                └─▶ uvicorn ... --app-dir /opt/inference serving.app:app

MLflow has no setting for the application, so the function that makes uvicorn's command is replaced
by one that changes its last word. Where MLflow's command has changed, the container does not start,
and the image's build, which tries it, publishes nothing.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MLFLOW_APP = "mlflow.pyfunc.scoring_server.app:app"
APP = "serving.app:app"
# Where the package `serving` lies; the model's environment does not have it.
APP_DIR = Path(__file__).resolve().parents[1]

Command = Callable[..., tuple[str, dict[str, str]]]


class EntryPointError(Exception):
    """MLflow's container code is another one than this file was written for."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run MLflow's container: `virtualenv serve`, the environment manager and SageMaker's word."""
    # Here, so that the package can be imported where MLflow's server packages are not.
    from mlflow.models import container

    env_manager, command = sys.argv[1:] if argv is None else argv
    replace_server(container)
    container._init(command, env_manager)


def replace_server(container: Any) -> None:
    """Let the container code (mlflow.models.container) start this server."""
    try:
        server = container.scoring_server
        server.get_cmd = with_our_app(server.get_cmd)
    except AttributeError as err:
        raise EntryPointError(
            "mlflow.models.container does not run the command of scoring_server.get_cmd(); look "
            "at its function _serve_pyfunc"
        ) from err


def with_our_app(get_cmd: Command) -> Command:
    """MLflow's get_cmd, which gives a shell command and its environment, but of this server."""

    def get_our_cmd(*args: object, **kwargs: object) -> tuple[str, dict[str, str]]:
        command, environment = get_cmd(*args, **kwargs)
        words = command.split()
        if words[:1] != ["uvicorn"] or words[-1:] != [MLFLOW_APP]:
            raise EntryPointError(
                f"MLflow would run {command!r}, not uvicorn with {MLFLOW_APP}; look at "
                "mlflow.pyfunc.scoring_server.get_cmd of this version"
            )
        options = command.strip().removesuffix(MLFLOW_APP).rstrip()
        return f"{options} --app-dir {shlex.quote(str(APP_DIR))} {APP}", environment

    return get_our_cmd


if __name__ == "__main__":
    main()
