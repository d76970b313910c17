"""What the model did wrong is answered HTTP 500, whoever wrote the answer: MLflow's server or ours.

    an answer of /invocations ─┬─ 400 because the model raised ─▶ 500, its traceback in the log
                               ├─ what is refused ──────────────▶ the cause first, in the log too
                               ├─ 200 with NaN or Infinity ─────▶ 500, naming the row
                               └─ any other ────────────────────▶ as it is

MLflow's server says 400 when a model raises, and writes NaN, which no JSON has. SageMaker counts a
400 as the client's error, so the alarm of a deployment would see neither. What a schema refuses
stays 400.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from serving.cell_reading import NotJson

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

# mlflow.pyfunc.scoring_server, `invocations`.
CRASH = "Encountered an unexpected error while evaluating the model"

_LONGEST = 500  # characters of a line in the log

# Such a word as a value; within a text it may look so too, which reading the body decides.
_NOT_JSON = re.compile(rb"(?:^|[\[,:\s-])(?:NaN|Infinity)(?:$|[\],}\s])")


def judge(status: int, body: bytes) -> tuple[int, bytes]:
    """The status and body to answer with, in place of these.

    What is refused begins with its cause, and so does its line in the log; a traceback is for the
    log, and only of a crash.
    """
    if status >= 400:
        return _tell_cause(status, body)
    # A look for two letters costs nothing; only what may hold such a word is read.
    if status == 200 and (b"N" in body or b"I" in body) and _NOT_JSON.search(body):
        problem = _find_not_json(body)
        if problem:
            return 500, json.dumps({"error_code": "INTERNAL_ERROR", "message": problem}).encode()
    return status, body


def judged(send: Send) -> Send:
    """`send` for another application, whose answer is kept until it is whole, and judged."""
    start: Message = {}
    parts: list[bytes] = []

    async def send_judged(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        if message["type"] != "http.response.body" or not start:
            await send(message)
            return
        parts.append(message.get("body", b""))
        if message.get("more_body", False):
            return
        status, body = judge(start["status"], b"".join(parts))
        others = [header for header in start["headers"] if header[0].lower() != b"content-length"]
        headers = [*others, (b"content-length", str(len(body)).encode())]
        await send({**start, "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return send_judged


def _tell_cause(status: int, body: bytes) -> tuple[int, bytes]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return status, body
    if not isinstance(document, dict) or not isinstance(document.get("message"), str):
        return status, body
    whole = dict(document)
    message = document["message"]
    trace = str(document.pop("stack_trace", "") or "")
    crash = status == 400 and bool(trace) and message.startswith(CRASH)
    status = 500 if crash else status
    # MLflow puts what it did before, with the request's rows, and the cause last.
    cause = _raised(trace) or message.rpartition("Error: ")[2].strip()
    if cause and cause not in message[: len(cause)]:
        document["message"] = f"{cause.removesuffix('.')}. {message}"
    sys.stderr.write(f"HTTP {status}: {' '.join(cause.split())[:_LONGEST]}\n")
    if crash:
        sys.stderr.write(f"{trace.rstrip()}\n")
    return status, body if document == whole else json.dumps(document).encode()


def _raised(trace: str) -> str:
    """The first line of what was raised last; it may be followed by others of its message."""
    after = re.split(r'^ +File "', trace, flags=re.MULTILINE)[-1].splitlines()[1:]
    return next((line.strip() for line in after if line.strip() and not line.startswith(" ")), "")


def _find_not_json(body: bytes) -> str:
    """What the model predicts that JSON does not have, or an empty string."""
    try:
        document = json.loads(body, parse_constant=NotJson)
    except (ValueError, RecursionError) as err:
        return f"the answer that was made of the model's predictions is no JSON: {err}"
    predictions = document.get("predictions") if isinstance(document, dict) else None
    if isinstance(predictions, list):
        rows = [(number, next(_words(each), None)) for number, each in enumerate(predictions, 1)]
        wrong = [(number, word) for number, word in rows if word is not None]
        if wrong:
            number, word = wrong[0]
            return (
                f"row {number}: the model predicts {word!r}, which is no number in JSON; "
                f"{len(wrong)} of {len(rows)} predictions are so"
            )
    first = next(_words(document), None)
    return "" if first is None else f"the model predicts {first!r}, which is no number in JSON"


def _words(value: Any) -> Iterator[NotJson]:
    if isinstance(value, NotJson):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _words(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _words(each)
