"""local-aws as a process of its own, for as long as the demo needs it.

Nothing of it is imported: the demo reads what `local-aws up` announces, as a shell would.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mlops.errors import AwsRefused, InputError

_END_SECONDS = 60


@contextlib.contextmanager
def local_machine(state_dir: Path, *, mlflow: bool) -> Iterator[dict[str, str | None]]:
    """What to export (None: to unset), once AWS answers; MLflow may still be starting.

    At the block's end, or this process's, however it ends, nothing of it runs. Raises AwsRefused
    if it does not come up; it has said why on stderr then.
    """
    flags = ["--state-dir", str(state_dir), "--end-with-stdin"]
    flags.append("--mlflow" if mlflow else "--no-mlflow")
    process = subprocess.Popen(
        [_program(), "up", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C at the terminal is the demo's; it ends this process by closing its stdin.
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        announced = _read_announcement(process.stdout)
        if announced is None:
            raise AwsRefused("local-aws did not start; what it said is above")
        yield announced
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read_announcement(lines: IO[str]) -> dict[str, str | None] | None:
    """The variables of its `export` and `unset` lines; None if it ended before the last one."""
    found: dict[str, str | None] = {}
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == ["export"]:
            name, _, value = words[1].partition("=")
            if name != "PATH":  # of a shell; this process finds its programs beside it
                found[name] = value
        elif words[:1] == ["unset"]:
            found |= dict.fromkeys(words[1:])
        elif line.startswith("# AWS at"):
            return found
    return None


def _program() -> str:
    """`local-aws` of this environment, else of the PATH."""
    beside = Path(sys.executable).with_name("local-aws")
    found = str(beside) if beside.is_file() else shutil.which("local-aws")
    if not found:
        raise InputError(
            "there is no local-aws: `pip install './local_aws[mlflow]'`, or set AWS_ENDPOINT_URL "
            "and credentials of one that runs"
        )
    return str(found)
