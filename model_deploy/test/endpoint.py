"""An endpoint as this test reaches it: described, and asked for predictions.

What the endpoint or SageMaker Runtime says of a request is an `Answer`, also an error: a check
fails by it. An AwsError is raised where AWS did not let us ask, and says nothing of the endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_deploy.errors import AwsError

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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An endpoint's answer: its predictions, or the error and the container's HTTP status.

    `classes` and `probabilities` are None unless they were answered.
    """

    predictions: Any = None
    classes: Any = None
    probabilities: Any = None
    error: str = ""
    original_status: int | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint by name, with the two boto3 clients that reach it."""

    name: str
    sagemaker: Any
    runtime: Any

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
        """POST `body`; raises AwsError only when AWS refuses us."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionClosedError,
            ReadTimeoutError,
        )

        try:
            response = self.runtime.invoke_endpoint(
                EndpointName=self.name,
                ContentType=content_type,
                Accept=JSON,
                Body=body.encode(),
            )
            text = response["Body"].read().decode(errors="replace")
        except ClientError as err:
            if _is_about_permissions(err):
                raise refused(f"invoke endpoint {self.name!r}", err) from err
            # Also 413, which no service model knows: a body above the limit.
            status = err.response.get("OriginalStatusCode")
            return Answer(error=str(err), original_status=status)
        except (ReadTimeoutError, ConnectionClosedError) as err:
            return Answer(error=f"no answer: {err}")
        except BotoCoreError as err:
            raise refused(f"invoke endpoint {self.name!r}", err) from err
        try:
            document = json.loads(text)
            return Answer(
                predictions=document["predictions"],
                classes=document.get("classes"),
                probabilities=document.get("probabilities"),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return Answer(error=f'the answer holds no "predictions": {text[:200]!r}')


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


def _is_about_permissions(err: Any) -> bool:
    """Whether a ClientError says that we may not, rather than that it does not work."""
    code = err.response.get("Error", {}).get("Code")
    status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code in _PERMISSION_ERRORS or status in (401, 403)
