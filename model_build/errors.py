"""What can go wrong in model_build, and the exit code each kind gives.

ModelBuildError           2
├── ConfigError           2   wrong input: flags, keywords, parameters, environment variables
├── ExecutionError        1   the execution ended Failed or Stopped
└── ServiceError          3   AWS or MLflow refused, or can't be reached
"""

from collections.abc import Sequence


class ModelBuildError(Exception):
    """A message for a person: what failed, why, what to do. `exit_code` is the process's."""

    exit_code = 2


class ConfigError(ModelBuildError):
    """Every problem found in one source of input, reported together.

    `source` names where the values came from; `problems` holds one sentence for each.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            message = f"{source}: {self.problems[0]}"
        else:
            message = "\n  - ".join([f"{source}: {len(self.problems)} problems", *self.problems])
        super().__init__(message)


class ExecutionError(ModelBuildError):
    """A pipeline execution ended in another way than Succeeded."""

    exit_code = 1


class ServiceError(ModelBuildError):
    """AWS or MLflow refused a call, or couldn't be reached."""

    exit_code = 3
