"""A gateway with a serving image in its ECR: what it serves is a script in the model's archive."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_image import put_image

from local_aws.cloudformation.service import CloudFormation
from local_aws.containers.images import Images
from local_aws.gateway import Gateway
from local_aws.sagemaker.endpoints.service import Endpoints
from local_aws.sagemaker.pipelines.service import PipelineExecutions
from local_aws.services import all_services

_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_NEVER_INHERITED = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL")
# At import, so that they hold for modules that read them when they are imported.
os.environ.update(_CREDENTIALS)
# As where the environment is active: then commands are printed by their names.
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
for _name in _NEVER_INHERITED:
    os.environ.pop(_name, None)
# A shell that runs this in the background lets it ignore Ctrl-C, and what it starts would as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Answers /ping, and echoes what it was sent. MODE is where a test makes it misbehave.
SERVER = """
import http.server, json, os, sys, time
MODE, NAME = {mode!r}, {name!r}
print("starting", NAME, flush=True)
if MODE == "crash":
    raise ValueError("the forest has no trees")
if MODE == "crash-once-dead" and os.path.exists("/opt/ml/model/died"):
    raise ValueError("dead for good")

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass
    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(500 if MODE == "sick" else 200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            open("/opt/ml/model/died", "w").close()
            os._exit(3)
        if body == b"hold":
            open("/opt/ml/model/held", "w").close()
            while not os.path.exists("/opt/ml/model/go-on"):
                time.sleep(0.05)
        if body == b"bad":
            return self.answer(400, b"no such column")
        if body == b"break" or MODE == "failing":
            return self.answer(500, b"division by zero")
        echo = {{"name": NAME, "length": len(body), "headers": dict(self.headers),
                "role": "AWS_SESSION_TOKEN" in os.environ, "color": os.environ.get("COLOR")}}
        self.answer(200, json.dumps(echo).encode())

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Clock:
    """A clock that goes as any other, and jumps ahead when a test says so."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def skip(self, seconds: float) -> None:
        self._ahead += seconds


class ServingAccount:
    """A gateway that serves, with a role, a bucket, and short ways to make models."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        own = gateway.own
        self.gateway = gateway
        self.clock = clock
        self.url = gateway.url
        self.sagemaker = own.client("sagemaker")
        self.runtime = own.client("sagemaker-runtime")
        self.cloudformation = own.client("cloudformation")
        self.s3 = own.client("s3")
        self.bucket = f"models-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.role_arn = self.create_role("sagemaker.amazonaws.com")
        command = [sys.executable, "/opt/ml/model/serve.py", "{port}"]
        self.image_uri = put_image(own, f"stand-in-{uuid.uuid4().hex[:12]}", command=command)

    def create_role(self, principal: str) -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": principal},
            "Action": "sts:AssumeRole",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        name = f"role-{uuid.uuid4().hex[:12]}"
        role = self.gateway.own.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=policy
        )
        return str(role["Role"]["Arn"])

    def put_archive(self, name: str, mode: str = "") -> str:
        """URL of an archive whose server calls itself `name`."""
        script = SERVER.format(mode=mode, name=name).encode()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            member = tarfile.TarInfo("serve.py")
            member.size = len(script)
            archive.addfile(member, io.BytesIO(script))
        return self.put_object(f"{name}-{uuid.uuid4().hex}.tar.gz", buffer.getvalue())

    def put_object(self, key: str, body: bytes) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def create_config(
        self,
        url: str,
        *,
        environment: dict[str, str] | None = None,
        model: dict[str, Any] | None = None,
        variant: dict[str, Any] | None = None,
        **config: Any,
    ) -> str:
        """Name of a new endpoint configuration with a new model."""
        name = f"c-{uuid.uuid4().hex[:12]}"
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.role_arn,
            PrimaryContainer={
                "Image": self.image_uri,
                "ModelDataUrl": url,
                "Environment": environment or {},
            },
            **(model or {}),
        )
        on_instances = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {"VariantName": "AllTraffic", "ModelName": name, **(variant or on_instances)}
            ],
            **config,
        )
        return name

    def create_endpoint(self, config_name: str, **request: Any) -> str:
        """Name of a new endpoint, no longer Creating."""
        name = f"e-{uuid.uuid4().hex[:12]}"
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config_name, **request)
        self.settled(name)
        return name

    def settled(self, name: str) -> dict[str, Any]:
        """The endpoint's description once nothing is in progress."""

        def done() -> dict[str, Any] | None:
            endpoint = self.sagemaker.describe_endpoint(EndpointName=name)
            return endpoint if endpoint["EndpointStatus"] in ("InService", "Failed") else None

        return eventually(done, 60.0)


def eventually(attempt: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `attempt`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = attempt()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"nothing within {seconds} s")


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module", autouse=True)
def _begin_with_an_empty_account(empty_account: None) -> None:
    """Whatever gateways a module makes."""


@pytest.fixture(scope="module")
def serving_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingAccount]:
    """Endpoints and CloudFormation with the stand-in image. Shared: names are unique."""
    clock = Clock()
    gateway = Gateway(
        tmp_path_factory.mktemp("serving"),
        lambda own: [
            Endpoints(own, Images(own, cache_dir=tmp_path_factory.mktemp("cache")), clock),
            PipelineExecutions(own),  # it answers AddTags, for all of SageMaker
            CloudFormation(own),
        ],
    ).start()
    yield ServingAccount(gateway, clock)
    gateway.close()


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """`eventually`, for tests that wait for something."""
    return eventually


@pytest.fixture(scope="module")
def empty_account() -> None:
    """Nothing of what another module's gateway left: moto keeps one account for the process."""
    from moto.moto_api._internal import moto_api_backend

    moto_api_backend.reset()


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
@pytest.fixture(scope="module")
def gateway(empty_account: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running local_aws gateway with all services, without MLflow, its account empty.

    Shared by a module's tests: use unique names.
    """
    running = Gateway(tmp_path_factory.mktemp("local_aws"), all_services).start()
    yield running
    running.close()
