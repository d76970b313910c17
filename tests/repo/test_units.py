"""Each unit, cut out of this tree into a folder of its own, stands alone.

It gets an environment that has the packages of this one, but not this checkout, which is installed
here: what a unit's repository lacks is really not there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops.seed_repositories import write_folder
from mlops.units import UNITS, list_files

_BIN = Path(sys.executable).parent
_MYPY_CACHE = Path(__file__).parents[2] / ".mypy_cache"
_TOOLS = ("cfn-lint", "lint-imports", "mypy", "pytest", "ruff", "tox")
_PACKAGE = {"modelbuild": "model_build", "modeldeploy": "model_deploy"}
_OTHERS = {"model_build", "model_deploy", "serving", "local_aws", "infra", "mlops"}
_SCRIPTS = {
    "modelbuild": {"run-pipeline", "get-pipeline-definition"},
    "modeldeploy": {"build-deployment", "test-endpoint"},
}


@dataclass(frozen=True)
class Unit:
    """A unit's folder, and an environment to run its commands in."""

    name: str
    folder: Path
    environment: Path

    @property
    def package(self) -> str:
        return _PACKAGE[self.name]

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            command,
            cwd=self.folder,
            env={
                **inherited,
                "PATH": f"{self.environment / 'bin'}:{os.environ['PATH']}",
                "VIRTUAL_ENV": str(self.environment),
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _make_environment(folder: Path) -> Path:
    """The packages of this environment by their folder, so that no `.pth` file in it is read.

    That is how this checkout comes into its own environment.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for tool in _TOOLS:
        (folder / "bin" / tool).write_text(
            f'#!/bin/sh\nexec "{folder}/bin/python" "{_BIN / tool}" "$@"\n'
            if (_BIN / tool).read_bytes().startswith(b"#!")
            else f'#!/bin/sh\nexec "{_BIN / tool}" "$@"\n'
        )
        (folder / "bin" / tool).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_environment(tmp_path_factory.mktemp("unit") / "environment")


@pytest.fixture(scope="module", params=sorted(UNITS))
def unit(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    environment: Path,
) -> Unit:
    folder = tmp_path_factory.mktemp(request.param) / "repository"
    write_folder(list_files(request.param), folder)
    return Unit(request.param, folder, environment)


def test_a_unit_imports_its_own_copy_and_none_of_the_other_packages(unit: Unit) -> None:
    script = (
        f"import {unit.package}; print({unit.package}.__file__)\n"
        "import importlib.util\n"
        f"print([name for name in {sorted(_OTHERS)} if importlib.util.find_spec(name)])"
    )
    ended = unit.run("python", "-c", script)

    assert ended.stdout.splitlines() == [
        str(unit.folder / unit.package / "__init__.py"),
        str([unit.package]),
    ]


def test_a_unit_passes_lint_and_types_with_the_same_command(unit: Unit, tmp_path: Path) -> None:
    if _MYPY_CACHE.is_dir():  # of libraries; what has changed or is gone, mypy sees
        shutil.copytree(_MYPY_CACHE, tmp_path / "cache")
    ended = unit.run(
        *("tox", "run", "--current-env", "-e", "lint,type"),
        MYPY_CACHE_DIR=str(tmp_path / "cache"),
    )

    assert ended.returncode == 0, ended.stdout
    assert "Contracts: 1 kept, 0 broken" in ended.stdout
    assert re.search(r"Success: no issues found in \d\d source files", ended.stdout)


@pytest.mark.e2e
@pytest.mark.timeout(1800)  # two minutes where nothing else runs
def test_a_unit_passes_its_own_tests_with_the_same_command(unit: Unit) -> None:
    ended = unit.run("tox", "run", "--current-env", "-e", "tests,e2e", TEST_WORKERS="0")

    assert ended.returncode == 0, ended.stdout
    skipped = [line for line in ended.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all("has no local_aws" in line for line in skipped), skipped


def test_a_unit_installs_with_its_commands(unit: Unit, tmp_path: Path) -> None:
    installed = unit.run(
        *("python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--no-index", "--target", tmp_path, "."),
    )
    assert installed.returncode == 0, installed.stdout
    assert {path.name for path in (tmp_path / "bin").iterdir()} == _SCRIPTS[unit.name]
    for script in sorted(_SCRIPTS[unit.name]):
        ended = unit.run(tmp_path / "bin" / script, "--help", PYTHONPATH=str(tmp_path))
        assert ended.returncode == 0, ended.stdout
        assert ended.stdout.startswith(f"usage: {script}")


def test_what_a_unit_s_documents_and_buildspecs_name_is_there(unit: Unit) -> None:
    named = set()
    for document in unit.folder.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            if "://" not in target:
                named.add((document.parent / target).resolve())
    for buildspec in unit.folder.rglob("*buildspec.yml"):
        for path in re.findall(
            r"requirements/[\w-]+\.txt|model_\w+/[\w./-]+", buildspec.read_text()
        ):
            named.add(unit.folder / path)

    missing = {str(path.relative_to(unit.folder)) for path in named if not path.exists()}
    assert not missing


@pytest.mark.parametrize(
    ("name", "places"), [("mlflow_login.py", 3), ("mlflow_pages.py", 2), ("model_name.py", 2)]
)
def test_a_file_that_several_places_need_is_the_same_in_each(name: str, places: int) -> None:
    """The units and the training step can't import each other's."""
    root = Path(__file__).parents[2]
    texts = {
        path.relative_to(root).as_posix(): path.read_text()
        for folder in ("model_build", "model_deploy")
        for path in (root / folder).rglob(name)
    }
    assert len(texts) == places
    assert len(set(texts.values())) == 1, list(texts)
