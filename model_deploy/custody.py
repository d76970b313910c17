"""The archive that serves is the one that was built: read again, hashed, compared with its digest.

    s3://.../<sha256>/model.tar.gz ─read in pieces─▶ SHA-256 ─▶ the one in the stage configuration?

The build does it after its upload, the pipeline before prod is deployed, and each endpoint test
afterwards. As a command: `python -m model_deploy.custody --import-build-config FILE`.
Exit codes: 0 it is the one, 1 it is not there or another one, 2 wrong input, 3 AWS refused.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model_deploy.command_line import set_up_process
from model_deploy.errors import AwsError, ConfigError, DeployError

# By name, as `python -m` calls this module __main__.
logger = logging.getLogger("model_deploy.custody")

DIGEST_TAG = "model-archive-sha256"
_CHUNK_BYTES = 4 * 1024**2
_NEWS_SECONDS = 10.0
_GONE = ("404", "NoSuchKey", "NoSuchBucket")


@dataclass(frozen=True, kw_only=True)
class Custody:
    """What lies at an archive's address: its digest, or nothing (None)."""

    uri: str
    wanted: str
    found: str | None
    size_bytes: int = 0

    @property
    def problem(self) -> str:
        """What is wrong, and what to do; empty if it is the archive that was built."""
        if self.found == self.wanted:
            return ""
        if self.found is None:
            told = f"there is no object at {self.uri}: no instance could load the model"
        else:
            told = (
                f"{self.uri} is another object: its SHA-256 is {self.found}, "
                f"that of the archive that was built and tested is {self.wanted}"
            )
        return (
            f"{told}. Find out who changed it (CloudTrail, the bucket's versions), then restore "
            "that version of the object, or delete it and build again"
        )


def inspect_archive(s3: Any, uri: str, sha256: str) -> Custody:
    """Read and hash the object at `uri`; memory stays constant. Raises AwsError."""
    from botocore.exceptions import BotoCoreError, ClientError

    parts = urlsplit(uri)
    digest, size = hashlib.sha256(), 0
    spoken = time.monotonic()
    try:
        answer = s3.get_object(Bucket=parts.netloc, Key=parts.path.removeprefix("/"))
        for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if time.monotonic() - spoken > _NEWS_SECONDS:
                spoken = time.monotonic()
                logger.info("%.0f of %.0f MB read", size / 1e6, answer["ContentLength"] / 1e6)
    except ClientError as err:
        if err.response.get("Error", {}).get("Code") in _GONE:
            return Custody(uri=uri, wanted=sha256, found=None)
        raise AwsError(_refused(uri, err)) from err
    except (BotoCoreError, OSError) as err:
        raise AwsError(_refused(uri, err)) from err
    return Custody(uri=uri, wanted=sha256, found=digest.hexdigest(), size_bytes=size)


def s3_client(region: str | None) -> Any:
    """A client that gives up within a few minutes. Raises AwsError."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=5, read_timeout=60, retries={"max_attempts": 3, "mode": "standard"}
    )
    try:
        return boto3.client("s3", region_name=region, config=config)
    except BotoCoreError as err:
        raise AwsError(f"no AWS client: {err}. Set AWS_REGION.") from err


def _refused(uri: str, err: Exception) -> str:
    return (
        f"could not read {uri}: {err}. Check that the role has s3:GetObject on it, s3:ListBucket "
        "on the bucket (without it a missing object looks like a forbidden one), and kms:Decrypt "
        "with the bucket's key."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code."""
    args = build_parser().parse_args(argv)
    set_up_process("INFO")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        custody = _inspect(args.import_build_config, region)
    except DeployError as err:
        logger.error("%s", err)
        return err.exit_code
    if custody.problem:
        logger.error("%s", custody.problem)
        return 1
    logger.info("%s has the digest that was built (%d bytes)", custody.uri, custody.size_bytes)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The one flag."""
    parser = argparse.ArgumentParser(
        prog="python -m model_deploy.custody",
        description="Check that the archive of a stage's configuration is the one that was built.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--import-build-config",
        type=Path,
        required=True,
        metavar="FILE",
        help="the stage's exported configuration",
    )
    return parser


def _inspect(path: Path, region: str | None) -> Custody:
    from model_deploy.stage_config import ExportedConfig

    config = ExportedConfig.from_json(path)
    uri, sha256 = config.parameters.get("ModelDataLocation"), config.tags.get(DIGEST_TAG)
    if not uri or not sha256:
        raise ConfigError(
            str(path),
            [
                f"it lacks Parameters.ModelDataLocation or Tags.{DIGEST_TAG}; "
                "is it what the build wrote?"
            ],
        )
    return inspect_archive(s3_client(region), uri, sha256)


if __name__ == "__main__":
    sys.exit(main())
