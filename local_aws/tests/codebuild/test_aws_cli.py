"""The `aws` command line against builds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aws_cli import run_aws


def aws(account: Any, *arguments: str) -> Any:
    """What it printed as JSON; a failure shows what it said."""
    done = run_aws(account.own, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_build_is_started_followed_and_its_log_read(account: Any, tmp_path: Path) -> None:
    definition = account.definition(
        """
        version: 0.2
        phases:
          build:
            commands:
              - echo "hello $WHO"
        """
    )
    file = tmp_path / "project.json"
    file.write_text(json.dumps(definition))
    aws(account, "codebuild", "create-project", "--cli-input-json", f"file://{file}")

    started = aws(
        account,
        *("codebuild", "start-build", "--project-name", definition["name"]),
        *("--environment-variables-override", "name=WHO,value=world"),
    )["build"]
    account.finished(started["id"])

    (build,) = aws(account, "codebuild", "batch-get-builds", "--ids", started["id"])["builds"]
    assert (build["buildStatus"], build["buildComplete"]) == ("SUCCEEDED", True)
    events = aws(
        account,
        *("logs", "get-log-events", "--log-group-name", build["logs"]["groupName"]),
        *("--log-stream-name", build["logs"]["streamName"]),
    )["events"]
    assert "hello world" in [event["message"].strip() for event in events]
