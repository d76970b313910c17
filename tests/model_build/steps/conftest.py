"""Prepared data for the training step's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


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
