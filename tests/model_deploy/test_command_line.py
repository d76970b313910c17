"""What both command lines set up for their process."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_deploy.command_line import explain_stale_shell
from model_deploy.errors import AwsError

PROGRAM = """\
import subprocess, sys, tempfile, time
from model_deploy.command_line import set_up_process
from model_deploy.recorded_answers.environment import end_group
set_up_process("INFO")
try:
    with tempfile.TemporaryDirectory(prefix="model-deploy-", dir=sys.argv[1]) as scratch:
        child = subprocess.Popen(["sleep", "100"], start_new_session=True)
        try:
            print(child.pid, flush=True)
            time.sleep(100)
        finally:
            end_group(child)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_sigterm_ends_as_ctrl_c_does(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert len(list(tmp_path.iterdir())) == 1
    # As some do who are in a hurry: the second one must not end the clearing up.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/proc/{child}/cmdline").exists()


DEAD = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


@pytest.fixture
def alive() -> Iterator[str]:
    """An address of this machine at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _announce(environment: dict[str, str]) -> None:
    Path(".local").mkdir(exist_ok=True)
    Path(".local/running.json").write_text(json.dumps({"environment": environment}))


def test_an_address_where_a_local_aws_was_is_told_with_the_line_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: str
) -> None:
    monkeypatch.chdir(tmp_path)

    told = explain_stale_shell(DEAD)
    assert told.startswith("nothing answers at 127.0.0.1:9 (AWS_ENDPOINT_URL)")
    assert "start one by `local-aws up`" in told
    assert "unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID" in told
    _announce({"AWS_ENDPOINT_URL": alive})
    told = explain_stale_shell(DEAD)
    assert "another local-aws runs in this folder" in told
    assert re.search(r'Type: eval "\$\(\S*local-aws env\)"$', told)


def test_a_tracking_server_that_ended_is_told_and_one_that_starts_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: str
) -> None:
    monkeypatch.chdir(tmp_path)
    dead = DEAD["MLFLOW_TRACKING_URI"]
    local = {"AWS_ENDPOINT_URL": alive, "MLFLOW_TRACKING_URI": dead}

    assert "(MLFLOW_TRACKING_URI)" in explain_stale_shell({"MLFLOW_TRACKING_URI": dead})
    assert explain_stale_shell(local) == ""  # whose it is, nobody here knows
    _announce(local)
    assert explain_stale_shell(local) == ""  # it takes some seconds
    _announce({**local, "MLFLOW_TRACKING_URI": alive})
    assert "another local-aws runs in this folder" in explain_stale_shell(local)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_ENDPOINT_URL": "https://vpce.example.invalid:9"},
        {"MLFLOW_TRACKING_URI": "arn:aws:sagemaker:eu-west-1:1:mlflow-tracking-server/m"},
        {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
    ],
)
def test_no_other_machine_is_looked_at(environment: dict[str, str]) -> None:
    assert explain_stale_shell(environment) == ""


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "InvalidAccessKeyId"])
def test_credentials_of_an_earlier_local_aws_are_told(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"could not upload x: An error occurred ({code}) when calling the PutObject operation"

    assert str(AwsError(said)) == said
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert str(AwsError(said)) == (
        f'{said}. The shell has credentials of an earlier local-aws; type: eval "$(local-aws env)"'
    )
    assert str(AwsError("no such bucket")) == "no such bucket"


def test_a_command_in_a_stale_shell_ends_at_once() -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "model_deploy.reconcile", "--import-build-config", "x"],
        env={**os.environ, **DEAD},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 3
    assert "nothing answers at 127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - begun < 10  # of which our part is less than a second


def test_the_last_error_is_published_when_the_process_ends() -> None:
    program = (
        "import logging, sys\n"
        "from model_deploy.command_line import set_up_process\n"
        "set_up_process('INFO')\n"
        "logger = logging.getLogger('model_deploy.build')\n"
        "logger.error('the first')\n"
        "logger.error('no registered model %r', 'x')\n"
        "logger.error('told by a rule', extra={'told': True})\n"
        "sys.exit(2)\n"
    )
    posted: list[dict[str, list[str]]] = []

    class Topic(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            posted.append(urllib.parse.parse_qs(body))
            answer = b"<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult>"
            answer += b"</PublishResponse>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Topic) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_REGION": "us-east-1",
            "NOTIFICATION_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:housing",
            "CODEBUILD_BUILD_ID": "housing-modeldeploy:8c4e",
        }
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        server.shutdown()

    assert done.returncode == 2
    (message,) = posted
    assert message["TopicArn"] == ["arn:aws:sns:us-east-1:123456789012:housing"]
    assert message["Subject"] == ["Failed: housing-modeldeploy"]
    assert message["Message"] == [
        "no registered model 'x'\n\nIts log: `mlops logs housing-modeldeploy:8c4e`"
    ]
    del environment["AWS_ENDPOINT_URL"]
    environment["AWS_ENDPOINT_URL_SNS"] = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "warning: nobody was told of it by mail" in done.stderr
