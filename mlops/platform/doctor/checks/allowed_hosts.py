"""Whether MLflow refuses what does not ask for it by its own name."""

from __future__ import annotations

from collections.abc import Iterator

from mlops.platform.doctor.finding import Finding, failed, ok, skipped
from mlops.platform.doctor.patient import Patient
from mlops.platform.doctor.tracking import SEARCH, Answer, ask, host_of, is_managed, require_uri

# No name of the real world: ".invalid" is reserved (RFC 2606).
FOREIGN_HOST = "doctor.invalid"


def check(patient: Patient) -> Iterator[Finding]:
    """A request under a foreign host name is refused: protection against DNS rebinding.

    Without it a web page that somebody opens could let its own name resolve to MLflow's address and
    read MLflow through that person's browser.
    """
    uri = require_uri(patient)
    if is_managed(uri):
        yield skipped("SageMaker's MLflow answers signed requests only")
        return
    # Without login: nothing that a page of a stranger would have.
    yield judge(ask(uri, SEARCH, host=FOREIGN_HOST), uri)


def judge(answer: Answer, uri: str) -> Finding:
    """What it means that MLflow answered so."""
    if answer.obstacle or answer.status >= 500:
        return skipped("MLflow does not answer: see the check `mlflow`")
    if answer.status in (200, 401):
        return failed(
            f"MLflow at {uri} answers requests under any host name ({answer.status} for "
            f"{FOREIGN_HOST})",
            f"MLFLOW_SERVER_ALLOWED_HOSTS={host_of(uri)} in the server's environment, without *; "
            "infra/platform/mlflow.yml sets it: `mlops platform deploy --stack mlflow`",
        )
    return ok(f"MLflow refuses other host names than its own ({answer.status})")
