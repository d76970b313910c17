"""MLflow's server as a process: ready when it says so, told when it isn't."""

from __future__ import annotations

import os
import sys
import time

import psutil
import pytest
import urllib3

from local_aws import tracking_server
from local_aws.errors import StartFailed
from local_aws.tracking_server import TrackingServer, _without_aws

# In place of MLflow, which takes 10 s to start; the end-to-end tests start the real one.
_STAND_IN = """
import http.server, sys

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"well")

port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Healthy).serve_forever()
"""


def test_a_server_that_is_not_ready_in_time_is_told(tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(60)")
    server = TrackingServer(tmp_path, (sys.executable, str(slow))).start()
    with pytest.raises(StartFailed, match=r"did not answer at http://127.0.0.1:.* within 0 s"):
        server.wait_until_ready(timeout_seconds=0.2)
    server.stop()

    with pytest.raises(StartFailed, match="MLflow's server ended at once"):
        server.wait_until_ready()


def test_a_server_that_was_killed_serves_again_until_it_is_stopped(tmp_path):
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(_STAND_IN)
    server = TrackingServer(tmp_path, (sys.executable, str(stand_in))).start()
    server.wait_until_ready()
    assert urllib3.request("GET", f"{server.url}/health").data == b"well"
    children = psutil.Process().children(recursive=True)
    (killed,) = [c for c in children if c.cmdline()[1:2] == [str(stand_in)]]

    killed.kill()
    killed.wait(10)
    answered = None
    deadline = time.monotonic() + 60
    while answered is None and time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            answered = urllib3.request("GET", f"{server.url}/health", retries=False).data
        except urllib3.exceptions.HTTPError:
            continue
    server.stop()

    assert answered == b"well"
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", f"{server.url}/health", retries=False)


def test_a_fault_while_it_is_restarted_is_told(tmp_path, monkeypatch, caplog):
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(_STAND_IN)
    server = TrackingServer(tmp_path, (sys.executable, str(stand_in))).start()
    server.wait_until_ready()

    def planted(*_, **__):
        raise KeyError("planted")

    monkeypatch.setattr(tracking_server, "start_supervised", planted)
    children = psutil.Process().children(recursive=True)
    (killed,) = [c for c in children if c.cmdline()[1:2] == [str(stand_in)]]
    killed.kill()
    deadline = time.monotonic() + 20
    while "nobody restarts" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.05)

    assert f"nobody restarts MLflow's server at {server.url} any more" in caplog.text
    assert "KeyError: 'planted'" in caplog.text
    server.stop()


def test_the_server_gets_no_way_to_an_aws_account(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "company")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    kept = _without_aws(os.environ)
    assert "PATH" in kept
    assert not [name for name in kept if name.startswith(("AWS_", "MLFLOW_"))]
