"""The model's own environment: what is asked for, and what is said when it can't be had."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
import uv

from model_deploy.errors import ConfigError, ModelNotDeployable, ServiceError
from model_deploy.recorded_answers import environment
from model_deploy.recorded_answers.environment import find_uv, make_environment
from tests.model_deploy.recorded_answers.test_isolation import namespaces_are_allowed

UV = Path(uv.find_uv_bin())
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def write_model(folder: Path, requirements: str, python: str = HERE) -> Path:
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements)
    (folder / "python_env.yaml").write_text(
        f"python: {python}\ndependencies:\n- -r requirements.txt\n"
    )
    return folder


def write_wheel(folder: Path, name: str, version: str = "1.0") -> Path:
    """A package without code, so that no index is needed."""
    about = f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return path


def test_what_the_requirements_became_is_recorded(tmp_path: Path) -> None:
    model = write_model(
        tmp_path / "model",
        # A wheel in the model's folder, and options, as MLflow writes them.
        "--no-index\n--find-links wheels\n-c constraints.txt\nmlflow==3.0\n"
        "./local/ours-2.0-py3-none-any.whl\n",
    )
    (model / "constraints.txt").write_text("mlflow==3.0\n")
    write_wheel(model / "wheels", "mlflow", "3.0")
    write_wheel(model / "local", "ours", "2.0")
    made = make_environment(model, {}, tmp_path / "env", UV)
    assert made.python == tmp_path / "env/bin/python"
    assert made.python_version.startswith(f"{HERE}.")
    assert made.python_wanted == HERE
    assert made.packages[0] == "mlflow==3.0"
    assert made.packages[1].startswith("ours @ file:///")
    assert made.installer.startswith("uv ")


def test_mlflow_comes_in_the_version_that_logged_the_model(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "--no-index\n--find-links wheels\nours\n")
    for name, version in (("mlflow", "3.0"), ("mlflow", "3.1"), ("ours", "1.0")):
        write_wheel(model / "wheels", name, version)
    made = make_environment(model, {"mlflow_version": "3.0"}, tmp_path / "env", UV)
    assert made.packages == ["mlflow==3.0", "ours==1.0"]


@pytest.mark.parametrize(
    ("requirements", "added"),
    [
        ("pandas\nmlflow==3.0", []),
        ("MLflow-skinny[a] >= 3", []),
        ("mlflow", []),
        ("git+https://github.com/mlflow/mlflow@main", []),
        ("mlflow-extra==1\n# mlflow", ["mlflow==3.17.2"]),
    ],
)
def test_mlflow_is_added_where_no_line_names_it(
    tmp_path: Path, requirements: str, added: list[str]
) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(requirements)
    assert environment._missing_mlflow(path, {"mlflow_version": "3.17.2"}) == added
    for unknown in ({}, {"mlflow_version": "; rm"}):
        assert environment._missing_mlflow(path, unknown) == (["mlflow"] if added else [])


def test_the_build_s_packages_are_read_with_the_python(tmp_path: Path) -> None:
    path = tmp_path / "python_env.yaml"
    path.write_text("python: 3.11.7\nbuild_dependencies: [pip==1, setuptools]\n")
    assert environment._read_python_env(tmp_path) == ("3.11.7", ["pip==1", "setuptools"])
    path.write_text("python: --help\n")
    assert environment._read_python_env(tmp_path) == ("", [])


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("error sending request for url", ServiceError),
        ("HTTP status client error (403 Forbidden)", ServiceError),
        ("HTTP status server error (503)", ServiceError),
        ("HTTP status client error (404 Not Found)", ModelNotDeployable),
        ("no version of x", ModelNotDeployable),
    ],
)
def test_an_index_s_fault_is_told_from_the_model_s(failure: str, kind: type[Exception]) -> None:
    found = environment._explained(failure, "the model", "3.9.1", "3.11.7")
    assert type(found) is kind
    if kind is ModelNotDeployable:
        assert "It was tried with Python 3.11.7, as this machine has no 3.9" in str(found)
        same = environment._explained(failure, "the model", "3.11.2", "3.11.7")
        assert "It was tried" not in str(same)


def test_a_python_that_is_not_here_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = write_model(tmp_path / "model", "--no-index\n--find-links w\nmlflow\n", "3.3.1")
    write_wheel(model / "w", "mlflow")
    made = make_environment(model, {}, tmp_path / "env", UV)
    assert made.python_wanted == "3.3.1"
    assert made.python_version.startswith(f"{HERE}.")
    assert "the model wants Python 3.3.1, this machine has none" in caplog.text
    (model / "requirements.txt").write_text("--no-index\nnowhere\n")
    with pytest.raises(
        ModelNotDeployable, match=r"as this machine has no 3\.3, which the model names"
    ):
        make_environment(model, {}, tmp_path / "other", UV)


@pytest.mark.parametrize(
    "content", [b"\xff", b"python: [", b"[]", b"build_dependencies: 5", None], ids=repr
)
def test_a_description_of_the_python_that_says_nothing_asks_for_none(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "python_env.yaml").write_bytes(content)
    assert environment._read_python_env(tmp_path) == ("", [])


@pytest.mark.parametrize(("limit", "told"), [(0.2, "not done after 0 s"), (60.0, "exit code 7")])
def test_uv_is_told_of_while_it_works_and_ended_when_it_takes_too_long(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: float,
    told: str,
) -> None:
    monkeypatch.setattr(environment, "INSTALL_SECONDS", limit)
    monkeypatch.setattr(environment, "TELL_SECONDS", 0.1)
    slow = tmp_path / "uv"
    seconds = 60 if limit < 1 else 0.5
    slow.write_text(f'#!/bin/sh\n[ $1 = venv ] && exec {UV} "$@"\nsleep {seconds}\nexit 7\n')
    slow.chmod(0o755)
    with pytest.raises(ModelNotDeployable, match=told), caplog.at_level("INFO"):
        make_environment(write_model(tmp_path / "model", "mlflow"), {}, tmp_path / "env", slow)
    assert "uv still works (0 s)" in caplog.text


def test_requirements_that_nothing_satisfies_are_the_model_s_fault(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "--no-index\nmlflow\nno-such-thing==9\n")
    with pytest.raises(ModelNotDeployable) as raised:
        make_environment(model, {}, tmp_path / "env", UV, "version 3 of 'churn'")
    text = str(raised.value)
    assert text.startswith("version 3 of 'churn' can not be deployed:\n")
    assert "requirements.txt can not be installed, so no server can start" in text
    assert "no-such-thing" in text
    # It would not help: the container installs the same.
    assert "no_offline_comparison" not in text


def test_a_model_without_requirements_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ModelNotDeployable, match=r"it has no requirements\.txt"):
        make_environment(tmp_path / "model", {}, tmp_path / "env", UV)


def test_an_index_out_of_reach_says_nothing_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = "--index-url http://user:hush@127.0.0.1:9/simple"
    model = write_model(tmp_path / "model", f"{index}\nmlflow\n")
    with pytest.raises(ServiceError) as raised:
        make_environment(model, {}, tmp_path / "env", UV)
    assert "a package index could not be reached" in str(raised.value)
    assert "127.0.0.1:9/simple" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_uv_gets_no_credentials_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages without a wheel run their own code when uv builds them."""
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/secret")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    fake = tmp_path / "uv"
    fake.write_text(
        f'#!/bin/sh\nenv >> {tmp_path}/seen\n[ "$1" = venv ] && exec {UV} "$@"\nexit 0\n'
    )
    fake.chmod(0o755)
    make_environment(write_model(tmp_path / "model", "mlflow"), {}, tmp_path / "env", fake)
    seen = (tmp_path / "seen").read_text()
    assert "UV_INDEX_URL=http://127.0.0.1:9/simple" in seen
    assert "secret" not in seen
    assert "AWS_" not in seen
    assert "MLFLOW_" not in seen


# A backend of its own, so that no index is needed; what it could read goes into the package.
BACKEND = """\
import os, pathlib, zipfile

def read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""

def build_wheel(folder, settings=None, metadata=None):
    environs = [read(f"/proc/{name}/environ") for name in os.listdir("/proc") if name.isdigit()]
    home = os.path.expanduser("~")
    files = [read(f"{home}/.aws/credentials"), read(f"{home}/.docker/config.json"), read(NAMED)]
    files.append(read(f"{home}/.netrc"))
    found = sum(b"TOP-SECRET" in each for each in (*environs, *files))
    name = f"planted-{found}.0-py3-none-any.whl"
    about = f"planted-{found}.0.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        text = f"Metadata-Version: 2.1\\nName: planted\\nVersion: {found}.0\\n"
        wheel.writestr(f"{about}/METADATA", text)
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(f"{about}/WHEEL", kind)
        wheel.writestr(f"{about}/RECORD", "")
    return name
"""


@pytest.mark.parametrize("login", [False, True])
def test_the_build_of_a_package_finds_no_credentials_but_those_of_indexes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    login: bool,
) -> None:
    if not namespaces_are_allowed():
        pytest.skip("this machine allows no namespaces")
    model = write_model(tmp_path / "model", "--no-index\n--find-links wheels\nmlflow\n./source\n")
    write_wheel(model / "wheels", "mlflow")
    home = Path(tempfile.mkdtemp(dir="/var/tmp"))
    (model / "source").mkdir()
    named = home.with_name(f"{home.name}-token")
    (model / "source" / "backend.py").write_text(f"NAMED = {str(named)!r}\n{BACKEND}")
    (model / "source" / "pyproject.toml").write_text(
        '[project]\nname = "planted"\ndynamic = ["version"]\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    for name in (".aws/credentials", ".docker/config.json", *([".netrc"] if login else [])):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("# TOP-SECRET\n")
    named.write_text("TOP-SECRET")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(named))
    other = subprocess.Popen(["sleep", "100"], env={"AWS_SESSION_TOKEN": "TOP-SECRET"})
    try:
        made = make_environment(model, {}, tmp_path / "env", UV)
    finally:
        other.kill()
        other.wait()
        shutil.rmtree(home)
        named.unlink()
    found = 1 if login else 0
    assert made.packages[1].startswith("planted @ file:///")
    (installed,) = (tmp_path / "env").glob("lib/*/site-packages/planted-*.dist-info")
    assert installed.name == f"planted-{found}.0.dist-info"
    assert "could not keep uv from credentials" not in caplog.text


def test_the_uv_on_path_wins_and_the_package_s_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_uv() == UV
    shutil.copy(UV, tmp_path / "uv")
    assert find_uv() == tmp_path / "uv"
    (tmp_path / "uv").unlink()
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(ConfigError, match="there is no uv"):
        find_uv()


@pytest.mark.parametrize("there", [True, False])
def test_the_python_that_the_model_names_is_tried_first(tmp_path: Path, there: bool) -> None:
    fake = tmp_path / "uv"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/seen\n' + ("" if there else "exit 1\n"))
    fake.chmod(0o755)
    if there:
        environment._make_venv(fake, tmp_path / "env", "3.3.1")
        environment._make_venv(fake, tmp_path / "env", HERE)
    else:
        with pytest.raises(ConfigError, match="uv can't make an environment: exit code 1"):
            environment._make_venv(fake, tmp_path / "env", "3.3.1")
    seen = (tmp_path / "seen").read_text().splitlines()
    assert "--no-python-downloads --python 3.3" in seen[0]
    assert seen[1].endswith(f"--python {sys.executable}")
    assert len(seen) == 2
