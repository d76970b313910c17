"""`mlops release`: what it writes into deploy.json, and what it says of a failure.

tests/end_to_end has the road itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.cli import main
from mlops.errors import InputError
from mlops.project.executions import ActionRecord, ExecutionRecord
from mlops.release.releasing import _name_version, _reason
from model_deploy.deploy_request import DeployRequest

REVIEWED = {"trusted_types": {"a.B": "a reason of its own"}, "code_on_load": "forbid"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deploy.json"
    path.write_text(json.dumps({"model_name": "prices", "model_version": "1", **REVIEWED}))
    return path


def test_another_version_of_the_model_keeps_what_was_reviewed(path: Path) -> None:
    _name_version(path, "prices", "2")
    assert json.loads(path.read_text()) == {
        "model_name": "prices",
        "model_version": "2",
        **REVIEWED,
    }
    assert DeployRequest.from_json(path).model_version == "2"


def test_another_model_is_not_trusted_for_what_was_reviewed_of_this_one(path: Path) -> None:
    _name_version(path, "houses", "latest")
    assert json.loads(path.read_text()) == {"model_name": "houses", "model_version": "latest"}


def test_a_file_that_says_so_already_is_left_alone(path: Path) -> None:
    before = path.read_text()
    _name_version(path, "prices", "1")
    assert path.read_text() == before


def test_a_file_that_is_no_json_is_named_and_left_alone(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(InputError, match=r"cannot read .*deploy.json: "):
        _name_version(path, "prices", "1")
    assert path.read_text() == "{"


def test_elsewhere_than_in_the_root_folder_nothing_is_asked_of_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["release", "prices", "--yes"]) == 2
    assert "holds no model_build/. Run this in the project's root folder" in caplog.text


def test_a_failure_names_its_action_its_reason_and_its_log() -> None:
    failed = ActionRecord(
        stage="Build", action="Templates", status="Failed", summary="no version 9", log="build:1"
    )
    record = ExecutionRecord(
        pipeline="p",
        execution_id="1",
        status="Failed",
        status_summary="",
        trigger="",
        commit="",
        message="",
        actions=(failed, ActionRecord(stage="Deploy", action="Stack")),
        approval=None,
    )
    assert _reason(record) == (
        "p ended Failed: Build/Templates: no version 9. `mlops logs build:1` has more"
    )
