"""One HTTP endpoint for all of AWS on this machine.

    boto3, aws, sagemaker ─▶ Gateway ──▶ a Service of ours, where something must really happen
    git ─▶                       ├─────▶ what a service mounts, for other protocols than AWS's
                                 └─────▶ moto, for state that only has to be kept

What neither of the two is known to do right is refused with an AWS error that names the operation.
"""

from __future__ import annotations

import hashlib
import io
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.core.common_models import BaseModel
from moto.core.request import Request
from moto.ecr.models import Image as EcrImage
from moto.iam.access_control import PermissionResult
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import FakeBucket
from werkzeug.serving import BaseWSGIServer, make_server

from local_aws.aws_protocol import (
    Call,
    RawResponse,
    decode,
    encode,
    encode_error,
    operation_of,
)
from local_aws.call_log import CallLog
from local_aws.errors import AwsError, StartFailed
from local_aws.keeping.keeper import Keeper
from local_aws.log_events import LOG_EVENTS
from local_aws.login import caller_of, require_own_address, signature_of
from local_aws.object_files import OBJECTS
from local_aws.own_aws import OwnAws
from local_aws.state import KEPT_FOLDER, OBJECTS_FOLDER
from local_aws.workers import cause_of, start_lasting

logger = logging.getLogger(__name__)

Handler = Callable[[Call], Mapping[str, Any] | RawResponse | None]

# Services whose state moto keeps, by signing name.
_KEPT_BY_MOTO = frozenset(
    {"s3", "iam", "sts", "ecr", "logs", "secretsmanager", "kms", "ssm", "sns", "sqs"}
)
# Of these, moto answers only the named operations right: it evaluates no alarm and scales nothing.
_PARTS_KEPT_BY_MOTO: Mapping[str, frozenset[str]] = {
    "sagemaker": frozenset({"ListPipelines", "ListTags", "DeleteTags"}),
    "monitoring": frozenset(
        {
            *("PutMetricAlarm", "DescribeAlarms", "SetAlarmState", "DeleteAlarms"),
            *("TagResource", "UntagResource", "ListTagsForResource"),
        }
    ),
    "application-autoscaling": frozenset(
        {
            *("RegisterScalableTarget", "DescribeScalableTargets", "DeregisterScalableTarget"),
            *("PutScalingPolicy", "DescribeScalingPolicies", "DeleteScalingPolicy"),
        }
    ),
}


# Operations that moto doesn't have, of services that it keeps: refused as AWS refuses a caller who
# lacks the permission, because the SageMaker SDK asks for them and goes on without.
_DENIED = frozenset({("iam", "SimulatePrincipalPolicy")})


# moto answers these with the same made-up credentials for everybody, which open nothing here.
_MADE_UP = frozenset({("sts", "GetSessionToken"), ("sts", "GetFederationToken")})
# Its own pages, which it answers before it looks for a service; one of them empties the account.
_PAGES_OF_MOTO = ("/moto-api", "/favicon.ico", "/latest/")
# moto applies a bucket's policy without its conditions: "deny what comes without TLS" denies all.
# No policy is enforced here, neither a role's nor a bucket's.
FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL
# moto makes an image's digest from its layers' (or at random), so that images of the same layers
# and other annotations are one.
EcrImage._create_digest = lambda image: setattr(
    image, "_image_digest", f"sha256:{hashlib.sha256(image.image_manifest.encode()).hexdigest()}"
)


def _made(kind: type[BaseModel], *_: Any, **__: Any) -> BaseModel:
    """moto's own remembers each object that ever was, for a page of its own: memory that grows."""
    instance: BaseModel = object.__new__(kind)
    # S3's own ends a file with its last instance, and shares it among passing copies.
    if kind.__module__.startswith("moto.s3"):
        kind.instances_tracked.append(instance)
    return instance


BaseModel.__new__ = _made


class Service(Protocol):
    """A part of AWS that local_aws executes itself."""

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """(service, operation) as boto3 names them, to the handler that answers it."""

    def close(self) -> None:
        """End the threads and processes that belong to the service."""


@runtime_checkable
class Mounted(Protocol):
    """A service that answers plain HTTP too, such as git's."""

    def mounts(self) -> Mapping[str, WSGIApplication]:
        """Path prefix, which ends with a slash, to what answers below it."""


class Gateway:
    """The HTTP server on 127.0.0.1; `url` and `own` serve from `start()` to `close()`."""

    def __init__(
        self,
        state_dir: Path,
        services: Callable[[OwnAws], Sequence[Service]],
        port: int = 0,
        *,
        keep: bool = False,
    ) -> None:
        self.own = OwnAws(state_dir)
        LOG_EVENTS.use(state_dir / "log-events")
        OBJECTS.use(state_dir / OBJECTS_FOLDER, keep=keep)
        self._services = services(self.own)
        self.keeper = Keeper(state_dir / KEPT_FOLDER, self.own, self._services) if keep else None
        self._handlers = {
            key: handler
            for service in self._services
            for key, handler in service.operations().items()
        }
        self._mounts = {
            prefix: application
            for service in self._services
            if isinstance(service, Mounted)
            for prefix, application in service.mounts().items()
        }
        self._moto = DomainDispatcherApplication(create_backend_app)
        _require_free(port)
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, self._answer, threaded=True, request_handler=_QuietHandler
        )
        self._log = CallLog(state_dir)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.own.url = self.url
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Gateway:
        """Listen; returns at once."""
        self._thread = start_lasting("gateway", self._server.serve_forever, self._closing)
        return self

    def close(self) -> None:
        """End what the services run (they may still call AWS while they do), then the server."""
        if self.keeper is not None:
            self.keeper.close()
        for service in reversed(self._services):
            service.close()
        self._closing.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._log.close()
        OBJECTS.leave()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        signature = signature_of(request)
        service, operation, caller_arn = signature.service, "", ""
        try:
            require_own_address(environ, self._server.server_port)
            for prefix, application in self._mounts.items():
                if not service and environ["PATH_INFO"].startswith(prefix):
                    return application(environ, start_response)
            caller_arn = caller_of(request, signature, self.own)
            service, operation = operation_of(request, service)
            handler = self._handlers.get((service, operation))
            if handler is None:
                _require_kept_by_moto(service, operation, request.path)
                if operation:
                    decode(request, service, operation, caller_arn)
                return self._answer_from_moto(
                    environ, start_response, request, service, operation, caller_arn
                )
            call = decode(request, service, operation, caller_arn)
            result = handler(call)
            response = result if isinstance(result, RawResponse) else encode(call, result)
            if self.keeper is not None:
                self.keeper.note(request, service, operation)
        except AwsError as err:
            response = encode_error(service, err, request)
        except Exception as err:  # the server must answer; the log has the traceback
            logger.exception("%s.%s failed inside local_aws", service, operation)
            fault = AwsError("InternalFailure", cause_of(err), 500)
            response = encode_error(service, fault, request)
        if operation:
            self._log.write(request, service, operation, caller_arn, response.status)
        headers = {**response.headers, "Content-Length": str(len(response.body))}
        start_response(
            f"{response.status} {'OK' if response.status < 400 else 'Error'}", list(headers.items())
        )
        return [response.body]

    def _answer_from_moto(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        request: Request,
        service: str,
        operation: str,
        caller_arn: str,
    ) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            code = int(status.split()[0])
            self._log.write(request, service, operation, caller_arn, code)
            if self.keeper is not None and code < 400:
                self.keeper.note(request, service, operation)
            return start_response(status, headers, *more)

        if service != "s3":  # its bodies are data, and large
            body = request.get_data(cache=True)
            environ["wsgi.input"] = io.BytesIO(body)
            if "X-Amz-Credential" in request.args:  # moto takes every presigned URL for one of S3
                scope = request.args["X-Amz-Credential"]
                environ["HTTP_AUTHORIZATION"] = f"AWS4-HMAC-SHA256 Credential={scope}, "
        return self._moto(environ, start)  # type: ignore[no-any-return]


def _require_free(port: int) -> None:
    """Raise StartFailed if something listens there; werkzeug would end the process."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as err:
            raise StartFailed(
                f"cannot listen on 127.0.0.1:{port}: {err.strerror}. "
                "End what listens there, or pass another --port (0 takes a free one)."
            ) from err


class _QuietHandler(MotoRequestHandler):  # type: ignore[misc]  # moto has no types
    """No line on stderr for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
        logger.debug('"%s" %s', self.requestline, code)


def _require_kept_by_moto(service: str, operation: str, path: str) -> None:
    if (service, operation) in _DENIED:
        raise AwsError("AccessDenied", f"local_aws does not support {service}:{operation}", 403)
    kept = service in _KEPT_BY_MOTO or operation in _PARTS_KEPT_BY_MOTO.get(service, ())
    if not kept or (service, operation) in _MADE_UP or path.startswith(_PAGES_OF_MOTO):
        name = f"{service}:{operation}" if operation else service
        raise AwsError(
            "UnsupportedOperation",
            f"local_aws does not support {name}; local_aws/README.md lists what it does",
        )
