"""What both command lines set up for their process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """\
import subprocess, sys, tempfile, time
from model_deploy.command_line import set_up_process
from model_deploy.recorded_answers.environment import end_group
set_up_process("INFO")
try:
    with tempfile.TemporaryDirectory(prefix="model-deploy-", dir=sys.argv[1]) as scratch:
        child = subprocess.Popen(["sleep", "100"], start_new_session=True)
        try:
            print(child.pid, flush=True)
            time.sleep(100)
        finally:
            end_group(child)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_sigterm_ends_as_ctrl_c_does(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert len(list(tmp_path.iterdir())) == 1
    # As some do who are in a hurry: the second one must not end the clearing up.
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/proc/{child}/cmdline").exists()
