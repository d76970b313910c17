"""What this package takes from the training step's files: estimators, metrics, names, links.

steps/train_evaluate_register is a folder of scripts, not part of this package's imports: in the job
its modules are top level. Those are written so that they can be read from here as well.
"""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_build.errors import ConfigError

_STEP = "model_build.steps.train_evaluate_register"

metrics: Any = importlib.import_module(f"{_STEP}.metrics")
mlflow_pages: Any = importlib.import_module(f"{_STEP}.mlflow_pages")
model_name: Any = importlib.import_module(f"{_STEP}.model_name")
_estimators: Any = importlib.import_module(f"{_STEP}.estimators")

# What pip installs in the job.
REQUIREMENTS = Path(__file__).resolve().parent / "steps/train_evaluate_register/requirements.txt"
DEFAULT_ESTIMATOR: str = _estimators.DEFAULT


def find_estimators() -> Mapping[str, Any]:
    """Each file's `ESTIMATOR` by name, the default first. Raises ConfigError naming the file."""
    try:
        found: Mapping[str, Any] = _estimators.find_estimators()
    except _estimators.EstimatorError as err:
        raise ConfigError("the estimators", [str(err)]) from err
    return found


def list_estimator_parameters() -> list[Any]:
    """What all estimators' files declare, each name once. Raises ConfigError."""
    declared: list[Any] = _estimators.list_parameters(find_estimators())
    return declared


def list_job_packages() -> set[str]:
    """By the names of the lines of requirements.txt, in small letters."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").lower().splitlines()
    return {name[0] for line in lines if (name := re.match(r"[a-z0-9][\w.-]*", line))}
