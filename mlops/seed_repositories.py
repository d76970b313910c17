"""CLI: cut this tree into the two units, the first commits of a project's repositories.

    working tree ─▶ units ─┬─▶ modelbuild.zip, modeldeploy.zip ─▶ a folder, an S3 bucket
                           └─▶ one unit's files in a folder

infra/project/project.yml fills new CodeCommit repositories from the archives in SeedBucket.
Exit codes: 0 written, 2 wrong input, 3 AWS refused.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops.units import UNITS, list_files

# By name, as `python -m` calls this module __main__.
logger = logging.getLogger("mlops.seed_repositories")

# The earliest time that a zip can say: the same files give the same archive, whenever it is made.
_TIME = (1980, 1, 1, 0, 0, 0)
_EXECUTABLE, _PLAIN = 0o100755, 0o100644
_WRONG_INPUT, _REFUSED = 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    logging.basicConfig(level="INFO", format="%(message)s")
    if not (args.output_dir or args.bucket or args.folder):
        parser.error("nowhere to write to; pass --output-dir, --bucket or --folder")
    if args.folder and not args.unit:
        parser.error("--folder takes one unit; pass --unit as well")
    try:
        units = {name: list_files(name) for name in ([args.unit] if args.unit else UNITS)}
        if args.folder:
            write_folder(units[args.unit], args.folder)
            sys.stdout.write(f"{args.folder}\n")
        if args.output_dir:
            for name, files in units.items():
                sys.stdout.write(f"{write_archive(files, args.output_dir / f'{name}.zip')}\n")
    except (OSError, subprocess.CalledProcessError) as err:  # git has said on stderr what it lacks
        logger.error("can not write the unit: %s", err)
        return _WRONG_INPUT
    return _upload(units, args.bucket) if args.bucket else 0


def build_parser() -> argparse.ArgumentParser:
    """The flags, each with its default."""
    parser = argparse.ArgumentParser(
        prog="python -m mlops.seed_repositories",
        description="Cut this tree into the repositories of modelBuild and modelDeploy.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--output-dir", type=Path, metavar="DIR", help="write <unit>.zip there (default: don't)")
    add("--bucket", metavar="NAME", help="upload <unit>.zip to this S3 bucket (default: don't)")
    add("--folder", type=Path, metavar="DIR", help="write the unit's files there (default: don't)")
    add("--unit", choices=sorted(UNITS), help="only this one (default: both)")
    return parser


def write_folder(files: Mapping[str, Path], folder: Path) -> None:
    """Copy a unit's files into a folder that is new, or holds nothing but a clone's `.git`.

    So what the tree no longer has is gone from the next commit too, and no stranger's file is
    overwritten: FileExistsError when there are any.
    """
    if folder.exists() and {path.name for path in folder.iterdir()} - {".git"}:
        raise FileExistsError(
            f"{folder} holds other files; name a new folder, or a clone made with --no-checkout"
        )
    for name, file in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def write_archive(files: Mapping[str, Path], archive: Path) -> Path:
    """Write a zip of the files with nothing above them; the same files give the same bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_name(f".{archive.name}.part")
    unfinished.write_bytes(zip_files(files))
    return unfinished.replace(archive)


def zip_files(files: Mapping[str, Path]) -> bytes:
    """A zip of the files; the same files give the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            executable = file.stat().st_mode & 0o100
            entry.external_attr = (_EXECUTABLE if executable else _PLAIN) << 16
            entry.create_system = 3  # Unix, so that the mode is read
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _upload(units: Mapping[str, Mapping[str, Path]], bucket: str) -> int:
    # After the arguments: 0.2 s.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    for name, files in units.items():
        address = f"s3://{bucket}/{name}.zip"
        try:
            # boto3 itself does not read AWS_REGION.
            s3 = boto3.client("s3", region_name=os.environ.get("AWS_REGION"))
            s3.put_object(Bucket=bucket, Key=f"{name}.zip", Body=zip_files(files))
        except (BotoCoreError, ClientError) as err:
            logger.error("could not upload %s: %s", address, err)
            return _REFUSED
        sys.stdout.write(f"{address}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
