"""How long the commands' --help takes, beside an empty Python process.

Minimum and median of several runs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
BIN_DIR = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "run-pipeline --help": [BIN_DIR / "run-pipeline", "--help"],
    "python -m model_deploy.build --help": [sys.executable, "-m", "model_deploy.build", "--help"],
    "local-aws --help": [BIN_DIR / "local-aws", "--help"],
    "mlops --help": [BIN_DIR / "mlops", "--help"],
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begun)
    empty = statistics.median(seconds["python -c pass"])
    print(f"{'command':40} {'min':>7} {'median':>7} {'ratio':>6}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:40} {min(values):6.3f}s {median:6.3f}s {median / empty:5.1f}x")


if __name__ == "__main__":
    main()
