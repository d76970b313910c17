"""Tables for PrepareData, and the way through it without S3."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SOURCE = "s3://tables/houses"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What PrepareData left in a folder."""

    folder: Path
    findings: list[str]

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @property
    def train(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "train.parquet")

    @property
    def test(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "test.parquet")

    @property
    def units(self) -> pd.Series[Any]:
        return pd.read_parquet(self.folder / "test_units.parquet")["unit"]

    @property
    def rows(self) -> pd.DataFrame:
        return pd.concat([self.train, self.test], ignore_index=True)

    @property
    def columns(self) -> dict[str, Any]:
        return {row["name"]: row for row in self.read("dataset.json")["columns"]}

    @property
    def kinds(self) -> dict[str, str]:
        return {name: row["kind"] for name, row in self.columns.items()}


def prepare_files(
    files: Mapping[str, bytes],
    folder: Path,
    *,
    target: str = "target",
    task: str = "auto",
    odd_values: str = "refuse",
    split_by: str = "row",
    test_size: float = 0.25,
    random_seed: int = 42,
) -> Result:
    """What PrepareData makes of files below one prefix, by name; the names may hold folders."""
    import prepare_data
    import raw_table
    import table_source
    from decisions import OddPolicy
    from preparation import prepare
    from splitting import SplitRule
    from target_task import TaskChoice

    request = prepare_data.Request(
        source=SOURCE,
        target=target,
        task=TaskChoice.read(task),
        odd_values=OddPolicy.read(odd_values),
        split=SplitRule.read(split_by, test_size, random_seed),
    )
    with tempfile.TemporaryDirectory() as scratch:
        sources = []
        for number, (name, body) in enumerate(files.items()):
            path = Path(scratch, f"{number}-{name.rsplit('/', 1)[-1]}")
            path.write_bytes(body)
            partition = table_source.read_partition(f"houses/{name}", "houses")
            sources.append(table_source.SourceFile(path=path, name=name, partition=partition))
        table = raw_table.open_files(sources, SOURCE, Path(scratch))
        folder.mkdir(exist_ok=True)
        prepared = prepare(table, target, request.task, request.split, request.odd_values, folder)
        prepare_data.write_descriptions(prepared, request, [], folder)
    findings = [f"{finding.column}: {finding.message}" for finding in prepared.findings]
    return Result(folder=folder, findings=findings)


def table(rows: int = 200, **columns: Any) -> pd.DataFrame:
    """A table whose target follows from its one number, and further columns."""
    size = np.arange(rows) * 0.5 + 0.25
    return pd.DataFrame({"size": size, **columns, "target": size * 2})


def csv_of(frame: pd.DataFrame, **options: Any) -> bytes:
    """The table as a CSV file."""
    return frame.to_csv(index=False, **options).encode()


def parquet_of(frame: pd.DataFrame) -> bytes:
    """The table as a Parquet file, without an index."""
    body: bytes = frame.to_parquet(index=False)
    return body
