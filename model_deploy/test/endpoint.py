"""An endpoint as this test reaches it: described, and asked for predictions.

What the endpoint or SageMaker Runtime says of a request is an `Answer`, also an error: a check
fails by it. An AwsError is raised where AWS did not let us ask, and says nothing of the endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_deploy.errors import AwsError
from model_deploy.test.answers import NotStrictJson, read_answer

JSON = "application/json"
CSV = "text/csv"

# Errors of any AWS service that speak of who asks ("Common Errors" of the API references), besides
# whatever comes with HTTP 401 or 403.
_PERMISSION_ERRORS = (
    *("AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException"),
    *("IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken"),
    *("InvalidSignatureException", "MissingAuthenticationToken", "NotAuthorized"),
    *("MissingAuthenticationTokenException", "OptInRequired", "RequestExpired"),
    *("SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClientException"),
)
_THROTTLING_ERRORS = ("Throttling", "ThrottlingException", "TooManyRequestsException")
_ATTEMPTS = 6


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An endpoint's answer: a document of strict JSON, or the error and what the container said.

    `original_status` and `original_message` are the container's HTTP status and body, where AWS
    tells them. `milliseconds` is how long the request took as this client saw it.
    """

    document: Any = None
    error: str = ""
    original_status: int | None = None
    original_message: str = ""
    milliseconds: float = 0.0

    @property
    def predictions(self) -> Any:
        """What is wrapped as such; None where nothing is."""
        return self._part("predictions")

    @property
    def classes(self) -> Any:
        """A classifier's classes, or None."""
        return self._part("classes")

    @property
    def probabilities(self) -> Any:
        """A classifier's probabilities, or None."""
        return self._part("probabilities")

    def _part(self, name: str) -> Any:
        return self.document.get(name) if isinstance(self.document, dict) else None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint by name, with the two boto3 clients that reach it; threads may share it.

    `runtime` is a client that does not repeat requests: what fails once is to be seen. Requests
    that AWS throttles or that do not get to it say nothing of the endpoint and are sent again, the
    first time after `pause_seconds`, then after twice as long.
    """

    name: str
    sagemaker: Any
    runtime: Any
    pause_seconds: float = 0.5

    def describe(self) -> Mapping[str, Any] | None:
        """DescribeEndpoint's answer, or None when there is no such endpoint."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = self.sagemaker.describe_endpoint(EndpointName=self.name)
        except ClientError as err:
            error = err.response.get("Error", {})
            missing = str(error.get("Message", "")).lower().startswith("could not find")
            if missing or error.get("Code") == "ResourceNotFound":
                return None
            raise refused(f"describe endpoint {self.name!r}", err) from err
        except BotoCoreError as err:
            raise refused(f"describe endpoint {self.name!r}", err) from err
        return answer

    def invoke(self, body: str, content_type: str = JSON) -> Answer:
        """POST `body`; raises AwsError only when AWS does not let us ask."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionClosedError,
            ConnectTimeoutError,
            EndpointConnectionError,
            IncompleteReadError,
            ReadTimeoutError,
            ResponseStreamingError,
        )

        no_answer = (
            *(ReadTimeoutError, ConnectionClosedError),
            *(IncompleteReadError, ResponseStreamingError),
        )
        what = f"invoke endpoint {self.name!r}"
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            started = time.perf_counter()
            try:
                response = self.runtime.invoke_endpoint(
                    EndpointName=self.name,
                    ContentType=content_type,
                    Accept=JSON,
                    Body=body.encode(),
                )
                content: bytes = response["Body"].read()
                return _read(content, (time.perf_counter() - started) * 1000)
            except ClientError as err:
                if _is_about_permissions(err):
                    raise refused(what, err) from err
                if not _is_throttling(err):
                    return _error(err, (time.perf_counter() - started) * 1000)
                if last:
                    raise _throttled(what, err) from err
            except (EndpointConnectionError, ConnectTimeoutError) as err:
                if last:
                    raise refused(what, err) from err
            except no_answer as err:
                return Answer(
                    error=f"no answer: {err}", milliseconds=(time.perf_counter() - started) * 1000
                )
            except BotoCoreError as err:
                raise refused(what, err) from err
            time.sleep(self.pause_seconds * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _read(content: bytes, milliseconds: float) -> Answer:
    try:
        return Answer(document=read_answer(content), milliseconds=milliseconds)
    except NotStrictJson as err:
        shown = content[:200].decode(errors="replace")
        return Answer(
            error=f"the answer is no JSON: {err}; it begins {shown!r}", milliseconds=milliseconds
        )


def _error(err: Any, milliseconds: float) -> Answer:
    """What SageMaker Runtime says of a request; also 413, which no service model knows."""
    return Answer(
        error=str(err),
        original_status=err.response.get("OriginalStatusCode"),
        original_message=str(err.response.get("OriginalMessage", "")),
        milliseconds=milliseconds,
    )


def refused(what: str, err: Exception) -> AwsError:
    """The error for an AWS call that failed; what to look at depends on its kind."""
    from botocore import exceptions

    if isinstance(err, exceptions.ConnectionError | exceptions.HTTPClientError):
        return AwsError(
            f"could not {what}: {err}. Check the region, AWS_ENDPOINT_URL and the network."
        )
    if isinstance(err, exceptions.ClientError) and not _is_about_permissions(err):
        return AwsError(
            f"could not {what}: {err}. AWS let us ask, so this is not about permissions: repeat "
            "the test, and look for that answer in SageMaker's guide if it stays."
        )
    return AwsError(
        f"AWS refused to {what}: {err}. Check the credentials, the region and the role's "
        "sagemaker:Describe* and sagemaker:InvokeEndpoint permissions."
    )


def _throttled(what: str, err: Exception) -> AwsError:
    return AwsError(
        f"could not {what}: {err}. SageMaker throttles, which says nothing of the model: let the "
        "stage's ConcurrentRequests be at most what the endpoint takes at a time "
        "(ServerlessMaxConcurrency), or repeat the test when others ask less."
    )


def _is_throttling(err: Any) -> bool:
    """Whether AWS took the request for one too many; a container's own 429 is a ModelError."""
    code = err.response.get("Error", {}).get("Code")
    status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code in _THROTTLING_ERRORS or (status == 429 and code != "ModelError")


def _is_about_permissions(err: Any) -> bool:
    """Whether a ClientError says that we may not, rather than that it does not work."""
    code = err.response.get("Error", {}).get("Code")
    status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code in _PERMISSION_ERRORS or status in (401, 403)
