"""The one command that `mlops status` and `mlops` name as the next."""

from __future__ import annotations

import pytest

from mlops.project.executions import ExecutionRecord
from mlops.release.status import next_step

PROD = [{"name": "housing-prod"}]


def run(status: str, commit: str = "c0ffee") -> ExecutionRecord:
    return ExecutionRecord(
        pipeline="p",
        execution_id="1",
        status=status,
        status_summary="",
        trigger="",
        commit=commit,
        message="",
        actions=(),
        approval=None,
    )


@pytest.mark.parametrize(
    ("build", "deploy", "endpoints", "command"),
    [
        (None, None, [], "mlops push build"),
        (run("Failed", commit=""), None, [], "mlops push build"),
        (run("InProgress"), None, [], "mlops pipeline build"),
        (run("Failed"), None, [], "mlops pipeline build --once"),
        (run("Succeeded"), None, [], "mlops push deploy"),
        (run("Succeeded"), run("Failed"), [], "mlops pipeline deploy --once"),
        (run("Succeeded"), run("Succeeded"), PROD, "mlops invoke housing-prod --file rows.csv"),
        # Trained by `mlops train`: modelbuild's pipeline ran once, before there was a commit.
        (run("Failed", ""), run("Succeeded"), PROD, "mlops invoke housing-prod --file rows.csv"),
        (run("Failed", ""), run("Failed"), PROD, "mlops pipeline deploy --once"),
    ],
)
def test_the_next_step_fits_what_there_is(build, deploy, endpoints, command):
    assert next_step([build, deploy], endpoints) == command
