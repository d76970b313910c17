"""What can go wrong in model_build, and the exit code each kind gives.

ModelBuildError           2
├── ConfigError           2   wrong input: flags, keywords, parameters, environment variables
├── ExecutionError        1   the execution ended Failed or Stopped
├── ServiceError          3   AWS or MLflow refused, or can't be reached
└── GateNotMetError       4   everything ran; the model is not good enough to be registered
"""

from collections.abc import Sequence


class ModelBuildError(Exception):
    """A message for a person: what failed, why, what to do. `exit_code` is the process's.

    `told`: the project's rules tell by mail of what SageMaker says of it, which is enough.
    """

    exit_code = 2
    told = False


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

    def __init__(self, message: str, *, told: bool = False) -> None:
        self.told = told
        super().__init__(message)


class ServiceError(ModelBuildError):
    """AWS or MLflow refused a call, or couldn't be reached."""

    exit_code = 3


class GateNotMetError(ModelBuildError):
    """The training ran to its end, and its model did not pass the quality gate.

    `reason` is the gate's, `run_url` where the run with its report is ("" if that isn't known).
    """

    exit_code = 4
    told = True

    def __init__(self, message: str, *, reason: str, run_url: str) -> None:
        self.reason = reason
        self.run_url = run_url
        super().__init__(message)
