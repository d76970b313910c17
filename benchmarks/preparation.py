"""How long PrepareData takes, and how much memory, by the number of rows.

    python benchmarks/preparation.py [--rows 1e4 --rows 1e7 ...]

Makes CSV tables of 20 columns (14 numbers, 3 texts, a boolean, a date, the target), and compares
with what anyone would write first: pandas reads the file, splits it and writes two Parquet files.
Each in a process of its own; seconds include its start.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parents[1]
STEP = PROJECT / "model_build/steps/prepare_data"
CHUNK = 500_000

OURS = f"""
import sys
sys.path.insert(0, {str(STEP)!r})
from pathlib import Path
from raw_table import open_files
from table_source import SourceFile
from decisions import OddPolicy
from preparation import prepare
from splitting import SplitRule
from target_task import TaskChoice
path, folder = map(Path, sys.argv[1:])
table = open_files([SourceFile(path=path, name=path.name)], "s3://benchmark/table", folder)
rule = SplitRule.read("row", 0.25, 42)
prepare(table, "price", TaskChoice.AUTO, rule, OddPolicy.REFUSE, folder)
"""
PLAIN_PANDAS = """
import sys
import pandas as pd
from sklearn.model_selection import train_test_split
frame = pd.read_csv(sys.argv[1])
for name, part in zip(("train", "test"), train_test_split(frame, test_size=0.25, random_state=42)):
    part.to_parquet(f"{sys.argv[2]}/{name}.parquet", index=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=lambda text: int(float(text)), action="append", help="(default: 1e4 to 1e7)"
    )
    rows = parser.parse_args().rows or [10**4, 10**5, 10**6, 10**7]
    print(f"{'rows':>10} {'CSV MB':>7}  {'ours s':>7} {'MB':>6}  {'pandas s':>8} {'MB':>6}  ratio")
    with tempfile.TemporaryDirectory() as folder:
        for count in rows:
            path = Path(folder, f"table-{count}.csv")
            write_table(path, count)
            ours, our_memory = run(OURS, path, Path(folder))
            theirs, their_memory = run(PLAIN_PANDAS, path, Path(folder))
            print(
                f"{count:>10} {path.stat().st_size / 1e6:>7.0f}  {ours:>7.1f} {our_memory:>6.0f}  "
                f"{theirs:>8.1f} {their_memory:>6.0f}  {ours / theirs:>5.2f}",
                flush=True,
            )
            path.unlink()


def write_table(path: Path, rows: int) -> None:
    """A table whose price follows from two of its columns and noise; written chunk by chunk."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1000, count), "D")
        frame = pd.DataFrame(
            {f"x{number}": rng.normal(size=count).round(4) for number in range(11)}
            | {f"k{number}": rng.integers(0, 1000, count) for number in range(3)}
            | {
                f"c{number}": rng.integers(0, 10 ** (number + 1), count).astype(str)
                for number in range(3)
            }
            | {"flag": rng.random(count) > 0.5, "day": days.strftime("%Y-%m-%d")}
        )
        frame[["c0", "c1", "c2"]] = "type " + frame[["c0", "c1", "c2"]]
        frame["price"] = (frame["x0"] * 3 + frame["k0"] / 100 + rng.normal(size=count)).round(4)
        frame.to_csv(path, index=False, header=start == 0, mode="a")


def run(script: str, path: Path, folder: Path) -> tuple[float, float]:
    """Seconds and peak megabytes of a Python that runs `script` on the table."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", script, str(path), str(folder)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"it ended with status {status}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
