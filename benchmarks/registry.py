"""Looking up and moving one of many versions: seconds beside those of another commit's code.

    python benchmarks/registry.py --versions 20000 --beside ed1d270

The registry is MLflow's own store over SQLite; versions are put into its table at once.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NAME = "many"
_MEASURED = """
import logging, sys, time
logging.disable(logging.CRITICAL)
import mlflow
from model_deploy.mlflow_handler import Evidence, MLflowHandler
uri, name, number = sys.argv[1:]
arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop-prod"
mlflow.MlflowClient(uri, uri).get_model_version(name, 1)
def timed(what, call):
    begun = time.perf_counter()
    call()
    print(f"  {what:34} {time.perf_counter() - begun:7.2f} s", flush=True)
latest = MLflowHandler(uri, name, "latest")
timed("resolve a number", MLflowHandler(uri, name, number).resolve)
timed("resolve latest", latest.resolve)
timed("move it to Staging", lambda: latest.move_stage("Staging", Evidence(endpoint_arn=arn)))
timed("move it to Production", lambda: latest.move_stage("Production", Evidence(endpoint_arn=arn)))
older = MLflowHandler(uri, name, number)
timed("another replaces it", lambda: older.move_stage("Production", Evidence(endpoint_arn=arn)))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--versions", type=int, default=20_000)
    parser.add_argument("--beside", default="", help="commit whose model_deploy is measured too")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="registry-") as scratch:
        folder = Path(scratch)
        for revision in filter(None, ("here", args.beside)):
            code = ROOT if revision == "here" else _checked_out(revision, folder)
            uri = _fill(folder / f"{revision}.db", args.versions)
            print(f"{revision}, {args.versions:,} versions", flush=True)
            subprocess.run(
                [sys.executable, "-c", _MEASURED, uri, _NAME, str(args.versions // 2)],
                env={**os.environ, "PYTHONPATH": str(code)},
                cwd=code,  # else `-c` would import what lies where this was started
                check=True,
                stderr=subprocess.DEVNULL,
            )
    return 0


def _fill(database: Path, versions: int) -> str:
    """URI of a registry with one model of that many versions."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{database}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model(_NAME)
    client.create_model_version(_NAME, "s3://bucket/model", await_creation_for=0)
    with sqlite3.connect(database) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(model_versions)")]
        copied = ", ".join("? + 0" if column == "version" else column for column in columns)
        connection.executemany(
            f"INSERT INTO model_versions ({', '.join(columns)}) "
            f"SELECT {copied} FROM model_versions WHERE version = 1",
            [(number,) for number in range(2, versions + 1)],
        )
    connection.close()
    return uri


def _checked_out(revision: str, folder: Path) -> Path:
    code = folder / "code"
    code.mkdir()
    archive = subprocess.run(
        ["git", "archive", revision, "model_deploy"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", code], input=archive.stdout, check=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
