"""Which files of a tree each unit's repository holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops.units import PROJECT_DIR, UNITS, list_files

# CodeCommit makes a first commit of at most that many files.
_MOST_FILES = 100


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with files of both units, of neither, and of the kinds that no commit has."""
    for name in (
        "model_build/pipeline.py",
        "model_build/steps/train/train.py",
        "model_build/__pycache__/pipeline.pyc",
        "model_deploy/build.py",
        "model_deploy/deploy.json",
        "tests/conftest.py",
        "tests/model_build/test_pipeline.py",
        "tests/model_build_extra/test_x.py",
        "tests/end_to_end/test_demo.py",
        "requirements/model-build.txt",
        "requirements/model-deploy.txt",
        "setup.py",
        "README.md",
        "infra/project/seeds/modelbuild/README.md",
        "local_aws/cli.py",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / ".gitignore").write_text("__pycache__/\n*.log\n")
    return tmp_path


_EXPECTED = [
    ".gitignore",
    "README.md",
    "model_build/pipeline.py",
    "model_build/steps/train/train.py",
    "requirements/model-build.txt",
    "setup.py",
    "tests/conftest.py",
    "tests/model_build/test_pipeline.py",
]


def _git(tree: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=tree, check=True, capture_output=True)


def test_a_unit_is_a_filter_with_the_same_paths_and_its_own_readme(tree: Path) -> None:
    files = list_files("modelbuild", tree)

    assert list(files) == _EXPECTED
    assert files["README.md"].read_text() == "infra/project/seeds/modelbuild/README.md"
    assert files["setup.py"] == tree / "setup.py"


def test_without_git_nobody_looks_into_environments_and_state(tree: Path) -> None:
    """They change while one looks: a build of local-aws lies in there."""
    for name in (".venv/lib/model_build", ".local/builds/model_build"):
        (tree / name).mkdir(parents=True)
        (tree / name / "x.py").touch()
        (tree / name).chmod(0)

    assert list(list_files("modelbuild", tree)) == _EXPECTED


def test_in_git_it_is_what_a_commit_of_everything_would_hold(tree: Path) -> None:
    _git(tree, "init", "--quiet")
    _git(tree, "add", "model_build", "tests")
    (tree / "tests/model_build/test_pipeline.py").unlink()
    (tree / "model_build/run.log").touch()
    (tree / "model_build/näher am Ziel.py").touch()

    assert list(list_files("modelbuild", tree)) == sorted(
        [*_EXPECTED[:-1], "model_build/näher am Ziel.py"]
    )


def test_git_s_variables_of_a_hook_do_not_name_another_tree(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _git(tree, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(PROJECT_DIR / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(PROJECT_DIR / ".git/index"))

    assert list(list_files("modelbuild", tree)) == _EXPECTED


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_every_pattern_of_this_tree_s_units_finds_a_file(unit: str) -> None:
    from fnmatch import fnmatchcase

    files = list_files(unit)

    assert all(any(fnmatchcase(name, pattern) for name in files) for pattern in UNITS[unit])
    assert len(files) <= _MOST_FILES


def test_the_units_share_what_is_about_neither_and_nothing_else() -> None:
    build, deploy = list_files("modelbuild"), list_files("modeldeploy")

    assert not [name for name in build if "model_deploy" in name or "model-deploy" in name]
    assert not [name for name in deploy if "model_build" in name or "model-build" in name]
    assert not [name for name in {**build, **deploy} if name.startswith(("local_aws", "infra"))]
    assert {"setup.py", "tox.ini", "pyproject.toml", "README.md"} <= set(build) & set(deploy)
