"""What stands between a client and MLflow, with real sockets."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from botocore.stub import Stubber

from mlops.platform.doctor.patient import CannotLook
from mlops.platform.doctor.tracking import Login, Obstacle, ask, read_login, real_client
from tests.mariadb import Authority


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.headers['Host']} {self.headers['Authorization']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not on stderr."""


@pytest.fixture
def serve() -> Iterator[object]:
    """serve() or serve(context): the address of a server that tells what it was asked."""
    running = []

    def start(context: ssl.SSLContext | None = None) -> str:
        server = HTTPServer(("127.0.0.1", 0), _Handler)
        # A client that breaks off the handshake is what the test is about.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        return f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_login_and_another_hosts_name_are_sent(serve):
    answer = ask(serve(), "/x", Login(username="ada", password="s3cret"), host="doctor.invalid")
    assert (answer.status, answer.obstacle) == (200, None)
    assert answer.text == "doctor.invalid Basic YWRhOnMzY3JldA=="


def test_a_refused_connection_is_told():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens
        answer = ask(f"http://127.0.0.1:{closed.getsockname()[1]}", "/health")
    assert answer.obstacle is Obstacle.REFUSED


def test_silence_is_told():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        answer = ask(url, "/health", seconds=0.3)
    assert answer.obstacle is Obstacle.TIMEOUT


def test_a_name_that_does_not_resolve_is_told():
    assert ask("http://mlflow.doctor.invalid", "/health").obstacle is Obstacle.NAME


def test_a_certificate_that_nobody_vouches_for_is_told(serve, tmp_path: Path, monkeypatch):
    authority = Authority(tmp_path, "authority")
    authority.issue(tmp_path / "server", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    url = serve(context)
    assert ask(url, "/health").obstacle is Obstacle.CERTIFICATE
    # As MLflow's client takes it.
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(authority.certificate_path))
    assert ask(url, "/health").status == 200


def test_the_login_is_that_of_the_secret(account, put_parameters):
    secret = account.client("secretsmanager").create_secret(
        Name="client", SecretString=json.dumps({"username": "projects", "password": "s3cret"})
    )["ARN"]
    put_parameters({"credentials-secret": secret})
    assert read_login(account, {}) == Login(username="projects", password="s3cret", source=secret)


def test_a_login_in_the_environment_wins(account):
    environment = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "x"}
    login = read_login(account, environment)
    assert (login.username, login.source) == ("ada", "MLFLOW_TRACKING_USERNAME")


@pytest.mark.parametrize("value", ["none", None])
def test_no_secret_is_no_login(account, put_parameters, value):
    put_parameters({"credentials-secret": value} if value else {})
    assert read_login(account, {}) == Login()


@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        ("ResourceNotFoundException", "does not exist", "mlflow.BasicAuth=false"),
        ("InvalidRequestException", "marked for deletion", "restore-secret"),
        ("AccessDeniedException", "you may not read", "reader-policy-arn"),
    ],
)
def test_a_secret_that_cannot_be_read_is_told(account, put_parameters, code, words, remedy):
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:client"
    put_parameters({"credentials-secret": secret})
    with Stubber(account.client("secretsmanager")) as stub:
        stub.add_client_error("get_secret_value", code, http_status_code=400)
        with pytest.raises(CannotLook) as raised:
            read_login(account, {})
    finding = raised.value.finding
    assert finding.status == "failed"
    assert words in finding.message
    assert remedy in finding.remedy


def test_a_secret_of_another_form_is_told_without_its_text(account, put_parameters):
    secret = account.client("secretsmanager").create_secret(
        Name="client", SecretString="hunter2-is-no-json"
    )["ARN"]
    put_parameters({"credentials-secret": secret})
    with pytest.raises(CannotLook) as raised:
        read_login(account, {})
    assert "not JSON" in raised.value.finding.message
    assert "hunter2" not in str(raised.value.finding)


def test_the_clients_environment_lasts_as_long_as_its_use(serve, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "before")
    with real_client(serve(), Login(username="ada", password="x")) as client:
        assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ada"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
        assert client.tracking_uri == os.environ["MLFLOW_TRACKING_URI"]
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "before"
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"):
        assert name not in os.environ
