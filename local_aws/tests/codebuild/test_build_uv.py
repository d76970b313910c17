"""The uv inside of a build: locked packages come compiled from a layer, the real uv checks them."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from local_aws.codebuild import build_uv, image
from local_aws.codebuild.build_uv import LockedInstall, parse
from local_aws.codebuild.layers import adopt_compiled
from local_aws.containers.cache import default_cache_dir

INSTALL = """
version: 0.2
phases:
  install:
    commands:
      - uv venv --quiet .venv
      - python -m uv pip sync --quiet --python .venv/bin/python --require-hashes lock.txt
  build:
    commands:
"""
LINKED = "lock.txt: linked from a layer in"


def make_wheel(folder: Path, version: str) -> str:
    """A line of a lock for the new wheel of the package `tinypackage`, which has a script."""
    about = f"tinypackage-{version}.dist-info"
    files = {
        "tinypackage/__init__.py": f"import sys\nversion = {version!r}\ndef main():\n"
        "    print('version', version, 'in', sys.prefix)\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: tinypackage\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\ntinyscript = tinypackage:main\n",
    }
    record = "".join(f"{name},{_digest(text)},{len(text)}\n" for name, text in files.items())
    files[f"{about}/RECORD"] = record + f"{about}/RECORD,,\n"
    wheel = folder / f"tinypackage-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return f"tinypackage=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A cache folder without layers; what an image brings is there if it was made before."""
    folder = tmp_path_factory.mktemp("cache")
    for base in default_cache_dir().glob("codebuild-????????????"):
        (folder / base.name).symlink_to(base)
    return folder


@pytest.fixture(scope="module")
def locks(tmp_path_factory) -> Iterator[Mapping[str, str]]:
    """Version -> lock of a package that uv finds in a folder, with no index."""
    wheels = tmp_path_factory.mktemp("wheels")
    settings = {
        "UV_FIND_LINKS": str(wheels),
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_CACHE_DIR": str(tmp_path_factory.mktemp("uv-cache")),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield {version: make_wheel(wheels, version) for version in ("1.0", "2.0")}


@pytest.fixture(scope="module")
def account(tmp_path_factory, make_account: Callable[..., Iterator], cache, locks) -> Iterator:
    yield from make_account(tmp_path_factory.mktemp("uv-builds"), cache_dir=cache)


def _layers(cache: Path) -> set[str]:
    return {path.name for path in (cache / "build-layers").glob("*") if path.is_dir()}


def test_a_lock_is_installed_once_and_then_linked_compiled(account, cache, locks):
    before = _layers(cache)
    spec = INSTALL + (
        "      - ls .venv/lib/python3*/site-packages/tinypackage/__pycache__\n"
        "      - .venv/bin/tinyscript\n"
        "      - cat .venv/pyvenv.cfg\n"
    )
    first = account.run(spec, files={"lock.txt": locks["1.0"]})
    made = _layers(cache) - before
    second = account.run(spec, files={"lock.txt": locks["1.0"]})

    assert len(made) == 1
    assert _layers(cache) - before == made
    for build in (first, second):
        log = account.log(build)
        assert build["buildStatus"] == "SUCCEEDED", log
        assert LINKED in log
        assert f"__init__.{sys.implementation.cache_tag}.pyc" in log
        assert "version 1.0 in " in log
        assert "/src/.venv\n" in log
        assert f"version_info = {platform.python_version()}\n" in log
    (layer,) = made
    files = [p for p in (cache / "build-layers" / layer / "tree").rglob("*") if p.is_file()]
    assert not [p for p in files if p.stat().st_mode & 0o222]


def test_another_version_in_the_environment_is_left_to_the_real_uv(account, locks):
    spec = INSTALL + "      - .venv/bin/tinyscript\n"
    spec = spec.replace(
        "      - python -m uv pip sync",
        "      - uv pip install -q --python .venv/bin/python tinypackage==1.0\n"
        "      - python -m uv pip sync",
    )
    build = account.run(spec, files={"lock.txt": locks["2.0"]})
    log = account.log(build)

    assert build["buildStatus"] == "SUCCEEDED", log
    assert LINKED not in log
    assert "version 2.0 in " in log


def test_what_the_real_uv_refuses_fails_the_build_and_leaves_no_layer(account, cache, locks):
    before = _layers(cache)
    wrong = locks["1.0"][:-4] + "0000"
    build = account.run(INSTALL + "      - echo never\n", files={"lock.txt": wrong})
    log = account.log(build)

    assert build["buildStatus"] == "FAILED"
    assert "Hash mismatch" in log
    assert _layers(cache) == before


def test_requirements_without_versions_are_never_cached(account, cache, locks):
    before = _layers(cache)
    spec = INSTALL.replace("--require-hashes lock.txt", "lock.txt")
    build = account.run(
        spec + "      - .venv/bin/tinyscript\n", files={"lock.txt": "tinypackage>=1"}
    )

    assert build["buildStatus"] == "SUCCEEDED", account.log(build)
    assert "version 2.0 in " in account.log(build)
    assert _layers(cache) == before


@pytest.mark.parametrize("how", ["uv pip install --system", "python -m uv pip install"])
def test_what_uv_would_give_the_system_goes_to_the_builds_own_python(account, locks, how):
    build = account.run(
        f"""
        version: 0.2
        phases:
          build:
            commands:
              - {how} --quiet tinypackage==1.0
              - tinyscript
        """
    )
    log = account.log(build)

    assert build["buildStatus"] == "SUCCEEDED", log
    assert "version 1.0 in " in log
    assert "/env\n" in log
    assert importlib.util.find_spec("tinypackage") is None


def test_pip_finds_the_locked_uv_already_there(account, locks):
    locked = f"uv=={importlib.metadata.version('uv')} --hash=sha256:{'0' * 64}\n"
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands:
              - python -m pip install --no-index --require-hashes -r uv.txt
              - uv --version && which -a python3 | head -1
        """,
        files={"uv.txt": locked},
    )
    log = account.log(build)

    assert build["buildStatus"] == "SUCCEEDED", log
    assert "Requirement already satisfied: uv==" in log
    assert str(Path(sys.executable).parent) not in log


def test_a_build_may_replace_its_own_uv_without_harm_to_others(account, locks):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands:
              - python -m pip uninstall --quiet --yes uv
              - "! python -m uv --version"
        """
    )

    assert build["buildStatus"] == "SUCCEEDED", account.log(build)
    assert Path(build_uv.__file__).is_file()
    assert subprocess.run([sys.executable, "-m", "uv", "--version"], check=True)


def test_layers_are_made_ahead_of_time(tmp_path, cache, locks, caplog):
    lock = tmp_path / "lock.txt"
    lock.write_text(locks["2.0"])

    assert image.main(["--cache-dir", str(cache), "--lock", str(lock)]) == 0
    layers = _layers(cache)
    assert image.main(["--cache-dir", str(cache), "--lock", str(lock)]) == 0
    assert _layers(cache) == layers

    lock.write_text("tinypackage")
    assert image.main(["--cache-dir", str(cache), "--lock", str(lock)]) == 1
    assert f"{lock} doesn't pin each package with ==" in caplog.text
    assert image.main(["--cache-dir", str(cache), "--lock", str(tmp_path / "none.txt")]) == 1
    assert "there is no lock" in caplog.text


@pytest.mark.parametrize(
    ("command", "install"),
    [
        (
            "pip sync --quiet --python a/bin/python x.txt",
            LockedInstall(Path("x.txt"), "a/bin/python"),
        ),
        ("--quiet pip sync -p=a x.txt", LockedInstall(Path("x.txt"), "a")),
        ("pip install --require-hashes -r x.txt", LockedInstall(Path("x.txt"), "")),
        ("pip install -r x.txt more", None),
        ("pip sync x.txt y.txt", None),
        ("pip sync --index-url https://i.example x.txt", None),
        ("pip install name", None),
        ("venv .venv", None),
        ("pip sync", None),
    ],
)
def test_only_plain_installs_from_one_file_use_a_layer(command, install):
    assert parse(command.split()) == install


def test_a_compiled_file_of_the_same_source_is_taken_over_and_is_valid(tmp_path):
    for folder, text in (("theirs", "x = 1\n"), ("ours", "x = 1\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(text)
        (tmp_path / folder / "other.py").write_text(f"y = {folder!r}\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    compile_all = [sys.executable, "-m", "compileall", "-q", tmp_path / "theirs"]
    subprocess.run(compile_all, check=True, env=environment)
    os.utime(tmp_path / "ours/same.py", (1_000_000_000, 1_000_000_000))

    tag = str(sys.implementation.cache_tag)
    rest = adopt_compiled(tmp_path / "ours", tmp_path / "theirs", tag)

    assert [path.name for path in rest] == ["other.py"]
    (compiled,) = (tmp_path / "ours/__pycache__").iterdir()
    assert compiled.name.startswith("same.")
    trace = subprocess.run(
        [sys.executable, "-v", "-c", "import same"],
        cwd=tmp_path / "ours",
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert f"{compiled.name} matches" in trace
