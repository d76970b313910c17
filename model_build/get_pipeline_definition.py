"""get-pipeline-definition: the pipeline's definition as JSON, without touching AWS.

It is for reading and reviewing: the addresses of the uploaded code in it are those that
run-pipeline would use, but only run-pipeline uploads.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model_build import command_line
from model_build.errors import ModelBuildError

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the definition, or write it to --file-name; the exit code of errors.py."""
    args = build_parser().parse_args(argv)
    command_line.set_up_logging()
    try:
        stale = command_line.explain_stale_shell(os.environ)
        if stale:  # the definition needs neither AWS nor MLflow, but may name the wrong ones
            logger.warning("warning: %s", stale)
        request = command_line.read_request(args, os.environ)
        definition = command_line.compile_definition(
            command_line.make_pipeline(request, offline=True)
        )
        if args.file_name is None:
            sys.stdout.write(definition)
        else:
            command_line.write_text(args.file_name, definition, "--file-name")
    except ModelBuildError as err:
        logger.error("%s", err)
        return err.exit_code
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="get-pipeline-definition",
        description="Print a pipeline's definition as JSON. Needs no AWS account.",
        allow_abbrev=False,
    )
    command_line.add_build_flags(parser)
    parser.add_argument(
        "--role-arn",
        dest="job_role_arn",
        metavar="ROLE_ARN",
        help="role of the jobs (default: the role in --kwargs, then SAGEMAKER_JOB_ROLE_ARN, then "
        "SAGEMAKER_PIPELINE_ROLE_ARN)",
    )
    parser.add_argument(
        "--file-name", type=Path, help="write to this file (default: standard output)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
