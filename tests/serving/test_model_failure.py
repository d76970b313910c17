"""What a model does wrong is HTTP 500, with a table and without one; what is sent wrong stays 400.

The models are real ones behind MLflow's own application: the words of its errors are looked at.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PyFuncModel, scoring_server
from mlflow.types import ColSpec, Schema

from serving.model_failure import judge, judged
from serving.server import TableServer

Ask = Callable[..., tuple[int, Any]]

_ROWS = b'{"dataframe_split": {"columns": ["a"], "data": [[1.0], [2.0], [3.0]]}}'
_TABLE = {
    "table": {"version": 1, "columns": [{"name": "a", "kind": "number", "gaps": False}]},
}


class _Implementation:
    """A model implementation, as MLflow calls it, that does as the tests want it."""

    def __init__(self, does: Callable[[Any], Any]) -> None:
        self._does = does

    def predict(self, frame: Any, params: Any = None) -> Any:
        return self._does(frame)


Serve = Callable[[Callable[[Any], Any]], TableServer]


def _model(does: Callable[[Any], Any], metadata: dict[str, Any] | None) -> PyFuncModel:
    described = Model(
        signature=ModelSignature(Schema([ColSpec("double", "a")])),
        flavors={"python_function": {"loader_module": "none"}},
        metadata=metadata,
    )
    return PyFuncModel(model_meta=described, model_impl=_Implementation(does))


@pytest.fixture(params=[_TABLE, None], ids=["with a table", "without a table"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """The server of a model that does that with the frame it gets."""

    def serve(does: Callable[[Any], Any]) -> TableServer:
        model = _model(does, request.param)
        return TableServer(model, scoring_server.init(model))

    return serve


def test_a_model_that_raises_is_an_error_of_the_server_in_mlflow_s_words(
    serve: Serve, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(_: Any) -> Any:
        raise ZeroDivisionError("no trees\nplant some")

    status, answer = ask(serve(crash), _ROWS)
    assert (status, answer["error_code"]) == (500, "BAD_REQUEST")
    assert answer["message"].startswith(
        "ZeroDivisionError: no trees. Encountered an unexpected error while evaluating the model"
    )
    assert "stack_trace" not in answer
    first, *trace = capsys.readouterr().err.splitlines()
    assert first == "HTTP 500: ZeroDivisionError: no trees"
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-2:] == ["ZeroDivisionError: no trees", "plant some"]


def test_a_refusal_begins_with_its_cause_and_so_does_its_line_in_the_log(
    serve: Serve, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    # The first is read by MLflow with a table too; its parser answers the second with a traceback.
    status, answer = ask(serve(lambda _: 1), b'{"inputs": [[1, 2]]}')
    assert status == 400
    assert answer["message"].startswith("Invalid object type at position 0. Failed to predict")
    assert "Failed to enforce schema of data" in answer["message"]
    said = capsys.readouterr().err.splitlines()
    assert "HTTP 400: Invalid object type at position 0" in said
    assert not any("Traceback" in line for line in said)
    status, body = judge(
        400,
        json.dumps(
            {
                "error_code": "BAD_REQUEST",
                "message": "Failed to parse input",
                "stack_trace": "Traceback (most recent call last):\n  File\nKeyError: 'data'\n",
            }
        ).encode(),
    )
    assert (status, json.loads(body)) == (
        400,
        {"error_code": "BAD_REQUEST", "message": "KeyError: 'data'. Failed to parse input"},
    )
    assert capsys.readouterr().err == "HTTP 400: KeyError: 'data'\n"


def test_what_the_schema_refuses_stays_an_error_of_the_client(serve: Serve, ask: Ask) -> None:
    wrong = b'{"dataframe_split": {"columns": ["no_such_column"], "data": [[0]]}}'
    status, answer = ask(serve(lambda _: 1 / 0), wrong)
    assert status == 400
    assert "stack_trace" not in answer
    assert "lacks the column 'a'" in answer["message"] or "missing inputs" in answer["message"]
    assert ask(serve(lambda _: 1 / 0), b"{not json")[0] == 400


def test_what_the_model_itself_refuses_keeps_its_status(serve: Serve, ask: Ask) -> None:
    def refuse(_: Any) -> Any:
        raise MlflowException.invalid_parameter_value("a is above 2")

    status, answer = ask(serve(refuse), _ROWS)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (
            [1.0, math.nan, math.nan],
            "row 2: the model predicts NaN, which is no number in JSON; 2 of 3 predictions are so",
        ),
        (
            [1.0, 2.0, -math.inf],
            "row 3: the model predicts -Infinity, which is no number in JSON; 1 of 3 predictions "
            "are so",
        ),
        (
            pd.DataFrame({"low": [1.0, 2.0, 3.0], "high": [math.inf, 2.0, 3.0]}),
            "row 1: the model predicts Infinity, which is no number in JSON; 1 of 3 predictions "
            "are so",
        ),
        (
            {"low": [1.0, math.nan, 3.0]},
            "the model predicts NaN, which is no number in JSON",
        ),
    ],
    ids=["list", "infinity", "table", "lists by name"],
)
def test_a_number_that_json_does_not_have_is_an_error_that_names_the_row(
    serve: Serve, ask: Ask, predictions: Any, message: str
) -> None:
    assert ask(serve(lambda _: predictions), _ROWS) == (
        500,
        {"error_code": "INTERNAL_ERROR", "message": message},
    )


@pytest.mark.parametrize(
    "labels",
    [["NaN", "x", "Infinity"], [None, True, 1], ["a, NaN, b", "[Infinity]", "-Infinity", " NaN "]],
)
def test_labels_of_those_words_are_answers(serve: Serve, ask: Ask, labels: list[Any]) -> None:
    assert ask(serve(lambda _: labels), _ROWS) == (200, {"predictions": labels})


def test_an_unwrapped_answer_with_nan_is_an_error(ask: Ask) -> None:
    model = _model(lambda frame: frame, None)
    model.predict = lambda *_, **__: {"choices": [], "score": math.nan}
    app = TableServer(model, scoring_server.init(model))
    status, answer = ask(app, b'{"messages": [{"role": "user", "content": "x"}]}')
    assert (status, answer["message"]) == (
        500,
        "the model predicts NaN, which is no number in JSON",
    )


def test_other_answers_are_left_byte_for_byte() -> None:
    for status, body in (
        (200, b'{"predictions": [1.0]}'),
        (200, b'{"predictions": ["NaN"]}'),
        (400, b"{not json"),
        (400, b'["stack_trace"]'),
        (400, b'{"message": "Encountered an unexpected error while evaluating the model."}'),
        (400, b'{"message": ["no text"], "stack_trace": "..."}'),
        (415, b"The scoring server only supports UTF-8"),
        (504, b"Request processing time exceeded limit"),
    ):
        assert judge(status, body) == (status, body)


@pytest.mark.parametrize(
    "body",
    [
        b"NaN",
        b"-Infinity",
        b"[NaN]",
        b'{"a":NaN}',
        b'{"a":[1,Infinity]}',
        b'{"a": -Infinity,\n"b": 1}',
        b"[\n  NaN\n]",
        b'["NaN", NaN]',
    ],
)
def test_such_a_word_is_found_wherever_it_stands(body: bytes) -> None:
    status, answer = judge(200, body)
    assert status == 500
    assert json.loads(answer)["error_code"] == "INTERNAL_ERROR"
    assert judge(400, body) == (400, body)


def test_an_answer_in_pieces_is_judged_as_a_whole() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        to = judged(send)
        headers = [(b"content-type", b"application/json"), (b"Content-Length", b"22")]
        await to({"type": "http.response.start", "status": 200, "headers": headers})
        await to({"type": "http.response.body", "body": b'{"predictions": [N', "more_body": True})
        assert sent == []
        await to({"type": "http.response.body", "body": b"aN]}"})

    asyncio.run(run())
    start, body = sent
    assert (start["status"], json.loads(body["body"])["error_code"]) == (500, "INTERNAL_ERROR")
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": str(len(body["body"])).encode(),
    }
