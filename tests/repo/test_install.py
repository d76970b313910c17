"""`make` on a fresh machine: what it says, what it refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from model_build import get_pipeline_definition, run_pipeline

PROJECT_DIR = Path(__file__).parents[2]


def _locked(path: str) -> dict[str, set[str]]:
    """Name -> the versions that a locked file pins (more than one where Python versions differ)."""
    pins: dict[str, set[str]] = {}
    for line in (PROJECT_DIR / path).read_text().splitlines():
        if match := re.match(r"([a-z0-9.-]+)==([^ ;\\]+)", line):
            pins.setdefault(match[1], set()).add(match[2])
    return pins


def test_make_alone_lists_every_target_with_what_it_does():
    listing = subprocess.run(["make"], cwd=PROJECT_DIR, capture_output=True, text=True).stdout

    for target in ("demo", "test", "check", "install", "lock", "clean"):
        assert re.search(rf"^  make {target} +\w", listing, re.MULTILINE), listing


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("#!/bin/sh\necho 3.9\n", ": 3.9"),
        ("#!/bin/sh\necho 'shim: no such version' >&2\nexit 127\n", ": does not run"),
    ],
)
def test_a_python_that_is_too_old_or_does_not_run_is_refused_by_name(tmp_path, script, seen):
    python = tmp_path / "python3"
    python.write_text(script)
    python.chmod(0o755)

    process = subprocess.run(
        [PROJECT_DIR / "requirements" / "install.sh"],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
    )

    assert process.returncode == 2
    assert "error: no Python 3.12 or 3.11 found" in process.stderr
    assert f"{python}{seen}" in process.stderr
    assert "make PYTHON=" in process.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing but install.sh; bin/ has Pythons whose pip ends as asked."""
    (tmp_path / "requirements").mkdir()
    script = PROJECT_DIR / "requirements" / "install.sh"
    (tmp_path / "requirements" / "install.sh").write_bytes(script.read_bytes())
    (tmp_path / "bin").mkdir()
    for version in ("3.11", "3.12"):
        python = tmp_path / "bin" / f"python{version}"
        python.write_text(
            f"""#!/bin/sh
            case "$*" in
              -c*) echo {version} ;;
              "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
              "-m pip install "*) exit "$PIP_ENDS_WITH" ;;
            esac
            """
        )
        python.chmod(0o755)
    return tmp_path


def _install(checkout: Path, *, python: str | None = None, pip_ends_with: int = 0) -> int:
    environment = {
        "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}",
        "PIP_ENDS_WITH": str(pip_ends_with),
        **({"PYTHON": python} if python else {}),
    }
    command = ["bash", checkout / "requirements" / "install.sh"]
    return subprocess.run(command, env=environment, capture_output=True).returncode


def _version_in(checkout: Path) -> str:
    python = checkout / ".venv" / "bin" / "python"
    return subprocess.run([python, "-c", ""], capture_output=True, text=True).stdout.strip()


def test_an_interrupted_installation_starts_anew_and_a_finished_one_does_not(checkout):
    half_written = checkout / ".venv" / "half-written"

    assert _install(checkout, pip_ends_with=130) == 130
    half_written.touch()
    assert _install(checkout) == 0
    assert not half_written.exists()
    half_written.touch()
    assert _install(checkout) == 0
    assert half_written.exists()


def test_the_newer_python_is_preferred_until_another_is_named_and_then_kept(checkout):
    assert _install(checkout) == 0
    assert _version_in(checkout) == "3.12"
    assert _install(checkout, python="python3.11") == 0
    assert _version_in(checkout) == "3.11"
    assert _install(checkout) == 0
    assert _version_in(checkout) == "3.11"


def test_versions_are_those_of_the_image_and_of_the_design():
    development = _locked("requirements/dev.txt")
    wanted = {
        "sagemaker": "3.27.0",
        "mlflow": "3.17.2",
        "scikit-learn": "1.9.0",
        "pandas": "2.2.3",
        "skops": "0.16.0",
        "moto": "5.2.5",
    }

    assert {name: development[name] for name in wanted} == {
        name: {version} for name, version in wanted.items()
    }


def test_laptop_job_and_training_layer_agree_where_they_share_a_package():
    development = _locked("requirements/dev.txt")
    image = _locked("requirements/sagemaker-sklearn.txt")
    layer = _locked("model_build/steps/train_evaluate_register/constraints.txt")

    for name in ("numpy", "pandas", "scikit-learn", "scipy", "pyarrow"):
        assert development[name] == image[name], name
    for name in ("mlflow-skinny", "skops"):
        assert development[name] == layer[name], name
    assert not set(image) & set(layer), "AWS's versions stay where the image has a package"


@pytest.mark.parametrize(
    ("buildspec", "lock"),
    [
        ("codebuild-buildspec.yml", "requirements/model-build.txt"),
        ("model_deploy/buildspec.yml", "requirements/model-deploy.txt"),
        ("model_deploy/test/buildspec.yml", "requirements/model-deploy.txt"),
    ],
)
def test_each_buildspec_installs_its_lock_into_an_environment_of_its_own(buildspec, lock):
    install = yaml.safe_load((PROJECT_DIR / buildspec).read_text())["phases"]["install"]

    assert install["commands"] == [
        "python -m pip install --quiet --require-hashes -r requirements/uv.txt",
        "python -m uv venv --quiet .venv",
        f"python -m uv pip sync --quiet --python .venv/bin/python --require-hashes {lock}",
    ]
    assert (PROJECT_DIR / lock).is_file()


@pytest.mark.parametrize("unit", ["build", "deploy"])
def test_what_codebuild_installs_is_what_was_tested_here(unit):
    development = _locked("requirements/dev.txt")
    installed = _locked(f"requirements/model-{unit}.txt")

    assert len(installed) > 50
    assert {name: development.get(name) for name in installed} == installed


def test_the_deploy_unit_installs_no_sagemaker_sdk():
    deploy = _locked("requirements/model-deploy.txt")

    assert {name for name in deploy if name.startswith("sagemaker")} == {"sagemaker-mlflow"}


def test_the_modelbuild_buildspec_checks_then_runs_with_flags_that_exist():
    phases = yaml.safe_load((PROJECT_DIR / "codebuild-buildspec.yml").read_text())["phases"]
    *lint, definition = phases["pre_build"]["commands"]
    (run,) = phases["build"]["commands"]
    assert [line.split()[:4] for line in lint] == [
        [".venv/bin/python", "-m", "ruff", command] for command in ("check", "format")
    ]

    _, _, program, *arguments = shlex.split(definition)
    parsed = get_pipeline_definition.build_parser().parse_args(arguments)
    assert program == "model_build.get_pipeline_definition"
    assert str(parsed.file_name) == "pipeline-definition.json"

    _, _, program, *arguments = shlex.split(
        run.replace("$SAGEMAKER_PROJECT_NAME", "name").replace("$SAGEMAKER_PROJECT_ID", "id")
    )
    parsed = run_pipeline.build_parser().parse_args(arguments)
    assert program == "model_build.run_pipeline"
    assert [tag["Key"] for tag in json.loads(parsed.tags)] == [
        "sagemaker:project-name",
        "sagemaker:project-id",
    ]


@pytest.mark.parametrize("lock", ["dev", "uv", "sagemaker-sklearn", "model-build", "model-deploy"])
def test_each_lock_has_hashes_and_names_no_registry(lock):
    text = (PROJECT_DIR / f"requirements/{lock}.txt").read_text()

    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text


def test_the_wheel_holds_scripts_templates_and_configs_but_no_tests(tmp_path):
    subprocess.run(["git", "clone", "--quiet", PROJECT_DIR, tmp_path / "clone"], check=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", tmp_path, tmp_path / "clone"),
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {
        "model_build/steps/prepare_data/prepare_data.py",
        "model_build/steps/train_evaluate_register/train.py",
        "model_build/steps/train_evaluate_register/requirements.txt",
        "model_build/steps/train_evaluate_register/constraints.txt",
        "model_deploy/endpoint-config-template.yml",
        "model_deploy/staging-config.json",
        "model_deploy/prod-config.json",
        "model_deploy/deploy.json",
        "model_deploy/buildspec.yml",
        "infra/project.yml",
        "local_aws/containers/supervisor.py",
        "local_aws/containers/job_pip/__main__.py",
        "local_aws/README.md",
    } <= names
    assert not [name for name in names if name.startswith("tests/")]
