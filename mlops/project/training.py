"""`mlops train`: a table to the project's bucket, and `run-pipeline` on it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlops.account import Account
from mlops.display import Display, print_json
from mlops.errors import InputError
from mlops.project.deployment import parse_parameters
from mlops.project.project_stack import ProjectStack, program_environment, project_of

# A profile that is named on the command line is meant: these would win over it.
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_ELSEWHERE = ("s3://", "sklearn:")


def train(args: argparse.Namespace) -> int:
    """Upload the table, run the pipeline on it, follow it; run-pipeline's exit code."""
    table = str(args.table)
    elsewhere = table.startswith(_ELSEWHERE)
    path = Path(table)
    if not elsewhere and not path.is_file():
        raise InputError(
            f"there is no file {table}. Name a CSV or Parquet file, or an address such as "
            "s3://bucket/key or sklearn:diabetes."
        )
    given = parse_parameters(args.parameter)
    display = Display.of(args)
    account, project = project_of(args)
    uri = table if elsewhere else _upload(account, project, path, display)
    name = args.model or (table.partition(":")[2] if elsewhere else path.name)
    values = {
        "InputDataUri": uri,
        "TargetColumn": args.target,
        "RegisteredModelName": args.model or _model_name(name),
        **given,
    }
    code = _run_pipeline(
        values, _environment(account, project, args.profile), as_json=args.json, display=display
    )
    if code == 0:
        display.say(f"next: mlops release {values['RegisteredModelName']}")
    return code


def _upload(account: Account, project: ProjectStack, path: Path, display: Display) -> str:
    """The table's address below raw/, which the jobs may read."""
    bucket, key = project.outputs["ArtifactBucketName"], f"raw/{path.name}"
    uri = f"s3://{bucket}/{key}"
    with display.err.status(f"uploading {path}"):
        account.client("s3").upload_file(str(path), bucket, key)
    display.say(f"uploaded {path} to {uri}")
    return uri


def _model_name(name: str) -> str:
    """The table's name without folders and endings."""
    return name.rstrip("/").rpartition("/")[2].partition(".")[0]


def _environment(account: Account, project: ProjectStack, profile: str | None) -> dict[str, str]:
    environment = {**os.environ, **program_environment(account, project)}
    environment |= {"AWS_REGION": account.region, "AWS_DEFAULT_REGION": account.region}
    if profile:
        environment["AWS_PROFILE"] = profile
        for variable in _CREDENTIALS:
            environment.pop(variable, None)
    return environment


def _run_pipeline(
    values: Mapping[str, str], environment: Mapping[str, str], *, as_json: bool, display: Display
) -> int:
    """A program of its own, as its SDK finds region and credentials while it is imported."""
    assignments = [f"{name}={value}" for name, value in values.items()]
    display.say(f"run-pipeline --parameters {' '.join(assignments)}")
    with tempfile.TemporaryDirectory(prefix="mlops-train-") as folder:
        output = Path(folder) / "result.json"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "model_build.run_pipeline"),
                *("--parameters", *assignments, "--output", str(output)),
            ],
            env=dict(environment),
            stdout=sys.stderr if as_json else None,
            check=False,
        )
        if as_json and output.exists():
            print_json(json.loads(output.read_text()))
    return done.returncode
