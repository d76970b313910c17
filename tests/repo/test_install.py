"""`make` on a fresh machine: what it says, what it refuses."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from model_build import get_pipeline_definition, run_pipeline
from model_build.command_line import read_request

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

    for target in ("up", "demo", "test", "check", "install", "lock", "clean"):
        assert re.search(rf"^  make {target} +\w", listing, re.MULTILINE), listing


# A Python of a certain version, whose pip and venv do, or don't, what install.sh asks for.
_PYTHON = """#!/bin/sh
echo "$0 $*" >>"$NOTES"
case "$*" in
  -c*) echo "VERSION $0" ;;
  "-m venv .venv-uv")
    test -z "$NO_ENSUREPIP" || exit 1
    mkdir -p .venv-uv/bin && cp "$0" .venv-uv/bin/python ;;
  "-m pip --version") test -z "$NO_PIP" ;;
  "-m pip install "*)
    mkdir -p .venv-uv/bin && cp "$UV" .venv-uv/bin/uv
    exit "${PIP_ENDS_WITH:-0}" ;;
esac
"""
# A uv that makes environments of links, as the real one, and fetches a Python 3.12 or fails to.
_UV = """#!/bin/sh
echo "uv $*" >>"$NOTES"
case "$*" in
  "venv --quiet --allow-existing --python "*) mkdir -p .venv/bin && ln -sf "$5" .venv/bin/python ;;
  "venv --allow-existing --python 3.12 .venv")
    test -n "$FETCHED" || { echo "no network" >&2; exit 2; }
    mkdir -p .venv/bin && ln -sf "$FETCHED" .venv/bin/python ;;
  "pip sync "*)
    test -z "$SYNC_SLEEPS" || sleep "$SYNC_SLEEPS"
    exit "${SYNC_ENDS_WITH:-0}" ;;
esac
"""


@dataclasses.dataclass(frozen=True)
class Checkout:
    """A checkout with nothing but install.sh; bin/ is what a machine has on its PATH."""

    folder: Path

    def add_python(self, name: str, version: str, folder: str = "bin") -> Path:
        path = self.folder / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(_PYTHON.replace("VERSION", version).replace('$0"', '$(realpath $0)"'))
        path.chmod(0o755)
        return path

    def install(self, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.folder / "requirements" / "install.sh", *flags],
            env={
                "PATH": f"{self.folder / 'bin'}:{self.folder / 'tools'}",
                "NOTES": str(self.folder / "notes"),
                "UV": str(self.folder / "uv"),
                **variables,
            },
            capture_output=True,
            text=True,
        )

    def notes(self) -> str:
        """What was called."""
        return (self.folder / "notes").read_text()

    def version(self) -> str:
        """That of the interpreter of .venv."""
        python = self.folder / ".venv" / "bin" / "python"
        answer = subprocess.run(
            [python, "-c"], env={"NOTES": os.devnull, **os.environ}, capture_output=True, text=True
        )
        return answer.stdout.partition(" ")[0]


_MORE_TOOLS = ("ln", "mkdir", "realpath", "rm", "touch")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / "requirements").mkdir()
    script = PROJECT_DIR / "requirements" / "install.sh"
    shutil.copy2(script, tmp_path / "requirements" / "install.sh")
    (tmp_path / "requirements" / "uv.txt").write_text("uv==1\n")
    (tmp_path / "uv").write_text(_UV)
    (tmp_path / "uv").chmod(0o755)
    (tmp_path / "bin").mkdir()
    # No Python and no uv of the machine that runs the tests.
    (tmp_path / "tools").mkdir()
    for tool in (*("bash", "sh", "cat", "cmp", "cp", "dirname"), *_MORE_TOOLS):
        (tmp_path / "tools" / tool).symlink_to(shutil.which(tool))
    return Checkout(tmp_path)


@pytest.fixture
def two_pythons(checkout: Checkout) -> Checkout:
    checkout.add_python("python3.11", "3.11.7")
    checkout.add_python("python3.12", "3.12.1")
    return checkout


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        *(("2.7.18", False), ("3.10.14", False), ("3.11.0", False), ("3.11.1", False)),
        *(("3.11.2", True), ("3.11.10", True), ("3.12.0", True), ("3.13.12", True)),
        *(("3.13.0rc1", False), ("3.13.1t", False), ("3.14.0", False), ("3.20.1", False)),
    ],
)
def test_accepted_is_each_whole_version_that_is_tested_and_setup_py_says_the_same(
    checkout, version, accepted
):
    python = checkout.add_python("own", version, "elsewhere")

    done = checkout.install(PYTHON=str(python))

    assert (done.returncode, checkout.folder.joinpath(".venv").exists()) == (
        (0, True) if accepted else (2, False)
    )
    if not accepted:
        assert done.stderr.startswith(
            f"error: PYTHON={python} is {version}. "
            "The project runs on Python 3.11 (from 3.11.2), 3.12 or 3.13.\n"
        )
    (wanted,) = re.findall(r'python_requires="(.+)"', (PROJECT_DIR / "setup.py").read_text())
    if version[-1].isdigit() and "rc" not in version:
        assert SpecifierSet(wanted).contains(version) == accepted


def test_a_wrong_python_is_named_and_not_replaced_by_another(two_pythons):
    folder = two_pythons.folder
    plain = folder / "plain"
    plain.touch()
    shim = folder / "shim"
    shim.write_text("#!/bin/sh\necho 'shim: version 3.12 is not installed' >&2\nexit 127\n")
    shim.chmod(0o755)

    for wrong, problem in [
        ("/no/such/python", "does not exist"),
        ("python3.99", "does not exist"),
        (str(plain), "cannot be executed"),
        (str(folder), "cannot be executed"),
        (str(shim), "does not run, or lacks a part: shim: version 3.12 is not installed"),
    ]:
        done = two_pythons.install(PYTHON=wrong)
        assert done.returncode == 2
        assert f"error: PYTHON={wrong} {problem}." in done.stderr
        assert not (folder / ".venv").exists()


def test_an_interrupted_installation_starts_anew_and_a_finished_one_does_not(two_pythons):
    half_written = two_pythons.folder / ".venv" / "half-written"

    assert two_pythons.install(SYNC_ENDS_WITH="130").returncode == 130
    half_written.touch()
    assert two_pythons.install().returncode == 0
    assert not half_written.exists()
    half_written.touch()
    assert two_pythons.install().returncode == 0
    assert half_written.exists()


def test_where_no_terminal_is_a_line_every_so_often_says_how_much_has_come(two_pythons):
    for tool in ("du", "sleep"):
        (two_pythons.folder / "tools" / tool).symlink_to(shutil.which(tool))

    done = two_pythons.install(INSTALL_TICK_SECONDS="0.1", SYNC_SLEEPS="1")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    first, last = (
        next(number for number, line in enumerate(lines) if line.startswith(start))
        for start in ("1 of 2: the locked packages into .venv (about ", "2 of 2: ")
    )
    told = lines[first + 1 : last]
    assert len(told) >= 3
    assert all(re.fullmatch(r"  \.venv: \d+ MB of about \d+, \d+ s", line) for line in told)
    assert "uv pip sync --quiet" in two_pythons.notes()


def test_what_runs_in_the_background_ends_with_an_installation_that_fails(two_pythons):
    for tool in ("du", "sleep"):
        (two_pythons.folder / "tools" / tool).symlink_to(shutil.which(tool))

    # It returns only when nobody holds its output open any more.
    done = two_pythons.install(INSTALL_TICK_SECONDS="0.1", SYNC_SLEEPS="0.5", SYNC_ENDS_WITH="130")

    assert done.returncode == 130
    assert not (two_pythons.folder / ".venv" / ".installed").exists()


def test_3_12_is_preferred_until_another_is_named_and_that_one_is_kept(two_pythons):
    assert two_pythons.install().returncode == 0
    assert two_pythons.version() == "3.12.1"
    assert two_pythons.install(PYTHON="python3.11").returncode == 0
    assert two_pythons.version() == "3.11.7"
    assert two_pythons.install().returncode == 0
    assert two_pythons.version() == "3.11.7"


@pytest.mark.parametrize("version", ["3.11.2", "3.11.7"], ids=["another patch", "another place"])
def test_venv_is_made_anew_for_another_interpreter_of_the_same_minor_version(two_pythons, version):
    other = two_pythons.add_python("python3.11", version, "elsewhere")
    two_pythons.install(PYTHON="python3.11")
    kept = two_pythons.folder / ".venv" / "kept"
    kept.touch()

    assert two_pythons.install("--check", PYTHON="python3.11").returncode == 0
    assert two_pythons.install(PYTHON=str(two_pythons.folder / "bin/python3.11")).returncode == 0
    assert kept.exists()
    assert two_pythons.install("--check", PYTHON=str(other)).returncode == 1
    assert two_pythons.install(PYTHON=str(other)).returncode == 0
    assert (kept.exists(), two_pythons.version()) == (False, version)


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"NO_ENSUREPIP": "1"}, "-m pip install --quiet --disable-pip-version-check"),
        ({"NO_PIP": "1"}, ".venv-uv/bin/python -m pip install"),
    ],
)
def test_uv_comes_by_pip_or_by_ensurepip_and_by_its_hash(two_pythons, lacks, said):
    assert two_pythons.install(**lacks).returncode == 0

    notes = two_pythons.notes()
    assert said in notes
    assert "--require-hashes -r requirements/uv.txt" in notes
    assert "--target .venv-uv" in notes or "NO_PIP" in lacks
    again = two_pythons.install(NO_ENSUREPIP="1", NO_PIP="1")
    assert again.returncode == 0, "uv is kept"


def test_without_pip_and_ensurepip_the_one_package_is_named(two_pythons):
    done = two_pythons.install(NO_ENSUREPIP="1", NO_PIP="1")

    assert done.returncode == 2
    assert "On Debian and Ubuntu: apt install python3-venv" in done.stderr
    assert not (two_pythons.folder / ".venv").exists()
    readme = (PROJECT_DIR / "README.md").read_text()
    assert "apt install git make python3-venv" in readme


def test_a_uv_on_the_path_will_do_where_no_python_has_pip(two_pythons):
    (two_pythons.folder / "bin" / "uv").symlink_to(two_pythons.folder / "uv")

    assert two_pythons.install(NO_ENSUREPIP="1", NO_PIP="1").returncode == 0
    assert two_pythons.version() == "3.12.1"


@pytest.mark.parametrize("has", ["a newer Python", "uv alone"])
def test_where_no_python_is_accepted_uv_fetches_one_and_that_is_said(checkout, has):
    fetched = checkout.add_python("python3.12", "3.12.9", "uvs-own")
    if has == "uv alone":
        (checkout.folder / "bin" / "uv").symlink_to(checkout.folder / "uv")
    else:
        checkout.add_python("python3", "3.14.0")

    done = checkout.install(FETCHED=str(fetched))

    assert done.returncode == 0, done.stderr
    assert checkout.version() == "3.12.9"
    assert "on the PATH: uv takes a 3.12 of its own, which it fetches if need be" in done.stdout


@pytest.mark.parametrize("fails", ["the download of Python", "that of uv", "everything"])
def test_where_nothing_can_be_fetched_it_is_refused_with_what_was_seen(checkout, fails):
    checkout.add_python("python3", "3.14.0")
    variables = {
        "the download of Python": {},
        "that of uv": {"PIP_ENDS_WITH": "1"},
        "everything": {"NO_PIP": "1", "NO_ENSUREPIP": "1"},
    }[fails]

    done = checkout.install(**variables)

    assert done.returncode == 2
    assert (
        "error: no Python 3.11 (from 3.11.2), 3.12 or 3.13 found, and none could be fetched. Tried:"
        in done.stderr
    )
    assert "  python3.12 does not exist\n" in done.stderr
    assert "  python3 is 3.14.0\n" in done.stderr
    assert "make PYTHON=/path/to/python3.12 demo" in done.stderr


def test_make_heeds_python_although_venv_is_whole(two_pythons):
    (two_pythons.folder / "Makefile").write_bytes((PROJECT_DIR / "Makefile").read_bytes())
    (two_pythons.folder / "setup.py").touch()
    (two_pythons.folder / "local_aws").mkdir()
    (two_pythons.folder / "local_aws/pyproject.toml").touch()
    two_pythons.install().check_returncode()
    (two_pythons.folder / "tools" / "make").symlink_to(shutil.which("make"))

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "install", *arguments],
            cwd=two_pythons.folder,
            env={
                "PATH": f"{two_pythons.folder / 'bin'}:{two_pythons.folder / 'tools'}",
                "NOTES": str(two_pythons.folder / "notes"),
                "UV": str(two_pythons.folder / "uv"),
            },
            capture_output=True,
            text=True,
        )

    assert "Installing" not in make().stdout
    assert "Installing" not in make("PYTHON=python3.12").stdout
    wrong = make("PYTHON=/no/such/python")
    assert wrong.returncode == 2
    assert "error: PYTHON=/no/such/python does not exist" in wrong.stderr
    assert two_pythons.version() == "3.12.1"
    assert make("PYTHON=python3.11").returncode == 0
    assert two_pythons.version() == "3.11.7"


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
        [".venv/bin/python", "-m", "ruff", command] for command in ("check", "check", "format")
    ]

    _, _, program, *arguments = shlex.split(definition)
    parsed = get_pipeline_definition.build_parser().parse_args(arguments)
    assert program == "model_build.get_pipeline_definition"
    assert str(parsed.file_name) == "pipeline-definition.json"

    _, _, program, *arguments = shlex.split(run)
    parsed = run_pipeline.build_parser().parse_args(arguments)
    assert program == "model_build.run_pipeline"
    given = {"SAGEMAKER_PROJECT_NAME": "n", "SAGEMAKER_PROJECT_ID": "i", "AWS_REGION": "eu-west-1"}
    assert read_request(parsed, given).tags == (
        ("sagemaker:project-name", "n"),
        ("sagemaker:project-id", "i"),
    )


@pytest.mark.parametrize("lock", ["dev", "uv", "sagemaker-sklearn", "model-build", "model-deploy"])
def test_each_lock_has_hashes_and_names_no_registry(lock):
    text = (PROJECT_DIR / f"requirements/{lock}.txt").read_text()

    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text


def _in_wheel(folder, distribution):
    """Names of the files in the wheel of a distribution, as it is committed."""
    subprocess.run(["git", "clone", "--quiet", PROJECT_DIR, folder / "clone"], check=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", folder, folder / "clone" / distribution),
        ],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_scripts_templates_and_configs_but_no_tests(tmp_path):
    names = _in_wheel(tmp_path, ".")

    assert {
        "model_build/steps/prepare_data/prepare_data.py",
        "model_build/steps/train_evaluate_register/train.py",
        "model_build/steps/train_evaluate_register/estimators/random_forest.py",
        "model_build/steps/train_evaluate_register/requirements.txt",
        "model_build/steps/train_evaluate_register/constraints.txt",
        "model_deploy/endpoint-config-template.yml",
        "model_deploy/staging-config.json",
        "model_deploy/prod-config.json",
        "model_deploy/deploy.json",
        "model_deploy/buildspec.yml",
        "infra/project/project.yml",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "local_aws/"))]


def test_the_emulators_wheel_holds_its_lock_and_nothing_of_the_project(tmp_path):
    names = _in_wheel(tmp_path, "local_aws")

    assert {
        "local_aws/containers/supervisor.py",
        "local_aws/containers/job_pip/__main__.py",
        "local_aws/containers/sagemaker-sklearn.txt",
    } <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"local_aws"}


def test_installation_makes_the_layers_of_all_buildspecs_ahead_of_time():
    script = (PROJECT_DIR / "requirements/install.sh").read_text()
    wanted = {
        lock
        for path in ("codebuild-buildspec.yml", "model_deploy/buildspec.yml")
        for lock in re.findall(
            r"sync .*?(requirements/[\w-]+\.txt)", (PROJECT_DIR / path).read_text()
        )
    }

    assert set(re.findall(r"--lock (\S+)", script)) == wanted


@pytest.mark.parametrize(
    ("apt_get", "why"),
    [
        (None, "there is no apt-get"),
        ("echo 'E: Unable to locate package chromium' >&2; exit 100", "E: Unable to locate"),
        ("exit 0", "bring no program of these names"),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_no_browser_is_told_and_in_ci_an_error(
    tmp_path: Path, apt_get: str | None, why: str, required: bool
) -> None:
    for tool in ("bash", "grep", "head", "cat"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    scripts = {"id": "echo 0"}
    if apt_get is not None:
        scripts["apt-get"] = apt_get
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!{tmp_path}/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)

    ended = subprocess.run(
        [tmp_path / "bash", PROJECT_DIR / "requirements/chromium.sh"],
        env={"PATH": str(tmp_path), **({"REQUIRE_CHROMIUM": "1"} if required else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    assert ended.returncode == (1 if required else 0)
    assert why in ended.stdout.splitlines()[-1]
    assert "o chromium and chromedriver on the PATH" in ended.stdout
