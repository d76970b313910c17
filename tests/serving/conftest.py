"""A model as the training step registers it, and ways to ask what serves it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

COLUMNS: list[dict[str, Any]] = [
    {"name": "size", "kind": "number", "gaps": True},
    {
        "name": "price",
        "kind": "number",
        "gaps": False,
        "format": {"thousands": ",", "decimal": ".", "affixes": ["$"]},
    },
    {"name": "open", "kind": "boolean", "gaps": True},
    {"name": "code", "kind": "text", "gaps": True},
    {"name": "town", "kind": "text", "gaps": False},
    {"name": "sold", "kind": "date", "gaps": True},
    {"name": "built", "kind": "date", "gaps": False, "format": {"strptime": "%d.%m.%Y"}},
]
_TYPES = {"number": "double", "boolean": "boolean", "text": "string", "date": "datetime"}
# The last is an integer that no double holds.
_CODES = ["NA", "None", "1", "1.0", "01", "nan", "1152921504606846977", "true", None]


@dataclass(frozen=True)
class TableModel:
    """A saved model; `rows` as the training step had them, `predictions` made from these."""

    folder: Path
    rows: pd.DataFrame
    predictions: list[float]

    def load(self) -> Any:
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(self.folder))

    @property
    def json_rows(self) -> list[list[Any]]:
        """The rows as a JSON table would have them; `price` and `built` in their formats."""
        return [
            [
                None if pd.isna(row.size) else row.size,
                f"${row.price:,.2f}",
                row.open,
                row.code,
                row.town,
                None if pd.isna(row.sold) else row.sold.isoformat(),
                row.built.strftime("%d.%m.%Y"),
            ]
            for row in self.rows.itertuples(index=False)
        ]

    @property
    def csv_records(self) -> list[str]:
        """The same rows as lines of a CSV file, where NA in a number column is missing."""
        lines = []
        for row in self.json_rows:
            text = io.StringIO()
            words = ["" if v is None else str(v) for v in row]
            words[0] = words[0] or "NA"
            csv.writer(text, lineterminator="").writerow(words)
            lines.append(text.getvalue())
        return lines

    def csv(self, *records: str, header: str = "size,price,open,code,town,sold,built") -> bytes:
        return "\r\n".join([header, *(records or self.csv_records)]).encode()

    def split(self, rows: list[list[Any]] | None = None) -> bytes:
        columns = [column["name"] for column in COLUMNS]
        content = {"columns": columns, "data": self.json_rows if rows is None else rows}
        return json.dumps({"dataframe_split": content}).encode()

    def raw_rows(self) -> dict[str, Any]:
        """What the training step records with the version."""
        return {
            "version": 1,
            "columns": [column["name"] for column in COLUMNS],
            "rows": self.json_rows,
            "csv": self.csv_records,
            "predictions": self.predictions,
        }


def _rows(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = pd.date_range("2023-01-01", periods=5, freq="97D")
    return pd.DataFrame(
        {
            "size": np.where(rng.random(count) < 0.2, np.nan, rng.integers(1, 99, count) / 2),
            "price": rng.integers(1000, 900000, count) / 4,
            "open": pd.Series(rng.choice([True, False, None], count), dtype="object"),
            "code": pd.Series(rng.choice(np.array(_CODES, object), count), dtype="object"),
            "town": pd.Series(rng.choice(["Zürich", "Genève", "Bern"], count), dtype="object"),
            "sold": pd.Series(rng.choice(days, count)).where(rng.random(count) > 0.2),
            "built": pd.Series(rng.choice(days, count)),
        }
    )


def save_model(
    folder: Path, rows: pd.DataFrame, columns: list[dict[str, Any]], *, of_ours: bool = True
) -> list[float]:
    """Fit and save a model whose every column counts; its predictions of the rows."""
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    numbers = [c["name"] for c in columns if c["kind"] == "number"]
    others = [c["name"] for c in columns if c["kind"] != "number"]
    model = Pipeline(
        [
            (
                "columns",
                ColumnTransformer(
                    [
                        ("n", SimpleImputer(strategy="constant", fill_value=-1), numbers),
                        ("t", OneHotEncoder(handle_unknown="ignore"), others),
                    ]
                ),
            ),
            ("ridge", Ridge()),
        ]
    ).fit(rows, np.random.default_rng(1).normal(size=len(rows)) * 100)
    inputs = [ColSpec(_TYPES[c["kind"]], c["name"], required=not c["gaps"]) for c in columns]
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=ModelSignature(Schema(inputs), Schema([ColSpec("double")])),
        input_example=rows.head(3).astype(object).where(rows.head(3).notna(), None),
        pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=["numpy.dtype"],
        metadata={"table": {"version": 1, "columns": columns}} if of_ours else None,
    )
    return [float(prediction) for prediction in model.predict(rows)]


@pytest.fixture(scope="session")
def table_model(tmp_path_factory: pytest.TempPathFactory) -> TableModel:
    folder = tmp_path_factory.mktemp("table") / "model"
    rows = _rows(120)
    return TableModel(folder, rows, save_model(folder, rows, COLUMNS))


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> TableModel:
    """The same model, but without a word of its table: none of ours."""
    folder = tmp_path_factory.mktemp("other") / "model"
    rows = _rows(120)
    return TableModel(folder, rows, save_model(folder, rows, COLUMNS, of_ours=False))


_TWO_COLUMNS = [
    {"name": "size", "kind": "number", "gaps": True},
    {"name": "town", "kind": "text", "gaps": False},
]


@dataclass(frozen=True)
class ClassifierModel:
    """A saved classifier, and rows as the training step had them."""

    folder: Path
    rows: pd.DataFrame

    def load(self) -> Any:
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(self.folder))

    def raw_rows(self) -> dict[str, Any]:
        """What the training step records with the version."""
        raw = self.load().get_raw_model()
        return {
            "version": 1,
            "columns": list(self.rows),
            "rows": self.rows.astype(object).where(self.rows.notna(), None).to_numpy().tolist(),
            "csv": self.rows.to_csv(index=False, header=False, lineterminator="\n").split("\n")[
                :-1
            ],
            "predictions": raw.predict(self.rows).tolist(),
            "classes": raw.classes_.tolist(),
            "probabilities": raw.predict_proba(self.rows).tolist(),
        }


def _save_classifier(folder: Path, classes: list[Any], /, **metadata: Any) -> pd.DataFrame:
    """Fit and save a classifier as the training step does; its rows."""
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "size": np.where(rng.random(60) < 0.2, np.nan, rng.normal(size=60) * 4),
            "town": rng.choice(np.array(["Bern", "Genève"], object), 60),
        }
    )
    kind = {str: object, bool: bool, int: float}[type(classes[0])]
    target = np.array((classes * 60)[:60], dtype=kind)
    model = Pipeline(
        [
            (
                "columns",
                ColumnTransformer(
                    [
                        ("n", SimpleImputer(strategy="constant", fill_value=-1), ["size"]),
                        ("t", OneHotEncoder(handle_unknown="ignore"), ["town"]),
                    ]
                ),
            ),
            ("classifier", LogisticRegression()),
        ]
    ).fit(rows, target)
    inputs = [ColSpec("double", "size", required=False), ColSpec("string", "town")]
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=ModelSignature(Schema(inputs)),
        pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=["numpy.dtype"],
        metadata={
            "table": {"version": 1, "columns": _TWO_COLUMNS},
            "task": "classification",
            "classes": classes,
            **metadata,
        },
    )
    return rows


@pytest.fixture(scope="session")
def save_classifier() -> Callable[..., pd.DataFrame]:
    return _save_classifier


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> ClassifierModel:
    folder = tmp_path_factory.mktemp("classifier") / "model"
    return ClassifierModel(folder, _save_classifier(folder, ["no", "yes"]))


@pytest.fixture
def small_model(tmp_path: Path) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """small_model(values, records, kind=...): a model of one column `a`, and its raw rows."""

    def make(
        values: list[Any], records: list[str], *, kind: str, sent: list[Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        import mlflow.pyfunc

        dtype = {"number": "float64", "date": "datetime64[ns]"}.get(kind, "object")
        frame = pd.DataFrame({"a": pd.Series(values, dtype=dtype)})
        columns = [{"name": "a", "kind": kind, "gaps": None in values}]
        predictions = save_model(tmp_path / "model", frame, columns)
        raw = {
            "version": 1,
            "columns": ["a"],
            "rows": [[value] for value in (values if sent is None else sent)],
            "csv": records,
            "predictions": predictions,
        }
        return mlflow.pyfunc.load_model(str(tmp_path / "model")), raw

    return make


Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="session")
def ask() -> Ask:
    """ask(app, body, content_type): the HTTP status and the parsed answer."""

    def ask(
        app: Any,
        body: bytes = b"",
        content_type: str = "application/json",
        *,
        method: str = "POST",
        path: str = "/invocations",
        chunks: int = 1,
    ) -> tuple[int, Any]:
        size = len(body) // chunks + 1
        parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        messages = [
            {"type": "http.request", "body": part, "more_body": number < len(parts)}
            for number, part in enumerate(parts, 1)
        ]
        sent: list[Any] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"content-type", content_type.encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

        async def run() -> None:
            gone = asyncio.Event()

            async def receive() -> Any:
                if messages:
                    return messages.pop(0)
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent.append(message)

            await app(scope, receive, send)

        asyncio.run(run())
        text = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
        try:
            return sent[0]["status"], json.loads(text)
        except ValueError:
            return sent[0]["status"], text.decode()

    return ask
