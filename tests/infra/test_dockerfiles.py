"""The Dockerfiles: linted, and the server's instructions tried as far as that goes without Docker.

`make try-images` runs them in a root of their own, which takes minutes and Debian's mirror.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mlops.platform.image_sources import list_files
from serving.entry_point import APP, APP_DIR
from tests.tools.image_trial import instructions

_ROOT = Path(__file__).parents[2]
_DOCKERFILES = sorted((_ROOT / "infra").rglob("*Dockerfile*"))
_SERVER = _ROOT / "infra" / "images" / "server" / "Dockerfile"
_INFERENCE = _ROOT / "infra" / "images" / "inference" / "Dockerfile"
_ENVIRONMENT = _ROOT / ".venv-images" / "mlflow-server"
# Rules of hadolint that are broken on purpose; the Dockerfile says the reason where it does.
_BROKEN = {
    _SERVER: {
        "DL3020",  # ADD of an address; COPY takes none
    },
}


def _findings(path: Path, *flags: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--format", "json", *flags, path],
        capture_output=True,
        text=True,
        check=False,
    )
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("path", _DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing_but_what_is_broken_on_purpose(path: Path) -> None:
    assert _findings(path) == []
    unforgiven = {finding["code"] for finding in _findings(path, "--disable-ignore-pragma")}
    assert unforgiven == _BROKEN.get(path, set())


def _of(keyword: str) -> list[str]:
    return [each.rest for each in instructions(_SERVER) if each.keyword == keyword]


def test_base_is_a_release_of_python_that_the_lock_was_made_for() -> None:
    (base,) = [rest for rest in _of("ARG") if rest.startswith("BASE=")]
    # Not by digest: the monthly rebuild is to get what was repaired.
    assert re.fullmatch(
        r"BASE=public\.ecr\.aws/docker/library/python:3\.12-slim(-[a-z]+)?", base
    ), base


def test_all_that_is_copied_is_in_the_source() -> None:
    names = list(list_files("server"))
    copied = []
    for rest in _of("COPY"):
        *patterns, _ = [word for word in rest.split() if not word.startswith("--")]
        for pattern in patterns:
            matching = [name for name in names if PurePosixPath(name).match(pattern)]
            assert matching, f"COPY {pattern}: the zip holds {names}"
            copied += matching
    modules = {name for name in names if name.endswith(".py")}
    assert modules | {"requirements/mlflow-server.txt"} == set(copied)


def test_inference_image_holds_the_server_and_starts_it() -> None:
    steps = instructions(_INFERENCE)
    (copied,) = [step.rest for step in steps if step.keyword == "COPY"]
    mode, pattern, folder = copied.split()
    assert mode == "--chmod=644"
    names = [name for name in list_files("inference") if PurePosixPath(name).match(pattern)]
    assert {PurePosixPath(name).name for name in names} >= {"app.py", "entry_point.py"}
    (entry_point,) = [json.loads(step.rest) for step in steps if step.keyword == "ENTRYPOINT"]
    assert entry_point[:2] == ["python", "-P"]
    assert entry_point[2] == f"{folder}entry_point.py"
    # As MLflow built the image for.
    buildspec = yaml.safe_load(_INFERENCE.with_name("buildspec.yml").read_text())
    commands = buildspec["phases"]["build"]["commands"]
    assert any(f"--env-manager {entry_point[3]} " in line for line in commands)
    # Uvicorn is told the folder that the package lies in.
    assert PurePosixPath(folder).name == APP.partition(".")[0] == APP_DIR.joinpath("serving").name


def test_lock_is_complete_and_installs() -> None:
    (install,) = [rest for rest in _of("RUN") if "pip install" in rest]
    for flag in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert flag in install
    # install-test.sh installed it; --no-deps forgives no gap.
    lock = (_ROOT / "requirements/mlflow-server.txt").read_bytes()
    assert (_ENVIRONMENT / "lock.txt").read_bytes() == lock, "run requirements/install-test.sh"
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "check", "--quiet", "--python", _ENVIRONMENT],
        check=True,
    )


def _bundle(tmp_path: Path, name: str) -> Path:
    """A file with one certificate of that authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "bundle.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("Amazon RDS eu-west-1 Root CA RSA2048 G1", True), ("Somebody Else", False), ("", False)],
)
def test_only_a_bundle_of_rds_authorities_is_taken(
    tmp_path: Path, name: str, accepted: bool
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>503 Service Unavailable</html>")
    bundle = _bundle(tmp_path, name) if name else page
    (added,) = [rest.split()[-1] for rest in _of("ADD")]
    (read,) = [rest for rest in _of("RUN") if rest.endswith(added)]
    assert read.startswith("python ")
    words = [bundle if word == added else word for word in shlex.split(read)[1:]]

    done = subprocess.run([sys.executable, *words], capture_output=True, check=False)

    assert (done.returncode == 0) == accepted, done.stderr


def test_everyone_means_the_same_user() -> None:
    (user,) = _of("USER")
    (made,) = [rest for rest in _of("RUN") if "useradd" in rest]
    uid, _, gid = user.partition(":")
    assert f"--uid {uid} --gid {gid} " in made
    assert f"groupadd --gid {gid} " in made
    buildspec = yaml.safe_load(_SERVER.with_name("buildspec.yml").read_text())
    commands = buildspec["phases"]["build"]["commands"]
    assert any(f'--entrypoint id "$REPOSITORY:$TAG" -u)" = {uid}' in line for line in commands)


def test_entry_point_explains_itself_and_its_files_compile() -> None:
    (entry_point,) = map(json.loads, _of("ENTRYPOINT"))
    (health,) = [rest.partition("CMD ")[2] for rest in _of("HEALTHCHECK")]
    assert json.loads(health) == [*entry_point, "check"]
    program, script = entry_point
    assert program == "python"
    folder = _SERVER.parent
    subprocess.run([sys.executable, "-m", "py_compile", *folder.glob("*.py")], check=True)
    done = subprocess.run(
        [_ENVIRONMENT / "bin" / "python", folder / PurePosixPath(script).name, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for (command,) in map(json.loads, _of("CMD")):
        assert command in done.stdout
