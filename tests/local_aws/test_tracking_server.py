"""MLflow's server as a process: ready when it says so, told when it isn't."""

from __future__ import annotations

import os
import time

import psutil
import pytest
import urllib3

from local_aws.errors import StartFailed
from local_aws.tracking_server import TrackingServer, _without_aws


def test_a_server_that_is_not_ready_in_time_is_told(tmp_path):
    server = TrackingServer(tmp_path).start()
    with pytest.raises(StartFailed, match=r"did not answer at http://127.0.0.1:.* within 0 s"):
        server.wait_until_ready(timeout_seconds=0.2)
    server.stop()

    with pytest.raises(StartFailed, match="MLflow's server ended at once"):
        server.wait_until_ready()


def test_a_server_that_was_killed_serves_again_until_it_is_stopped(tmp_path):
    server = TrackingServer(tmp_path).start()
    server.wait_until_ready()
    assert urllib3.request("GET", f"{server.url}/version").data == b"3.17.2"
    children = psutil.Process().children(recursive=True)
    killed = next(c for c in children if "uvicorn" in c.cmdline() and str(tmp_path) in c.cwd())

    killed.kill()
    killed.wait(10)
    answered = None
    deadline = time.monotonic() + 60
    while answered is None and time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            answered = urllib3.request("GET", f"{server.url}/version", retries=False).data
        except urllib3.exceptions.HTTPError:
            continue
    server.stop()

    assert answered == b"3.17.2"
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", f"{server.url}/version", retries=False)


def test_the_server_gets_no_way_to_an_aws_account(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "company")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    kept = _without_aws(os.environ)
    assert "PATH" in kept
    assert not [name for name in kept if name.startswith(("AWS_", "MLFLOW_"))]
