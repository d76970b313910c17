"""The state folder: who runs, what is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest

from local_aws.errors import UsageError
from local_aws.state import StateFolder, write_json


def test_renew_keeps_one_generation_of_earlier_files(tmp_path):
    state = StateFolder(tmp_path / "state")
    for text in ("first", "second"):
        state.renew()
        (state.path / "file").write_text(text)
    state.renew()

    assert not (state.path / "file").exists()
    assert (state.path / "previous" / "file").read_text() == "second"
    assert not (state.path / "previous" / "previous").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state"]


def test_renew_goes_on_where_a_killed_one_was(tmp_path):
    state = StateFolder(tmp_path)
    state.renew()
    (tmp_path / "previous").mkdir()
    (tmp_path / ".moving").mkdir()
    (tmp_path / ".moving" / "moved").touch()
    (tmp_path / "not-moved-yet").touch()

    state.renew()

    assert sorted(p.name for p in (tmp_path / "previous").iterdir()) == ["moved", "not-moved-yet"]
    assert [p.name for p in tmp_path.iterdir()] == ["previous"]


def test_who_runs_is_known_until_it_is_withdrawn(tmp_path):
    state = StateFolder(tmp_path)
    assert state.running() is None
    state.announce("http://aws", {"A": "b"})

    running = state.require_running()
    assert running.gateway_url == "http://aws"
    assert running.environment == {"A": "b"}
    state.lock()
    with pytest.raises(UsageError, match=r"local_aws already runs here: process \d+, http://aws"):
        StateFolder(tmp_path).lock()

    state.withdraw()
    with pytest.raises(UsageError, match=rf"just starting or ending in .*: process {os.getpid()}"):
        StateFolder(tmp_path).lock()
    state.unlock()
    assert state.holder() is None
    with pytest.raises(UsageError, match=r"no local_aws runs in .*Start one with `local-aws up`"):
        state.require_running()


def test_the_announcement_of_a_killed_process_does_not_count(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(child.pid).create_time()
    child.kill()
    child.wait()
    write_json(
        tmp_path / "running.json",
        {
            "pid": child.pid,
            "started": started,
            "gateway_url": "",
            "environment": {},
        },
    )

    assert StateFolder(tmp_path).running() is None


def test_another_process_with_the_same_id_does_not_count(tmp_path):
    state = StateFolder(tmp_path)
    state.announce("", {})
    document = json.loads((tmp_path / "running.json").read_text())
    write_json(tmp_path / "running.json", {**document, "started": document["started"] - 3600})

    assert state.running() is None


def test_json_is_sorted_and_leaves_no_temporary_file(tmp_path):
    write_json(tmp_path / "deep" / "x.json", {"b": 1, "a": 2})

    assert (tmp_path / "deep" / "x.json").read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    assert len(list((tmp_path / "deep").iterdir())) == 1
