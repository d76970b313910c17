"""PrepareData: one table, checked, brought into four kinds of column, and split.

    sklearn:<name> ─┐                          each column's kind, what is odd  (decisions),
    s3://….csv      ├─▶ RawTable ─▶ decide ─▶  amount or classes (target_task): refuse, or go on
    s3://….parquet ─┘       │
                            └─▶ convert, split ─▶ train.parquet, test.parquet,
                                                  test_units.parquet            (parts)
                                                  raw_rows.json                 (raw_rows)
                                                  dataset.json, data_report.*   (data_report)

The folder is packed into one file and runs on the libraries of AWS's scikit-learn image. Rows are
read batch by batch, twice, so that memory does not grow with the table but for 25 bytes a row. How
tables are read is told in docs/pipeline.md, and why in docs/decisions/0013-columns-of-a-table.md.
"""

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import data_report
import raw_table
import table_source
from decisions import OddPolicy
from errors import DataError
from preparation import Prepared, prepare
from raw_table import RawTable
from splitting import SplitRule
from table_source import DataObject
from target_task import TaskChoice

logger = logging.getLogger("prepare_data")

# SageMaker shows this file's text as the job's ExitMessage, and keeps 1024 characters of it
# (API reference, ProcessingJob: ExitMessage).
MESSAGE_FILE = Path("/opt/ml/output/message")
MESSAGE_LENGTH = 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which table, what to predict, how to split, and what to do with odd values."""

    source: str
    target: str
    task: TaskChoice
    odd_values: OddPolicy
    split: SplitRule

    @classmethod
    def read(cls, args: argparse.Namespace, environment: Mapping[str, str]) -> "Request":
        """From arguments and environment. Raises DataError."""
        source = environment.get("INPUT_DATA_URI", "").strip()
        target = environment.get("TARGET_COLUMN", "")  # as it is: names may have blanks around
        if not source or not target.strip():
            missing = "TARGET_COLUMN" if source else "INPUT_DATA_URI"
            raise DataError(f"the environment variable {missing} is empty; the pipeline sets it")
        return cls(
            source=source,
            target=target,
            task=TaskChoice.read(environment.get("TASK", "auto")),
            odd_values=OddPolicy.read(environment.get("ODD_VALUES", "refuse")),
            split=SplitRule.read(
                environment.get("SPLIT_BY", "row"), args.test_size, args.random_seed
            ),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files to the output folder; 1, with the cause on record, if that fails."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        prepare_table(Request.read(args, os.environ), args.output)
    except Exception as err:  # the last stop: whatever it was, the job must say it
        cause = str(err) if isinstance(err, DataError) else f"{type(err).__name__}: {err}"
        logger.error("%s", cause, exc_info=not isinstance(err, DataError))
        args.message_file.parent.mkdir(parents=True, exist_ok=True)
        args.message_file.write_text(cause[:MESSAGE_LENGTH], encoding="utf-8")
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Check a table and split it. INPUT_DATA_URI and TARGET_COLUMN say which; "
        "TASK, ODD_VALUES and SPLIT_BY how.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the files (no default)"
    )
    parser.add_argument(
        "--test-size", type=float, default=0.25, help="fraction of rows held out (default: 0.25)"
    )
    parser.add_argument("--random-seed", type=int, default=42, help="of the split (default: 42)")
    parser.add_argument(
        "--message-file",
        type=Path,
        default=MESSAGE_FILE,
        help=f"where the cause of a failure goes (default: {MESSAGE_FILE})",
    )
    return parser


def prepare_table(request: Request, output: Path) -> None:
    """All files in `output`, or, when it raises DataError, none of them."""
    with tempfile.TemporaryDirectory(prefix="prepare-data-") as scratch:
        table, objects = open_table(request.source, Path(scratch))
        made = Path(scratch, "made")
        made.mkdir()
        prepared = prepare(
            table, request.target, request.task, request.split, request.odd_values, made
        )
        for finding in prepared.findings:
            logger.log(logging.WARNING if finding.warning else logging.INFO, "%s", finding)
        write_descriptions(prepared, request, objects, made)
        output.mkdir(parents=True, exist_ok=True)
        for path in sorted(made.iterdir()):
            _move(path, output / path.name)
    logger.info(
        "%s: %s, %d rows to train, %d to test",
        request.source,
        prepared.describe_task(),
        prepared.train_rows,
        prepared.test_rows,
    )


def open_table(source: str, scratch: Path) -> tuple[RawTable, list[DataObject]]:
    """The table behind `sklearn:<name>` or `s3://bucket/key-or-prefix`. Raises DataError."""
    scheme, _, rest = source.partition(":")
    if scheme == "sklearn":
        return raw_table.open_frame(table_source.read_bundled(rest), source), []
    files, objects = table_source.download(source, scratch)
    return raw_table.open_files(files, source, scratch), objects


def write_descriptions(
    prepared: Prepared, request: Request, objects: Sequence[DataObject], folder: Path
) -> None:
    """dataset.json for the training step, raw_rows.json for the endpoint's test, the report."""
    described = {
        "source": request.source,
        "objects": [asdict(item) for item in objects],
        "digest": prepared.digest,
        "target": request.target,
        "task": prepared.task,
        "target_kind": prepared.target_kind,
        **({"classes": prepared.classes} if prepared.task == "classification" else {}),
        "rows": prepared.train_rows + prepared.test_rows,
        "train_rows": prepared.train_rows,
        "test_rows": prepared.test_rows,
        "rows_without_target": prepared.rows_without_target,
        "duplicate_rows": prepared.duplicate_rows,
        "columns": prepared.list_columns(),
        "dropped_columns": [
            {"name": name, "reason": reason} for name, reason in prepared.dropped_columns.items()
        ],
        "test_size": request.split.test_size,
        "split_by": request.split.describe(),
        "random_seed": request.split.random_seed,
        "warnings": [str(finding) for finding in prepared.findings if finding.warning],
    }
    report = data_report.build_report(described, prepared)
    _write_json(folder / "dataset.json", described)
    _write_json(folder / "raw_rows.json", prepared.raw_rows)
    _write_json(folder / "data_report.json", report)
    page = data_report.render_page(report)
    (folder / "data_report.html").write_text(page, encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _move(path: Path, to: Path) -> None:
    """Complete or not there at all, though the scratch folder may be on another disk."""
    temporary = to.with_name(f".{to.name}.part")
    shutil.move(path, temporary)
    temporary.replace(to)


if __name__ == "__main__":
    sys.exit(main())
