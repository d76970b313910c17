"""The `aws` command line against pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aws_cli import run_aws


def aws(account: Any, *arguments: str) -> tuple[int, Any, str]:
    """The exit code, what it printed as JSON, its stderr."""
    done = run_aws(account.gateway.own, "codepipeline", *arguments)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


def test_pipeline_is_created_looked_at_and_approved(
    account: Any, declare: Any, tmp_path: Path
) -> None:
    declaration = account.declaration(
        account.source_stage(), declare.stage("Ask", declare.approval())
    )
    name = declaration["name"]
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps({"pipeline": declaration}))
    code, created, stderr = aws(account, "create-pipeline", "--cli-input-json", f"file://{file}")
    assert (code, stderr) == (0, "")
    assert created["pipeline"]["name"] == name

    def token() -> str | None:
        _, state, _ = aws(account, "get-pipeline-state", "--name", name)
        (action,) = state["stageStates"][1]["actionStates"]
        return action.get("latestExecution", {}).get("token")  # type: ignore[no-any-return]

    code, answer, stderr = aws(
        account,
        "put-approval-result",
        *("--pipeline-name", name, "--stage-name", "Ask", "--action-name", "Approve"),
        *("--token", declare.eventually(token), "--result", "summary=fine,status=Approved"),
    )
    assert (code, stderr) == (0, "")
    assert "approvedAt" in answer

    code, _, stderr = aws(account, "get-pipeline", "--name", "absent")
    assert code != 0
    assert "PipelineNotFoundException" in stderr
