"""What can go wrong, and the exit code of each.

DeployError
├── InputError                 2  something given is wrong; nothing was changed
│   ├── ConfigError               flags, a stage configuration or the template
│   ├── ModelNotFound             no such model, version or alias
│   ├── ModelNotDeployable        the model lacks what serving or review needs
│   ├── ClaimedElsewhere          another project's endpoint serves this model
│   └── ArchiveRefused            a file that must not be in model.tar.gz
└── ServiceError               3  a service refused or cannot be reached
    ├── MLflowError
    ├── AwsError
    ├── ArchiveConflict           other content lies under the archive's digest
    └── Unsettled              4  the endpoint passed, the registry does not say so yet

A failed endpoint check is not an exception: `model_deploy.test` writes its results and exits 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UNKNOWN_CREDENTIALS = re.compile(
    r"\((InvalidClientTokenId|InvalidAccessKeyId|SignatureDoesNotMatch|UnrecognizedClientException)\)"
)


class DeployError(Exception):
    """Base of all errors of this package; `exit_code` is what a CLI returns for it."""

    exit_code = 1


class InputError(DeployError):
    """Something the caller gave is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """All problems of one source (a file, or "the command line"), one a line."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__(_listed(f"{source} can not be used:", problems))
        self.source = source
        self.problems = tuple(problems)


class ModelNotFound(InputError):
    """The registry has no such model, version or alias; the message lists what it has."""


class ModelNotDeployable(InputError):
    """All that a model version lacks, one problem a line."""

    def __init__(self, model: str, problems: Sequence[str]) -> None:
        super().__init__(_listed(f"{model} can not be deployed:", problems))
        self.problems = tuple(problems)


class ClaimedElsewhere(InputError):
    """A stage of this model says what another project's endpoint serves; the message names both."""


class ArchiveRefused(InputError):
    """All files of a model folder that must not go into an archive."""

    def __init__(self, folder: str, problems: Sequence[str]) -> None:
        super().__init__(_listed(f"{folder} can not be packaged:", problems))
        self.problems = tuple(problems)


class ServiceError(DeployError):
    """A service said no, or could not be reached."""

    exit_code = 3


class MLflowError(ServiceError):
    """MLflow refused a request, or is not there."""


class AwsError(ServiceError):
    """AWS refused a request, or is not there."""

    def __init__(self, message: str) -> None:
        local = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname in _LOOPBACK
        if local and _UNKNOWN_CREDENTIALS.search(message):
            message += (
                '. The shell has credentials of an earlier local-aws; type: eval "$(local-aws env)"'
            )
        super().__init__(message)


class ArchiveConflict(ServiceError):
    """The bucket holds something else where this archive belongs."""


class Unsettled(ServiceError):
    """The registry does not say what the endpoint serves, and could not be made to.

    It says nothing against the endpoint: nothing is to be rolled back. `python -m
    model_deploy.reconcile --apply` settles it.
    """

    exit_code = 4


def _listed(title: str, problems: Sequence[str]) -> str:
    return "\n".join([title, *(f"  - {problem}" for problem in problems)])
