"""Time, memory and size of training by rows; and what a bound on the rows of each tree costs.

Made tables of 20 columns: ten numbers (one with gaps), two booleans with gaps, six texts (of 2, 8,
50, 2000, 50,000 values, and an identifier), two dates. Twelve of them drive the target; noisy: half
of its standard deviation is noise. Errors (RMSE) are those of 20,000 more rows, as shares of the
target's standard deviation, for a forest of 100 trees: where fewer are trained, what averaging more
of the kind would leave. Each training is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

STEP = Path(__file__).resolve().parents[1] / "model_build/steps/train_evaluate_register"
BOUND = 100_000
TEST_ROWS = 20_000
BY_ROWS = [(rows, 0.5, BOUND, 100) for rows in (10_000, 100_000, 1_000_000)]
BY_BOUND = [
    (1_000_000, noise, bound, 6) for noise in (0.5, 0.0) for bound in (50_000, 100_000, 200_000, 0)
]
_SIZES = {"sex": 2, "grade": 8, "state": 50, "town": 2000, "street": 50_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--bounds", action="store_true", help="compare bounds instead (an hour)")
    parser.add_argument("--jobs", type=int, default=2, help="cores (default: 2)")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        rows, noise, bound, trees = args.one
        print(json.dumps(measure(int(rows), float(noise), int(bound), int(trees), args.jobs)))
        return
    heads = (
        "rows",
        "noise",
        "bound",
        "trees",
        "encode s",
        "train s",
        "CPU s",
        "peak MB",
        "skops MB",
    )
    print("".join(f"{head:>10}" for head in (*heads, "tar.gz MB", "error")), flush=True)
    for setting in BY_BOUND if args.bounds else BY_ROWS:
        command = [sys.executable, __file__, "--jobs", str(args.jobs), "--one", *map(str, setting)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        values = (*setting, *json.loads(answer).values())
        print("".join(f"{value:>10,}" for value in values), flush=True)


def measure(rows: int, noise: float, bound: int, trees: int, jobs: int) -> dict[str, float]:
    """Train once, as the training step does."""
    sys.path.insert(0, str(STEP))
    import estimators
    import skops.io
    from model import Recipe

    features, target = make_table(rows + TEST_ROWS, noise)
    spread = float(target.std())
    known, asked = features[:rows], features[rows:]
    recipe = Recipe(
        name="random-forest",
        estimator=estimators.find_estimators()["random-forest"],
        task="regression",
        classes=[],
        parameters={"NEstimators": trees, "MinSamplesLeaf": 3, "MaxRowsPerTree": bound},
        random_seed=1,
    )
    model = recipe.build(known, target[:rows])
    model.set_params(estimator__n_jobs=jobs)
    # The pipeline's two steps, one after the other, to see where the time goes.
    began, used = time.monotonic(), time.process_time()
    encoded = model[0].fit_transform(known, target[:rows])
    encoding = time.monotonic() - began
    model[1].fit(encoded, target[:rows])
    training, used = time.monotonic() - began - encoding, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    error = estimate_error(model[1], model[0].transform(asked), np.asarray(target[rows:]))
    recipe.make_ready(model)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model.skops"
        skops.io.dump(model, saved)
        size, packed = saved.stat().st_size, compress(saved)
    return {
        "encode": round(encoding, 1),
        "train": round(training, 1),
        "cpu": round(used),
        "peak": round(peak),
        "skops": round(size / 1e6, 1),
        "archive": round(packed / 1e6, 1),
        "error": round(error / spread, 4),
    }


def estimate_error(trained: Any, encoded: Any, actual: Any) -> float:
    """RMSE with 100 trees: the mean square is a + b / trees, known for one tree and for all."""
    each = [tree.predict(encoded.astype(np.float32)) for tree in trained.estimators_]
    alone = np.mean([np.mean((actual - predicted) ** 2) for predicted in each])
    together = np.mean((actual - np.mean(each, axis=0)) ** 2)
    by_trees = (alone - together) / (1 - 1 / len(each))
    return float(np.sqrt(alone - by_trees * (1 - 1 / 100)))


def make_table(rows: int, noise: float) -> tuple[pd.DataFrame, pd.Series[Any]]:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"number{at}": rng.normal(size=rows) for at in range(9)}
    gaps = rng.random(rows) < 0.1
    columns["gaps"] = np.where(gaps, np.nan, rng.gamma(2, 2, rows))
    for name in ("yes", "no"):
        answers = pd.Series(rng.random(rows) < 0.4).astype(object)
        columns[name] = answers.where(rng.random(rows) > 0.05, None)
    target = (
        3 * columns["number0"]
        + columns["number1"] * columns["number2"]
        + 2 * np.sin(2 * columns["number3"])
        + np.abs(columns["number4"])
        + np.where(gaps, 5, columns["gaps"]) / 2
        + columns["yes"].map({True: 1.0, False: 0.0}).fillna(0.5).to_numpy(dtype=float)
    )
    for name, count in _SIZES.items():
        drawn = rng.integers(0, count, rows)
        columns[name] = np.array([f"{name}-{at:06d}" for at in range(count)], dtype=object)[drawn]
        target += rng.normal(size=count)[drawn] * (1.5 if count < 100 else 1)
    columns["id"] = np.array([f"id-{at:08d}" for at in range(rows)], dtype=object)
    sold = pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 5 * 365 * 24, rows), "h")
    columns["sold"] = sold
    columns["built"] = pd.Timestamp("1950-01-01") + pd.to_timedelta(
        rng.integers(0, 25_000, rows), "D"
    )
    target += sold.hour.to_numpy() / 12 + (sold.dayofweek.to_numpy() > 4)
    target += noise / np.sqrt(1 - noise**2) * target.std() * rng.normal(size=rows)
    return pd.DataFrame(columns), pd.Series(target)


def compress(path: Path) -> int:
    """The bytes that gzip makes of it at the level of model_deploy.model_archive."""
    packer, packed = zlib.compressobj(6, wbits=31), 0
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            packed += len(packer.compress(part))
    return packed + len(packer.flush())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
