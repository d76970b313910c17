"""What a server prints while it predicts side by side: each warning once, and right numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PROJECT_DIR = Path(__file__).parents[2]
REQUESTS = 300
COLUMNS = [{"name": name, "kind": "number", "gaps": False} for name in ("a", "b", "c")]

# Threads change places often, as they do on a busy machine by themselves.
SERVE = """
import asyncio, json, sys
sys.setswitchinterval(1e-5)
from serving.app import app

body = sys.stdin.buffer.read()
scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
         "path": "/invocations", "raw_path": b"/invocations", "root_path": "", "scheme": "http",
         "query_string": b"", "headers": [(b"content-type", b"application/json")],
         "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}

async def ask():
    sent = []
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}
    async def send(message):
        sent.append(message)
    await app(scope, receive, send)
    return json.loads(sent[1]["body"])["predictions"]

async def main():
    answers = []
    for _ in range(%d // 10):
        answers += await asyncio.gather(*(ask() for _ in range(10)))
    print(json.dumps(answers))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, list[float]]:
    """A saved forest that predicts in threads, rows, and its predictions of them."""
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    model = RandomForestRegressor(n_estimators=50, n_jobs=2, random_state=0).fit(rows, rows["a"])
    folder = tmp_path_factory.mktemp("forest") / "model"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=ModelSignature(Schema([ColSpec("double", name) for name in rows])),
        pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=["sklearn.tree._tree.Tree"],
        metadata={"table": {"version": 1, "columns": COLUMNS}},
    )
    return folder, rows[:5], [float(each) for each in model.predict(rows[:5])]


def test_forests_side_by_side_print_no_line_for_each_tree(
    forest: tuple[Path, pd.DataFrame, list[float]],
) -> None:
    folder, rows, expected = forest
    split = {"columns": list(rows), "data": rows.to_numpy().tolist()}
    served = subprocess.run(
        [sys.executable, "-c", SERVE % REQUESTS],
        input=json.dumps({"dataframe_split": split}).encode(),
        capture_output=True,
        check=False,
        timeout=120,
        cwd=PROJECT_DIR,
        env={**os.environ, "__pyfunc_model_path__": str(folder), "PYTHONWARNINGS": "default"},
    )

    assert served.returncode == 0, served.stderr.decode()[-2000:]
    answers = np.array(json.loads(served.stdout))
    assert answers.shape == (REQUESTS, len(expected))
    assert np.allclose(answers, expected, rtol=1e-9)
    printed = served.stderr.decode().splitlines()
    assert len(printed) < 100, f"{len(printed)} lines, such as {printed[-2:]}"
