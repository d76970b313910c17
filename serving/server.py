"""The ASGI application before MLflow's: it answers tables itself and passes all else on.

    POST /invocations, text/csv or application/json ─▶ body ─▶ frame ─▶ model.predict ─▶ answer
                                                        └─ JSON without named columns ─┐
    anything else ─────────────────────────────────────────────────────────────────────┴▶ MLflow

What follows the reading is as MLflow's scoring server does it (mlflow.pyfunc.scoring_server,
`invocations` and `init`): the same answer, the same words of an error, the same time limit. A model
that tells its classes answers probabilities too (classification). Whoever answers: what the model
did wrong is HTTP 500, and an error begins with its cause (model_failure).
"""

from __future__ import annotations

import asyncio
import io
import json
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.scoring_server import predictions_to_json
from mlflow.pyfunc.utils.serving_data_parser import is_unified_llm_input

from serving.classification import Classifier
from serving.errors import RequestError
from serving.model_failure import CRASH, judge, judged
from serving.table import Table
from serving.table_request import parse_json, read_csv, read_json

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_CSV = "text/csv"
_JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    body: str


class TableServer:
    """Reads requests for `model` as its table says; `mlflow_app` gets what is not read here.

    Raises TableError when the model has a table, or classes of it, that are not understood.
    """

    def __init__(self, model: Any, mlflow_app: Application) -> None:
        self._model = model
        self._mlflow_app = mlflow_app
        self._table = Table.from_metadata(model.metadata.metadata)
        self._classifier = Classifier.from_model(model) if self._table else None
        self._timeout_seconds = MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; also what ASGI calls a lifespan, which is MLflow's."""
        content_type = _content_type(scope)
        if self._table is None or content_type not in (_CSV, _JSON):
            await self._pass_on(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:  # the client went away
            return
        work = asyncio.to_thread(self._answer, self._table, content_type, body)
        try:
            answer = await asyncio.wait_for(work, self._timeout_seconds)
        except TimeoutError:
            answer = _Answer(status=504, body="Request processing time exceeded limit")
        if answer is None:
            await self._pass_on(scope, _again(body, receive), send)
        else:
            await _send(answer, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let MLflow answer."""
        await self._mlflow_app(scope, receive, judged(send) if _is_invocation(scope) else send)

    def _answer(self, table: Table, content_type: str, body: bytes) -> _Answer | None:
        """None: MLflow is to answer."""
        params = None
        try:
            if content_type == _CSV:
                frame = read_csv(body, table)
            else:
                document = parse_json(body)
                if isinstance(document, dict):
                    if is_unified_llm_input(document):
                        return None
                    params = document.get("params")
                read = read_json(document, table)
                if read is None:
                    return None
                frame = read
            return _Answer(status=200, body=self._predict(frame, params))
        except RequestError as err:
            refusal = {"error_code": "BAD_REQUEST", "message": str(err)}
            return _Answer(status=400, body=json.dumps(refusal))
        except MlflowException as err:
            return _Answer(status=err.get_http_status_code(), body=err.serialize_as_json())

    def _predict(self, frame: Any, params: Any) -> str:
        """The answer's text; MlflowException as MLflow's own server raises it."""
        try:
            if self._classifier is not None:
                return json.dumps(self._classifier.predict(frame, params), allow_nan=False)
            predictions = self._model.predict(frame, params=params)
        except MlflowException as err:
            err.message = f"Failed to predict data '{frame}'. \nError: {err.message}"
            raise
        except Exception as err:
            raise MlflowException(
                message=(
                    f"{CRASH}. Verify"
                    " that the serialized input Dataframe is compatible with the model for"
                    " inference."
                ),
                error_code=BAD_REQUEST,
                stack_trace=traceback.format_exc(),
            ) from err
        text = io.StringIO()
        predictions_to_json(predictions, text)
        return text.getvalue()


def _is_invocation(scope: Scope) -> bool:
    asked = (scope["type"], scope.get("method"), scope.get("path"))
    return asked == ("http", "POST", "/invocations")


def _content_type(scope: Scope) -> str | None:
    """CSV's or JSON's, of a request that may be read here; MLflow refuses other parameters."""
    if not _is_invocation(scope):
        return None
    header: str = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    kind, *parameters = (part.strip() for part in header.split(";"))
    if all(parameter.lower() in ("charset=utf-8", "") for parameter in parameters):
        return kind
    return None


async def _body(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """What `receive` gave, once more, and then what it gives."""
    kept: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def repeat() -> Message:
        return kept.pop() if kept else await receive()

    return repeat


async def _send(answer: _Answer, send: Send) -> None:
    status, body = judge(answer.status, answer.body.encode())
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
