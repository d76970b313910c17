"""The two units as repositories of their own: which files of this tree each one holds.

A unit is a filter on the tree with the same paths, so the same commands work here and there. Only
its README is another one: infra/project/seeds/<unit>/ lies over the unit's root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]

_BOTH = (
    ".gitignore",
    "LICENSE",
    "docs/builds.md",
    "pyproject.toml",
    "requirements/dev.in",
    "requirements/dev.txt",
    "requirements/lock.sh",
    "requirements/uv.in",
    "requirements/uv.txt",
    "setup.py",
    "tests/conftest.py",
    "tox.ini",
)
# Unit -> what it holds; `*` stands for anything, also across folders.
UNITS: Mapping[str, tuple[str, ...]] = {
    "modelbuild": (
        *_BOTH,
        "codebuild-buildspec.yml",
        "docs/decisions/001[01345]*",
        "docs/pipeline.md",
        "model_build/*",
        "requirements/model-build.*",
        "requirements/sagemaker-sklearn.*",
        # At most 100 files in CodeCommit's first commit: the tests of what is edited there.
        "tests/model_build/conftest.py",
        "tests/model_build/pipeline_definition.json",
        "tests/model_build/test_p*.py",
        "tests/model_build/steps/conftest.py",
        "tests/model_build/steps/tables.py",
        "tests/model_build/steps/train_evaluate_register/estimators/*",
        "tests/model_build/steps/train_evaluate_register/jobs.py",
        "tests/model_build/steps/train_evaluate_register/recipes.py",
        "tests/model_build/steps/train_evaluate_register/test_evaluation.py",
        "tests/model_build/steps/train_evaluate_register/test_gate.py",
        "tests/model_build/steps/train_evaluate_register/test_metrics.py",
        "tests/model_build/steps/train_evaluate_register/test_plots.py",
        "tests/model_build/steps/train_evaluate_register/test_train.py",
    ),
    "modeldeploy": (
        *_BOTH,
        "docs/decisions/0014-login-from-a-secret.md",
        "docs/decisions/002*",
        "docs/decisions/0055-the-image-reads-tables.md",
        "docs/deployment.md",
        "docs/models-by-hand.md",
        "model_deploy/*",
        "requirements/model-deploy.*",
        # At most 100 files here too. The tests of the endpoint's test, of the registry, of the
        # recorded answers, of atomic writes and of links stay in this tree.
        "tests/model_deploy/conftest.py",
        "tests/model_deploy/golden/*",
        "tests/model_deploy/test_[!am]*.py",
        "tests/model_deploy/test_ap*.py",
        "tests/model_deploy/test_mlflow_h*.py",
        "tests/model_deploy/test_mo*.py",
    ),
}
# What a tree without Git may hold that no commit would.
_NEVER = ("*__pycache__/*", "*.pyc", "*.egg-info/*", "*/.DS_Store")


def list_files(unit: str, tree: Path = PROJECT_DIR) -> dict[str, Path]:
    """Path in the unit's repository -> the file of the tree, sorted.

    The tree's files are those that Git tracks or would add: what is committed, changed or new, but
    nothing that it ignores. In a tree without Git, all that match.
    """
    names = _names_in_git(tree) if (tree / ".git").exists() else _names_on_disk(tree)
    found = {
        name: tree / name
        for name in names
        if any(fnmatchcase(name, pattern) for pattern in UNITS[unit])
    }
    seeds = f"infra/project/seeds/{unit}/"
    found |= {name.removeprefix(seeds): tree / name for name in names if name.startswith(seeds)}
    # Git also lists what is deleted in the working tree.
    return {name: file for name, file in sorted(found.items()) if file.is_file()}


def _names_in_git(tree: Path) -> list[str]:
    # Within a hook Git's own variables name the repository that the hook runs in.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name]


def _names_on_disk(tree: Path) -> list[str]:
    names = []
    for folder, folders, files in os.walk(tree):
        # Environments and state (.venv, .local) are no part of any unit, and change while we look.
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [(Path(folder) / name).relative_to(tree).as_posix() for name in files]
    return [name for name in names if not any(fnmatchcase(name, never) for never in _NEVER)]
