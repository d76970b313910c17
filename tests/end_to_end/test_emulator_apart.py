"""The emulator as a stranger has it: its folder alone, in an empty environment.

What its README says to type is typed there as it stands, then its own tests run: these are the only
run of local_aws/tests in `make test`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NOT_THEIRS = ("PYTHON", "VIRTUAL_ENV", "PYTEST_", "COV_", "TOX_", "MLFLOW_", "_MLFLOW_", "AWS_")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of local_aws/, and .venv where it is installed."""
    folder = tmp_path_factory.mktemp("apart")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*_cache", ".local")
    shutil.copytree(ROOT / "local_aws", folder / "local_aws", ignore=ignored)
    python = [sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable]
    subprocess.run([*python, folder / ".venv"], check=True)
    _install(folder, "./local_aws")
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path) -> Mapping[str, str]:
    """The shell's, after `. .venv/bin/activate`; the cache of images is the person's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_THEIRS)}
    return {
        **kept,
        "VIRTUAL_ENV": str(folder / ".venv"),
        "PATH": f"{folder / '.venv/bin'}:{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def quick_start() -> Mapping[str, list[str]]:
    """Kind -> the blocks of the README's quick start."""
    text = (ROOT / "local_aws/README.md").read_text()
    section = text.partition("\n## Quick start\n")[2].partition("\n## ")[0]
    found: dict[str, list[str]] = {"sh": [], "python": []}
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        found[kind].append(block)
    return found


@pytest.fixture
def up(
    folder: Path, environment: Mapping[str, str], quick_start: Mapping[str, list[str]]
) -> Iterator[None]:
    """What the first terminal runs, ready."""
    with (folder / "up.log").open("wb") as log:
        first = subprocess.Popen(
            ["bash", "-c", f"exec {quick_start['sh'][0]}"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 60
    while "Ctrl-C ends it" not in (folder / "up.log").read_text():
        assert first.poll() is None, (folder / "up.log").read_text()
        assert time.monotonic() < deadline, (folder / "up.log").read_text()
        time.sleep(0.1)
    yield
    # `local-aws down` has ended it, unless the test failed before: no Ctrl-C while it ends.
    try:
        code = first.wait(30)
    except subprocess.TimeoutExpired:
        first.send_signal(signal.SIGINT)
        code = first.wait(60)
    assert code == 0


def test_nothing_of_the_project_is_there(folder: Path, environment: Mapping[str, str]) -> None:
    program = (
        "import importlib.util as u, local_aws\n"
        "print([n for n in ('model_build', 'model_deploy', 'mlops', 'mlflow') if u.find_spec(n)])\n"
        "print(local_aws.__file__)"
    )
    answer = _run(folder, environment, f'python -c "{program}"')
    absent, place = answer.splitlines()
    assert absent == "[]"
    assert Path(place).is_relative_to(folder / ".venv")


def test_the_quick_start_does_what_the_readme_says(
    folder: Path,
    environment: Mapping[str, str],
    quick_start: Mapping[str, list[str]],
    up: None,
) -> None:
    for program in quick_start["python"]:
        name = re.match(r"# (\w+\.py)\n", program)
        assert name is not None
        (folder / name[1]).write_text(program)
    told = [said for block in quick_start["python"] for said in re.findall(r"\)  # (b'.*')", block)]
    assert len(told) == 2

    printed = _run(folder, environment, f"set -e\n{quick_start['sh'][1]}")

    assert printed.splitlines()[:2] == told
    assert re.search(r"adder\W+InService", printed)
    assert "MLflow is not installed, so AWS comes alone" in (folder / "up.log").read_text()
    _run(folder, environment, "local-aws down")


def test_its_own_tests_pass(folder: Path, environment: Mapping[str, str]) -> None:
    text = (ROOT / "local_aws/README.md").read_text()
    _install(folder, "./local_aws[test]")
    (command,) = re.findall(r"^cd local_aws && (python -m pytest .*)$", text, re.MULTILINE)
    answer = subprocess.run(
        f"{command} --quiet --dist loadfile",
        shell=True,
        cwd=folder / "local_aws",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-20_000:]
    (passed,) = re.findall(r"(\d+) passed", answer.stdout)
    assert int(passed) > 1000


def _install(folder: Path, what: str) -> None:
    """As pip would, in the versions that are tested everywhere; which packages, it says itself."""
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet"]
    subprocess.run(
        [
            *(*uv, "--python", folder / ".venv/bin/python"),
            *("--constraint", ROOT / "requirements/dev.txt", what),
        ],
        cwd=folder,
        check=True,
    )


def _run(folder: Path, environment: Mapping[str, str], script: str) -> str:
    answer = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout
    return answer.stdout
