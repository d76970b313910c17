"""A step's folder as one file: the same modules give the same bytes, and Python runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from model_build.step_archive import pack_step


def test_the_same_modules_give_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text("import part\n\ndef main():\n    return part.CODE\n")
    (tmp_path / "part.py").write_text("CODE = 7\n")
    (tmp_path / "notes.txt").write_text("not packed")
    first = pack_step(tmp_path, "step").read_bytes()
    os.utime(tmp_path / "part.py", (time.time() + 9999,) * 2)
    assert pack_step(tmp_path, "step").read_bytes() == first
    (tmp_path / "part.py").write_text("CODE = 8\n")
    assert pack_step(tmp_path, "step").read_bytes() != first


def test_python_runs_it_and_gives_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text("import part\n\ndef main():\n    return part.CODE\n")
    (tmp_path / "part.py").write_text("CODE = 7\n")
    archive = pack_step(tmp_path, "step")
    assert archive.name == "step.pyz"
    assert subprocess.run([sys.executable, archive], cwd="/").returncode == 7
