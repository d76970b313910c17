"""The checks in reading order: each may assume what those before it look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlops.platform.doctor.checks import (
    allowed_hosts,
    artifacts,
    credentials,
    images,
    mlflow,
    notifications,
    parameters,
    quotas,
    roles,
    server,
    stacks,
    studio,
)
from mlops.platform.doctor.finding import Finding
from mlops.platform.doctor.patient import Patient


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check by name; after `seconds` it is given up."""

    name: str
    look: Callable[[Patient], Iterable[Finding]]
    seconds: float = 45
    of_project: bool = False

    @property
    def title(self) -> str:
        """What it looks at: the first line of its docstring."""
        return (self.look.__doc__ or "").strip().splitlines()[0]


CHECKS = (
    Check(name="credentials", look=credentials.check),
    Check(name="stacks", look=stacks.check, of_project=True),
    Check(name="parameters", look=parameters.check),
    Check(name="quotas", look=quotas.check, seconds=150),
    Check(name="images", look=images.check),
    Check(name="server", look=server.check),
    # Five requests of 14 seconds at worst, and MLflow's import; `artifacts` waits for its end.
    Check(name="mlflow", look=mlflow.check, seconds=90),
    Check(name="allowed-hosts", look=allowed_hosts.check),
    Check(name="artifacts", look=artifacts.check, seconds=120),
    Check(name="roles", look=roles.check, seconds=60, of_project=True),
    Check(name="notifications", look=notifications.check, of_project=True),
    Check(name="studio", look=studio.check),
)
