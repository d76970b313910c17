"""Containers: their own /opt/ml and a clean environment, in both ways of isolation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from local_aws.containers.container import (
    ContainerEnvironment,
    Isolation,
    detect_isolation,
    start_container,
)


@pytest.fixture(params=list(Isolation))
def image(request: pytest.FixtureRequest) -> ContainerEnvironment:
    isolation: Isolation = request.param
    if isolation is Isolation.NAMESPACE and detect_isolation() is not isolation:
        pytest.skip("this system has no mount namespaces for us")
    python = Path(sys.executable)
    return ContainerEnvironment(
        python=python,
        path=(str(python.parent),),
        variables={"FROM_IMAGE": "yes"},
        isolation=isolation,
    )


def run(image: ContainerEnvironment, root: Path, *argv: str, **environment: str) -> str:
    """What the container printed; it must have ended well."""
    log_path = root.parent / "log"
    process = start_container(
        image, argv, root=root, environment=environment, log_path=log_path, limit_seconds=30
    )
    assert process.wait() == 0, log_path.read_text()
    return log_path.read_text()


def test_opt_ml_is_the_folder_below_root(image: ContainerEnvironment, tmp_path: Path) -> None:
    code = tmp_path / "root/opt/ml/code"
    code.mkdir(parents=True)
    (code / "job.py").write_text("import os; open('/opt/ml/made', 'w').write(os.environ['DATA'])")
    run(image, tmp_path / "root", "python3", "/opt/ml/code/job.py", DATA="/opt/ml/code")
    made = (tmp_path / "root/opt/ml/made").read_text()
    expected = "/opt/ml/code" if image.isolation is Isolation.NAMESPACE else str(code)
    assert made == expected
    assert not Path("/opt/ml/made").exists()


def test_two_containers_do_not_see_each_other(image: ContainerEnvironment, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(image, tmp_path / name / "root", "sh", "-c", f"echo {name} > /opt/ml/name")
    for name in ("one", "two"):
        assert (tmp_path / name / "root/opt/ml/name").read_text() == f"{name}\n"


def test_nothing_leaks_from_the_callers_environment(
    image: ContainerEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "PYTHONPATH", "VIRTUAL_ENV", "PIP_INDEX_URL", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "leak")
    printed = run(image, tmp_path / "root", "/usr/bin/env", GIVEN="1")
    names = {line.partition("=")[0] for line in printed.splitlines()}
    assert names == {"FROM_IMAGE", "GIVEN", "HOME", "LANG", "PATH", "TMPDIR"}
    assert "=leak" not in printed


def test_home_and_temporary_files_are_the_containers_own(
    image: ContainerEnvironment, tmp_path: Path
) -> None:
    run(image, tmp_path / "root", "sh", "-c", 'touch "$HOME/a" "$TMPDIR/b" c')
    assert (tmp_path / "root/home/a").exists()
    assert (tmp_path / "root/home/c").exists()
    assert (tmp_path / "root/tmp/b").exists()


def test_identity_stays_what_it_is(image: ContainerEnvironment, tmp_path: Path) -> None:
    assert run(image, tmp_path / "root", "id", "-u") == f"{os.geteuid()}\n"


def test_root_with_a_space_works_with_unquoted_shell(
    image: ContainerEnvironment, tmp_path: Path
) -> None:
    root = tmp_path / "my project" / "root"
    (root / "opt/ml").mkdir(parents=True)
    (root / "opt/ml/run.sh").write_text("P=/opt/ml/made\necho done > $P\n")
    run(image, root, "sh", "/opt/ml/run.sh")
    assert (root / "opt/ml/made").read_text() == "done\n"
