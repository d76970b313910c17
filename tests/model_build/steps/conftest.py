"""Prepared data for the training step's tests, and jobs that are trained with it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.model_build.steps.train_evaluate_register.jobs import Job


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What PrepareData makes of a table with text, missing values, dates and booleans.

    The target `price` depends on `size` and `city`, most of all on whether the city is known.
    """
    from tests.model_build.steps.tables import prepare_files

    rng = np.random.default_rng(7)
    rows = 240
    city = pd.Series(rng.choice(["Bern", "Basel", "Genf"], rows)).where(
        rng.random(rows) > 0.2, None
    )
    frame = pd.DataFrame(
        {
            "size": rng.gamma(4, 20, rows),
            "rooms": pd.array(rng.integers(1, 7, rows), dtype="Int64"),
            "city": city,
            "id": [f"house-{number}" for number in range(rows)],
            "sold": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), "D"),
            "garden": rng.random(rows) > 0.5,
            "remark": None,
        }
    )
    frame.loc[::9, ["size", "rooms"]] = None
    frame["price"] = frame["size"].fillna(50) * 10 + city.map({"Bern": 500, "Basel": 300}).fillna(0)
    frame.loc[city.isna(), "price"] += 5000
    folder = tmp_path_factory.mktemp("prepared")
    frame.to_parquet(folder / "houses.parquet", index=False)
    body = (folder / "houses.parquet").read_bytes()
    (folder / "houses.parquet").unlink()
    prepare_files({"houses.parquet": body}, folder, target="price")
    return folder


def make_kinds(rows: int = 240) -> pd.DataFrame:
    """A target of each kind that `size` and `city` tell much of, for all rows but some."""
    rng = np.random.default_rng(8)
    size = rng.gamma(4, 20, rows)
    city = rng.choice(["Bern", "Basel", "Genf"], rows)
    told = size + 60 * (city == "Bern") + rng.normal(0, 10, rows)
    frame = pd.DataFrame(
        {
            "size": size,
            "city": pd.Series(city, dtype=object).where(rng.random(rows) > 0.2, None),
            "garden": rng.random(rows) > 0.5,
            "text": pd.cut(told, [-1e9, 70, 110, 1e9], labels=["low", "$middle$", "high"]),
            "boolean": told > 90,
            "integer": np.searchsorted([70, 110], told) * 2 + 1,
        }
    )
    frame.loc[::9, "size"] = None
    return frame.astype({"text": object})


@pytest.fixture(scope="session")
def prepared_classes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What PrepareData makes of three tables, by the kind of their classes."""
    from tests.model_build.steps.tables import parquet_of, prepare_files

    frame, kinds = make_kinds(), ("text", "boolean", "integer")
    folder = tmp_path_factory.mktemp("classes")
    for kind in kinds:
        body = parquet_of(frame.drop(columns=[other for other in kinds if other != kind]))
        prepare_files(
            {"a.parquet": body}, folder / kind, target=kind, task="classification", test_size=0.3
        )
    return {kind: folder / kind for kind in kinds}


@pytest.fixture
def start_job(
    mlflow_sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], Job]]:
    """Makes a job with data of this folder, and gives this process its environment."""
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def start(data: Path) -> Job:
        made = Job(mlflow_sqlite, data, tmp_path)
        made.enter(monkeypatch)
        return made

    yield start
    signal.signal(signal.SIGTERM, handler)
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def job(start_job: Callable[[Path], Job], prepared: Path) -> Job:
    """A job whose target is a number."""
    return start_job(prepared)


@pytest.fixture
def plant_estimator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Puts one more file, by name and text, into the folder of estimators, as Python sees it."""
    import estimators

    before = set(sys.modules)
    folder = tmp_path / "estimators"
    folder.mkdir()
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(folder)])

    def write(name: str, text: str) -> None:
        Path(folder, f"{name}.py").write_text(text, encoding="utf-8")

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("estimators."):
            del sys.modules[name]
            vars(estimators).pop(name.rpartition(".")[2], None)
