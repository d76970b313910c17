"""The oldest accepted Python, 3.11.2 of Debian 12, has less than the newest 3.11."""

from __future__ import annotations

import ast
import functools
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).parents[2]
PATHS = [str(PROJECT_DIR / "local_aws/src"), str(PROJECT_DIR)]
TRACKED = subprocess.run(
    ["git", "ls-files", "*.py"], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
).stdout.splitlines()

# What came to the standard library after 3.11.2 within 3.11: what type checkers and linters, which
# know whole minor versions, let pass. Found by comparing 3.11.2 with 3.11.7, name by name; those of
# 3.11.8 and later by reading "Changed in version 3.11.x".
_NEWER_NAMES = {
    *("data_filter", "tar_filter", "fully_trusted_filter", "extraction_filter"),
    *("FilterError", "AbsoluteLinkError", "AbsolutePathError", "SpecialFileError"),
    *("OutsideDestinationError", "LinkOutsideDestinationError", "LinkFallbackError"),
    *("pickle_by_enum_name", "pickle_by_global_name", "ALLOW_MISSING"),
}
_NEWER_ARGUMENTS = {
    *(("extract", "filter"), ("extractall", "filter"), ("unpack_archive", "filter")),
    *(("getaddresses", "strict"), ("parseaddr", "strict")),
}


def _newer(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.alias):
            name = node.name
        if name in _NEWER_NAMES:
            yield name
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            for keyword in node.keywords:
                if (called, keyword.arg) in _NEWER_ARGUMENTS:
                    yield f"{called}({keyword.arg}=)"


def test_nothing_is_used_that_came_later_to_3_11():
    found = {
        f"{name}: {what}" for name in TRACKED for what in _newer((PROJECT_DIR / name).read_text())
    }

    assert not found


@pytest.mark.parametrize(
    "source",
    [
        'archive.extract(member, folder, filter="data")',
        'with tarfile.open("x") as archive:\n    archive.extractall(filter=None)',
        "from tarfile import data_filter",
        "tarfile.TarFile.extraction_filter = f",
        'shutil.unpack_archive("x", filter="data")',
        "os.path.realpath(p, strict=os.path.ALLOW_MISSING)",
    ],
)
def test_each_newer_thing_is_seen(source):
    assert list(_newer(source))


@functools.cache
def _oldest() -> str:
    """An interpreter without tarfile's filters: older than 3.11.4. Skips where there is none."""
    ask = (
        "import platform, tarfile\n"
        "print(platform.python_version(), hasattr(tarfile, 'data_filter'))"
    )
    seen = []
    for candidate in ("/usr/bin/python3.11", "python3.11", "/usr/bin/python3", "python3"):
        found = shutil.which(candidate)
        if found is None:
            continue
        answer = subprocess.run([found, "-I", "-c", ask], capture_output=True, text=True)
        version, _, filters = answer.stdout.strip().partition(" ")
        if version.startswith("3.11.") and filters == "False":
            return found
        seen.append(f"{candidate} is {version or 'broken'}")
    pytest.skip(f"no Python 3.11.2 or 3.11.3 here: {', '.join(seen)}")


def _run(program: str, *arguments: str) -> str:
    """What the oldest Python prints, which finds the project's packages and no others."""
    done = subprocess.run(
        [_oldest(), "-I", "-S", "-X", "pycache_prefix=/dev/null", "-c",
         f"import sys; sys.path[:0] = {PATHS!r}\n{program}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_models_archive_is_unpacked_by_the_oldest_python(tmp_path):
    (tmp_path / "MLmodel").write_text("flavors: {}")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "MLmodel", "code/MLmodel")

    _run(
        "from pathlib import Path\n"
        "from local_aws.sagemaker.endpoints.model_archive import unpack\n"
        "with open(sys.argv[1], 'rb') as archive:\n"
        "    unpack(archive, Path(sys.argv[2]))",
        str(tmp_path / "model.tar.gz"),
        str(tmp_path / "model"),
    )

    assert (tmp_path / "model/code/MLmodel").read_text() == "flavors: {}"


def test_a_supervised_process_runs_under_the_oldest_python(tmp_path):
    said = _run(
        "from pathlib import Path\n"
        "from local_aws.containers.supervision import start_supervised\n"
        "log = Path(sys.argv[1])\n"
        "process = start_supervised(['/bin/echo', 'well'], environment={}, cwd=log.parent,"
        " log_path=log)\n"
        "print(process.wait(), log.read_text())",
        str(tmp_path / "log"),
    )

    assert said == "0 well"


def test_modules_without_installed_packages_are_imported_by_the_oldest_python():
    modules = (
        *("local_aws.workers", "local_aws.codebuild.layers", "local_aws.codebuild.build_uv"),
        *("local_aws.containers.container", "local_aws.containers.job_pip.environment"),
        *("local_aws.containers.job_pip.layers", "model_deploy.model_validation"),
    )

    _run("import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)", *modules)


def test_every_file_is_syntax_for_the_oldest_python():
    _run(
        "for name in sys.argv[2:]:\n"
        "    path = f'{sys.argv[1]}/{name}'\n"
        "    compile(open(path).read(), path, 'exec')",
        str(PROJECT_DIR),
        *TRACKED,
    )
