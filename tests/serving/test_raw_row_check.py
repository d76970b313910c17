"""The endpoint's test against the model that really serves: it passes, and each skew fails it.

A skew is planted where a server may read a table otherwise than the training step: in what the
model is given, in the request's text, or by MLflow's own server, which does so.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from botocore.exceptions import ClientError
from mlflow.pyfunc import scoring_server

from model_deploy.request_limits import RequestLimit
from model_deploy.test.endpoint import Endpoint
from model_deploy.test.raw_rows import check_raw_rows
from serving.server import TableServer

Ask = Callable[..., tuple[int, Any]]
Skew = Callable[[pd.DataFrame], pd.DataFrame]

_LIMIT = RequestLimit.of({})


@dataclass
class _Runtime:
    """SageMaker Runtime's one operation, with an ASGI application as the container."""

    app: Any
    ask: Ask

    def invoke_endpoint(
        self, *, EndpointName: str, ContentType: str, Accept: str, Body: bytes
    ) -> dict[str, Any]:
        status, answer = self.ask(self.app, Body, ContentType)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        if status == 200:
            return {"Body": io.BytesIO(text.encode())}
        raise ClientError(
            {
                "Error": {"Code": "ModelError", "Message": f"Received client error: {text}"},
                "OriginalStatusCode": status,  # type: ignore[typeddict-unknown-key]
            },
            "InvokeEndpoint",
        )


class _Skewed:
    """The model, given other rows than were read."""

    def __init__(self, model: Any, skew: Skew) -> None:
        self._model = model
        self._skew = skew
        self.metadata = model.metadata

    def predict(self, frame: pd.DataFrame, params: Any = None) -> Any:
        return self._model.predict(self._skew(frame.copy()), params=params)


@pytest.fixture(scope="module")
def model(table_model: Any) -> Any:
    return table_model.load()


@pytest.fixture
def check(ask: Ask, table_model: Any) -> Callable[..., dict[str, tuple[str, str]]]:
    """check(app): JSON's and CSV's status and detail."""

    def check(app: Any, raw: dict[str, Any] | None = None) -> dict[str, tuple[str, str]]:
        endpoint = Endpoint(name="e", sagemaker=None, runtime=_Runtime(app, ask))
        json_check, csv_check = check_raw_rows(endpoint, raw or table_model.raw_rows(), _LIMIT)
        return {
            "JSON": (json_check.status, json_check.detail),
            "CSV": (csv_check.status, csv_check.detail),
        }

    return check


def _server(model: Any) -> TableServer:
    return TableServer(model, scoring_server.init(model))


def test_the_server_answers_untouched_rows_as_offline(check: Any, model: Any) -> None:
    passed = ("passed", "120 rows equal (relative tolerance 1e-06), 1 request")
    assert check(_server(model)) == {"JSON": passed, "CSV": passed}


def _na_is_missing(frame: pd.DataFrame) -> pd.DataFrame:
    frame["code"] = frame["code"].replace({"NA": None, "None": None, "nan": None})
    return frame


def _text_through_float(frame: pd.DataFrame) -> pd.DataFrame:
    frame["code"] = frame["code"].replace({"1": "1.0"})
    return frame


def _integer_through_float(frame: pd.DataFrame) -> pd.DataFrame:
    frame["code"] = frame["code"].replace({"1152921504606846977": "1152921504606846976"})
    return frame


def _leading_zero_lost(frame: pd.DataFrame) -> pd.DataFrame:
    frame["code"] = frame["code"].replace({"01": "1"})
    return frame


def _booleans_as_text(frame: pd.DataFrame) -> pd.DataFrame:
    # What a server without a signature would hand on; MLflow's check refuses it.
    frame["open"] = frame["open"].map({True: "True", False: "False"})
    return frame


def _missing_is_false(frame: pd.DataFrame) -> pd.DataFrame:
    frame["open"] = frame["open"].astype(bool)
    return frame


def _latin_1(frame: pd.DataFrame) -> pd.DataFrame:
    frame["town"] = [town.encode().decode("latin-1") for town in frame["town"]]
    return frame


def _days_for_nanoseconds(frame: pd.DataFrame) -> pd.DataFrame:
    frame["sold"] = pd.to_datetime(frame["sold"].astype("int64") // 86_400_000_000_000)
    return frame


def _local_time(frame: pd.DataFrame) -> pd.DataFrame:
    frame["built"] = frame["built"] + pd.Timedelta(hours=1)
    return frame


def _columns_swapped(frame: pd.DataFrame) -> pd.DataFrame:
    frame["sold"], frame["built"] = frame["built"], frame["sold"].copy()
    return frame


@pytest.mark.parametrize(
    "skew",
    [
        _na_is_missing,
        _text_through_float,
        _integer_through_float,
        _leading_zero_lost,
        _missing_is_false,
        _latin_1,
        _days_for_nanoseconds,
        _local_time,
        _columns_swapped,
    ],
)
def test_a_server_that_reads_otherwise_fails_in_both_forms(
    check: Any, model: Any, table_model: Any, skew: Skew
) -> None:
    frame = table_model.rows
    skewed = table_model.load().predict(skew(frame.copy()))
    differing = [
        number
        for number, (one, other) in enumerate(zip(skewed, table_model.predictions, strict=True), 1)
        if abs(one - other) > 1e-6 * abs(other)
    ]
    assert differing, "the plant changes nothing"
    first = differing[0]
    for status, detail in check(_server(_Skewed(model, skew))).values():
        assert status == "failed"
        served, expected = skewed[first - 1], table_model.predictions[first - 1]
        assert detail == (
            f"row {first}: {float(served)!r} served, {expected!r} expected; {len(differing)} of "
            "120 rows differ"
        )


def test_a_server_that_reads_booleans_as_text_fails(check: Any, model: Any) -> None:
    for status, detail in check(_server(_Skewed(model, _booleans_as_text))).values():
        assert status == "failed"
        assert "rows 1 to 120 in one request: " in detail or "rows differ" in detail


_DAYS = ["2024-01-01", "2024-02-01", "2024-05-05"]
_ID = "1152921504606846977"


@pytest.mark.parametrize(
    ("kind", "values", "records", "sent", "form", "says"),
    [
        # Each of these MLflow's server answers without a word, or not at all.
        ("text", ["NA", "DE", "CH"], ["NA", "DE", "CH"], None, "CSV", "row 1: "),
        ("text", ["None", "x", None], ["None", "x", '""'], None, "CSV", "row 1: "),
        ("text", [_ID, "7", None], [_ID, "7", '""'], [int(_ID), 7, None], "JSON", "row 1: "),
        ("boolean", [True, False, None], ["true", "false", '""'], None, "CSV", "Bool column has"),
        ("boolean", [True, False, None], ["true", "false", '""'], None, "JSON", "row 3: "),
        ("date", _DAYS, _DAYS, None, "CSV", "Failed to parse input as a Pandas DataFrame"),
    ],
)
def test_what_mlflow_s_server_misreads_fails_and_the_image_s_server_passes(
    check: Any,
    small_model: Any,
    kind: str,
    values: list[Any],
    records: list[str],
    sent: list[Any] | None,
    form: str,
    says: str,
) -> None:
    model, raw = small_model(values, records, kind=kind, sent=sent)
    status, detail = check(scoring_server.init(model), raw)[form]
    assert status == "failed"
    assert says in detail
    passed = ("passed", f"{len(values)} rows equal (relative tolerance 1e-06), 1 request")
    assert check(_server(model), raw) == {"JSON": passed, "CSV": passed}


def test_mlflow_s_own_server_fails(check: Any, model: Any) -> None:
    seen = check(scoring_server.init(model))
    assert seen["CSV"][0] == "failed"
    assert "Failed to parse input as a Pandas DataFrame" in seen["CSV"][1]
    assert seen["JSON"][0] == "failed"


@pytest.mark.parametrize("column", ["sold", "built"])
def test_epoch_milliseconds_in_the_rows_fail(
    check: Any, model: Any, table_model: Any, column: str
) -> None:
    """What pandas writes for a date, if the training step should ever record that."""
    raw = table_model.raw_rows()
    at = raw["columns"].index(column)
    rows = copy.deepcopy(raw["rows"])
    first = next(n for n, row in enumerate(rows) if row[at] is not None)
    rows[first][at] = 1704067200000
    status, detail = check(_server(model), {**raw, "rows": rows})["JSON"]
    assert status == "failed"
    assert (
        f"row {first + 1}, column '{column}': 1704067200000 is a number, which may be seconds, "
        "milliseconds or days; send a date in ISO 8601"
    ) in detail.replace("\\", "")


def test_text_for_a_boolean_in_the_rows_fails(check: Any, model: Any, table_model: Any) -> None:
    raw = table_model.raw_rows()
    at = raw["columns"].index("open")
    rows = [[*row[:at], str(row[at]), *row[at + 1 :]] for row in raw["rows"]]
    status, detail = check(_server(model), {**raw, "rows": rows})["JSON"]
    assert status == "failed"
    assert "column 'open'" in detail
    assert "is not true or false; send true or false" in detail


def test_rows_whose_columns_are_swapped_fail(check: Any, model: Any, table_model: Any) -> None:
    raw = table_model.raw_rows()
    names = ["code" if n == "town" else "town" if n == "code" else n for n in raw["columns"]]
    for status, detail in check(_server(model), {**raw, "columns": names}).values():
        assert status == "failed"
        assert "column 'town': is missing" in detail or "rows differ" in detail


def test_rows_recorded_in_another_encoding_fail(check: Any, model: Any, table_model: Any) -> None:
    raw = table_model.raw_rows()
    records = [record.encode().decode("latin-1") for record in raw["csv"]]
    status, detail = check(_server(model), {**raw, "csv": records})["CSV"]
    assert (status, detail.rpartition("; ")[2].endswith("of 120 rows differ")) == ("failed", True)


class _OtherProbabilities:
    """The classifier's own scikit-learn model, whose probabilities come out changed."""

    def __init__(self, raw: Any, change: Callable[[Any], Any]) -> None:
        self._raw = raw
        self._change = change
        self.classes_ = raw.classes_

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        return self._change(self._raw.predict_proba(frame))


class _OtherClassifier:
    """The classifier as the server sees it."""

    def __init__(self, model: Any, change: Callable[[Any], Any]) -> None:
        self._raw = _OtherProbabilities(model.get_raw_model(), change)
        self.metadata = model.metadata

    def get_raw_model(self) -> Any:
        return self._raw


def test_a_classifier_answers_untouched_rows_as_offline(check: Any, classifier: Any) -> None:
    passed = (
        "passed",
        "60 rows equal in label and probabilities (relative tolerance 1e-06), 1 request",
    )
    seen = check(_server(classifier.load()), classifier.raw_rows())
    assert seen == {"JSON": passed, "CSV": passed}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda shares: shares[:, ::-1], "row 1: label "),
        (lambda shares: shares * 0.9999, "row 1, probability of 'no': "),
        # As of a model that was trained a bit longer: each label stays.
        (lambda shares: (shares * 1.001).clip(0, 1), "probability of "),
    ],
    ids=["swapped", "scaled", "perturbed"],
)
def test_a_classifier_of_other_probabilities_fails(
    check: Any, classifier: Any, change: Callable[[Any], Any], says: str
) -> None:
    served = TableServer(_OtherClassifier(classifier.load(), change), None)  # type: ignore[arg-type]
    for status, detail in check(served, classifier.raw_rows()).values():
        assert status == "failed"
        assert says in detail
        assert detail.endswith("60 of 60 rows differ")


def test_classes_that_were_swapped_in_the_model_s_metadata_fail(
    check: Any, classifier: Any, save_classifier: Any, tmp_path: Path
) -> None:
    """Of a model that was trained on other words, so that no server can tell."""
    import mlflow.pyfunc

    save_classifier(tmp_path / "model", ["a", "b"], classes=["yes", "no"])
    app = _server(mlflow.pyfunc.load_model(str(tmp_path / "model")))
    for status, detail in check(app, classifier.raw_rows()).values():
        assert (status, detail) == (
            "failed",
            "rows 1 to 60 in one request: the classes ['yes', 'no'] served, ['no', 'yes'] expected",
        )


def test_mlflow_s_own_server_gives_no_probabilities_and_fails(check: Any, classifier: Any) -> None:
    status, detail = check(scoring_server.init(classifier.load()), classifier.raw_rows())["JSON"]
    assert (status, detail) == (
        "failed",
        "rows 1 to 60 in one request: no probabilities served, though the model gave them when it "
        "was trained",
    )
