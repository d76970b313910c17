"""The server before MLflow's: what it answers itself, and what MLflow answers."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.pyfunc import scoring_server

from serving.errors import TableError
from serving.server import TableServer

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def app(table_model: Any) -> TableServer:
    model = table_model.load()
    return TableServer(model, scoring_server.init(model))


@pytest.fixture(scope="module")
def mlflow_app(table_model: Any) -> Any:
    return scoring_server.init(table_model.load())


def assert_same(served: list[float], expected: list[float]) -> None:
    assert len(served) == len(expected)
    for one, other in zip(served, expected, strict=True):
        assert math.isclose(one, other, rel_tol=1e-9)


def test_csv_of_the_raw_rows_is_answered_as_offline(
    app: TableServer, table_model: Any, ask: Ask
) -> None:
    status, answer = ask(app, table_model.csv(), "text/csv; charset=utf-8")
    assert status == 200
    assert list(answer) == ["predictions"]
    assert_same(answer["predictions"], table_model.predictions)


def test_json_of_the_raw_rows_is_answered_as_offline_in_every_form(
    app: TableServer, table_model: Any, ask: Ask
) -> None:
    split = json.loads(table_model.split())["dataframe_split"]
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    columns = {name: [row[name] for row in records] for name in split["columns"]}
    for document in (
        {"dataframe_split": {**split, "index": list(range(len(records)))}},
        {"dataframe_records": records},
        {"inputs": records},
        {"inputs": columns},
        {"instances": records},
        {"instances": columns},
    ):
        status, answer = ask(app, json.dumps(document).encode())
        assert status == 200, answer
        assert_same(answer["predictions"], table_model.predictions)


def test_one_row_may_be_sent_without_lists(app: TableServer, table_model: Any, ask: Ask) -> None:
    split = json.loads(table_model.split())["dataframe_split"]
    row = dict(zip(split["columns"], split["data"][0], strict=True))
    status, answer = ask(app, json.dumps({"inputs": row}).encode())
    assert status == 200
    assert_same(answer["predictions"], table_model.predictions[:1])


def test_the_input_example_as_mlflow_saved_it_is_answered(
    app: TableServer, table_model: Any, ask: Ask
) -> None:
    example = (table_model.folder / "serving_input_example.json").read_bytes()
    status, answer = ask(app, example)
    assert status == 200, answer
    assert_same(answer["predictions"], table_model.predictions[:3])


def test_a_body_in_many_pieces_is_one_body(app: TableServer, table_model: Any, ask: Ask) -> None:
    assert ask(app, table_model.csv(), "text/csv", chunks=40)[0] == 200


def test_columns_may_come_in_another_order_with_others_besides_and_without_those_with_gaps(
    app: TableServer, table_model: Any, ask: Ask
) -> None:
    answer = ask(app, b"built,note,town,price\n01.01.2023,x,Bern,7", "text/csv")
    assert answer[0] == 200
    assert answer == ask(app, table_model.csv(",7,,,Bern,,01.01.2023"), "text/csv")


def test_a_refusal_has_the_form_of_mlflow_s_errors(
    app: TableServer, table_model: Any, ask: Ask
) -> None:
    row = 'n/k,"$1,000.00",,,Bern,,01.01.2023'
    assert ask(app, table_model.csv(row), "text/csv") == (
        400,
        {
            "error_code": "BAD_REQUEST",
            "message": "row 1, column 'size': 'n/k' is not a number; send a plain number such as "
            "12.5, or nothing where it is missing",
        },
    )


def test_what_is_not_json_is_refused(app: TableServer, ask: Ask) -> None:
    for body in (b"{not json", b"\xff", b"[" * 100_000, b'{"inputs": ' + b"1" * 5000 + b"}"):
        status, answer = ask(app, body)
        assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
        assert answer["message"].startswith("the body is not JSON: ")
        assert len(answer["message"]) < 400


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"inputs": [[1, 2]]}', "application/json"),
        (b'{"a": 1}', "application/json"),
        (b"[1]", "application/json"),
        (b'{"inputs": [{"a": 1}], "dataframe_records": []}', "application/json"),
        (b'{"messages": [], "inputs": [{"a": 1}]}', "application/json"),
        (b"a", "text/csv; charset=latin-1"),
        (b"a", "text/csv; header=present"),
        (b"a", "text/plain"),
        (b"PAR1", "application/vnd.apache.parquet"),
    ],
)
def test_what_is_no_table_in_csv_or_json_is_answered_by_mlflow(
    app: TableServer, mlflow_app: Any, ask: Ask, body: bytes, content_type: str
) -> None:
    status, answer = ask(app, body, content_type)
    assert status >= 400
    status_of_theirs, theirs = ask(mlflow_app, body, content_type)
    if isinstance(answer, dict):  # ours begins with the cause, and has no stack trace
        theirs.pop("stack_trace", None)
        assert answer.pop("message").endswith(theirs.pop("message"))
    assert (status, answer) == (status_of_theirs, theirs)


@pytest.mark.parametrize("path", ["/ping", "/health", "/version"])
def test_other_paths_are_mlflow_s(app: TableServer, ask: Ask, path: str) -> None:
    status, _ = ask(app, method="GET", path=path)
    assert status == 200


def test_a_model_without_a_table_is_mlflow_s(other_model: Any, table_model: Any, ask: Ask) -> None:
    model = other_model.load()
    app = TableServer(model, scoring_server.init(model))
    # As MLflow reads it: a number for a date is nanoseconds, a date in CSV an error.
    row = [1.0, 2.0, True, "1", "Bern", 1_700_000_000_000, 1_700_000_000_000]
    assert ask(app, table_model.split([row]))[0] == 200
    status, answer = ask(app, table_model.csv(), "text/csv")
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
    assert "Failed to parse input as a Pandas DataFrame" in answer["message"]


def _other_columns(version: int, *columns: dict[str, Any]) -> dict[str, Any]:
    return {"table": {"version": version, "columns": list(columns)}}


class _Model:
    """A pyfunc model as the server sees it, with a prediction of its own."""

    def __init__(self, predict: Callable[[Any], Any], metadata: dict[str, Any]) -> None:
        self._predict = predict
        self.metadata = type("M", (), {"metadata": metadata})()

    def predict(self, frame: Any, params: Any = None) -> Any:
        self.params = params
        return self._predict(frame)


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("MLflow was asked")


def test_a_crash_of_the_model_is_answered_as_mlflow_answers_it_but_as_an_error_of_the_server(
    ask: Ask, table_model: Any
) -> None:
    model = table_model.load()

    def crash(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no trees")

    model.predict = crash
    body = table_model.split([[1, 2, True, "1", "B", "2023-01-01", "2023-01-01"]])
    theirs = ask(scoring_server.init(model), body)
    ours = ask(TableServer(model, _nobody), body)
    assert (ours[0], theirs[0]) == (500, 400)
    theirs[1].pop("stack_trace")
    theirs[1]["message"] = f"ZeroDivisionError: no trees. {theirs[1]['message']}"
    assert ours[1] == theirs[1]


def test_a_model_that_takes_too_long_is_given_up_as_mlflow_does(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    monkeypatch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "1")
    done = threading.Event()
    column = {"name": "a", "kind": "number", "gaps": False}
    model = _Model(lambda _: done.wait(1.5), _other_columns(1, column))
    app = TableServer(model, _nobody)
    try:
        assert ask(app, b"a\n1", "text/csv") == (504, "Request processing time exceeded limit")
    finally:
        done.set()


def test_params_reach_the_model(ask: Ask) -> None:
    column = {"name": "a", "kind": "number", "gaps": False}
    model = _Model(lambda _: [0.0], _other_columns(1, column))
    body = b'{"inputs": {"a": 1}, "params": {"quantile": 0.9}}'
    assert ask(TableServer(model, _nobody), body) == (200, {"predictions": [0.0]})
    assert model.params == {"quantile": 0.9}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            _other_columns(2, {"name": "a", "kind": "number", "gaps": False}),
            "the model's table is of version 2, this server reads version 1; serve the model with "
            "the image that belongs to it",
        ),
        (_other_columns(1), "the model's table can not be read: it has no columns"),
        (
            _other_columns(1, {"name": "a", "kind": "integer", "gaps": "no"}, {"name": "a"}),
            "the model's table can not be read: 'a' is of kind 'integer'; there are number, "
            "boolean, text, date; 'a' has 'no' for gaps, which is true or false; 'a' is of kind "
            "None; there are number, boolean, text, date; 'a' has None for gaps, which is true or "
            "false; 'a' is there twice",
        ),
        (
            _other_columns(
                1, {"name": "a", "kind": "number", "gaps": True, "format": {"thousands": "."}}
            ),
            "the model's table can not be read: 'a' has the format {'thousands': '.'}: thousands "
            "and decimal are the same",
        ),
        (
            _other_columns(
                1, {"name": "a", "kind": "date", "gaps": True, "format": {"pattern": "%d"}}
            ),
            "the model's table can not be read: 'a' has the format {'pattern': '%d'}: DateFormat."
            "__init__() got an unexpected keyword argument 'pattern'",
        ),
        (
            _other_columns(1, {"name": "a", "kind": "text", "gaps": True, "format": {}}),
            "the model's table can not be read: 'a' has the format {}: only numbers and dates have "
            "one",
        ),
    ],
)
def test_a_table_that_is_not_understood_is_not_served(
    metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(TableError) as refused:
        TableServer(_Model(lambda _: [], metadata), _nobody)
    assert str(refused.value) == message


def test_the_application_loads_the_model_of_mlflow_s_variable(
    table_model: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("__pyfunc_model_path__", str(table_model.folder))
    monkeypatch.delitem(sys.modules, "serving.app", raising=False)
    app = importlib.import_module("serving.app").app
    monkeypatch.delitem(sys.modules, "serving.app")
    status, answer = ask(app, table_model.csv(), "text/csv")
    assert status == 200
    assert_same(answer["predictions"], table_model.predictions)
