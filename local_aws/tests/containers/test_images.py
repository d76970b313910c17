"""Images, and requirements in cached layers: a real pip, wheels made on the fly, no network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pip
import pytest

from local_aws.containers.container import ContainerEnvironment, Isolation, start_container
from local_aws.containers.image import Image
from local_aws.containers.images import (
    ImageError,
    Images,
    all_satisfied,
    build_job_image,
    build_layer,
)
from local_aws.containers.job_pip.environment import Interpreter
from local_aws.errors import AwsError

JOB_URI = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
SERVING = Image(name="serving", python=Path(sys.executable), command=("serve", "--port={port}"))


def make_wheel(folder: Path, name: str, version: str = "1.0", requires: str = "") -> Path:
    """A pure-Python wheel with the module `name` and the console script `name`-cli."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"VERSION = '{version}'\ndef main():\n    print('{name}', VERSION)\n",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-cli = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture(scope="session")
def base_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a stand-in for an image: an environment with pip and the wheel `basis`."""
    folder = tmp_path_factory.mktemp("image") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    [site_packages] = folder.glob("lib/python3*/site-packages")
    own = Path(pip.__file__).parents[1]
    for source in (own / "pip", *own.glob("pip-*.dist-info")):
        shutil.copytree(source, site_packages / source.name)
    with zipfile.ZipFile(make_wheel(folder / "wheels", "basis", "2.0")) as archive:
        archive.extractall(site_packages)
    subprocess.run([str(python), "-m", "compileall", "-q", str(site_packages)], check=True)
    return python


@pytest.fixture
def images(tmp_path: Path, base_python: Path) -> Images:
    return Images(None, base_python, cache_dir=tmp_path / "cache")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    make_wheel(folder, "extra", requires="basis>=1")
    make_wheel(folder, "basis", "3.0")
    return folder


def job(images: Images, root: Path, command: str) -> tuple[int, str]:
    """Run a shell command as a job; its exit code and what it printed."""
    environment = images.prepare(images.find(JOB_URI), None, root)
    return run(environment, root, command)


def run(environment: ContainerEnvironment, root: Path, command: str) -> tuple[int, str]:
    log_path = root / "log"
    process = start_container(
        environment,
        ["bash", "-c", f"cd /opt/ml; {command}"],
        root=root,
        environment={},
        log_path=log_path,
        limit_seconds=60,
    )
    return process.wait(), log_path.read_text()


def write_requirements(root: Path, wheels: Path, *lines: str) -> None:
    (root / "opt/ml").mkdir(parents=True, exist_ok=True)
    text = "\n".join(["--no-index", f"--find-links {wheels}", *lines, ""])
    (root / "opt/ml/requirements.txt").write_text(text)


def layers_of(images: Images) -> list[Path]:
    return [path for path in (images.cache_dir / "layers").iterdir() if path.is_dir()]


@pytest.mark.parametrize("uri", [JOB_URI, f"{JOB_URI}-cpu-py3"])
def test_job_image_is_found_by_uri(images: Images, uri: str) -> None:
    assert images.find(uri).name == "sagemaker-scikit-learn:1.9-0"


def test_unknown_image_is_refused_by_name(images: Images) -> None:
    uri = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    with pytest.raises(AwsError) as refused:
        images.find(uri)
    assert refused.value.code == "ValidationException"
    assert str(refused.value) == (
        f"local_aws cannot run the image {uri}. It runs sagemaker-scikit-learn:1.9-0 (jobs) "
        "and images in its own registry with the annotation local-aws.command (endpoints)."
    )


def test_job_sees_the_images_packages_and_the_real_pip(images: Images, tmp_path: Path) -> None:
    program = "import pip, basis, pip._internal; print(basis.VERSION, pip.__version__)"
    code, printed = job(images, tmp_path / "root", f'python -c "{program}" && pip list')
    assert code == 0, printed
    assert printed.startswith("2.0 ")
    assert "basis" in printed.partition("Package")[2]


def test_requirements_are_installed_once_and_then_attached(
    images: Images, wheels: Path, tmp_path: Path
) -> None:
    command = (
        "python3 -m pip install -r requirements.txt && extra-cli && "
        "python -c 'import basis, extra; print(basis.VERSION, extra.__file__)'"
    )
    write_requirements(tmp_path / "one", wheels, "extra")
    code, printed = job(images, tmp_path / "one", command)
    assert code == 0, printed
    assert "requirements.txt: installed into a new layer in" in printed
    shutil.rmtree(wheels)  # offline from here on
    write_requirements(tmp_path / "two", wheels, "extra")
    code, printed = job(images, tmp_path / "two", command)
    assert code == 0, printed
    assert "requirements.txt: installed from a cached layer in" in printed
    [layer] = layers_of(images)
    assert printed.splitlines()[-2:] == ["extra 1.0", f"2.0 {layer}/site-packages/extra.py"]


def test_layer_leaves_out_what_the_image_has(images: Images, wheels: Path, tmp_path: Path) -> None:
    write_requirements(tmp_path / "root", wheels, "extra")
    code, printed = job(images, tmp_path / "root", "pip install -r requirements.txt")
    assert code == 0, printed
    [layer] = layers_of(images)
    names = {path.name for path in (layer / "site-packages").iterdir()}
    assert names == {"extra-1.0.dist-info", "extra.py", "__pycache__"}


def test_wanted_version_wins_over_the_images(
    images: Images, wheels: Path, tmp_path: Path, base_python: Path
) -> None:
    write_requirements(tmp_path / "root", wheels, "basis==3.0")
    command = "pip install -r requirements.txt && python -c 'import basis; print(basis.VERSION)'"
    code, printed = job(images, tmp_path / "root", command)
    assert code == 0, printed
    assert printed.splitlines()[-1] == "3.0"
    image_version = [str(base_python), "-c", "import basis; print(basis.VERSION)"]
    assert subprocess.check_output(image_version, text=True) == "2.0\n"


def test_changed_constraints_make_another_layer(
    images: Images, wheels: Path, tmp_path: Path
) -> None:
    for name, constraint in (("one", "extra<2"), ("two", "extra<3")):
        write_requirements(tmp_path / name, wheels, "-c constraints.txt", "extra")
        (tmp_path / name / "opt/ml/constraints.txt").write_text(f"{constraint}\n")
        code, printed = job(images, tmp_path / name, "pip install -r requirements.txt")
        assert code == 0, printed
    assert len(layers_of(images)) == 2


def test_failing_install_says_why_and_caches_nothing(
    images: Images, wheels: Path, tmp_path: Path
) -> None:
    write_requirements(tmp_path / "root", wheels, "no-such-package")
    code, printed = job(images, tmp_path / "root", "pip install -r requirements.txt")
    assert code == 1
    assert "No matching distribution found for no-such-package" in printed
    assert layers_of(images) == []
    assert "no-such-package" in (tmp_path / "root/env/pip-failure.txt").read_text()


def test_other_pip_commands_change_only_the_jobs_own_environment(
    images: Images, wheels: Path, tmp_path: Path, base_python: Path
) -> None:
    command = f"pip install --no-index --find-links {wheels} extra && python -c 'import extra'"
    code, printed = job(images, tmp_path / "root", command)
    assert code == 0, printed
    assert not (images.cache_dir / "layers").exists()
    code, _ = job(images, tmp_path / "other", "python -c 'import extra'")
    assert code == 1
    assert subprocess.run([str(base_python), "-c", "import extra"], check=False).returncode == 1


def test_requirements_work_with_rewritten_paths(
    tmp_path: Path, base_python: Path, wheels: Path
) -> None:
    images = Images(None, base_python, cache_dir=tmp_path / "cache", isolation=Isolation.REWRITE)
    write_requirements(tmp_path / "root", wheels, "extra")
    code, printed = job(images, tmp_path / "root", "pip install -r /opt/ml/requirements.txt")
    assert code == 0, printed


def test_jobs_do_not_see_what_only_pip_needs(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy")
    environment = images.prepare(images.find(JOB_URI), None, tmp_path / "root")
    settings = tmp_path / "root/env/job-pip.json"
    assert "secret" in settings.read_text()
    assert settings.stat().st_mode & 0o077 == 0
    assert "HTTPS_PROXY" not in run(environment, tmp_path / "root", "env")[1]


def test_serving_image_needs_no_layer_when_everything_is_there(
    images: Images, tmp_path: Path
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("boto3\npackaging>=2\n")
    environment = images.prepare(SERVING, requirements, tmp_path / "root")
    assert not (images.cache_dir / "layers").exists()
    program = 'import importlib.metadata; print(importlib.metadata.version("boto3"))'
    code, printed = run(environment, tmp_path / "root", f"python3 -c '{program}'")
    assert code == 0, printed


def test_serving_image_gets_a_layer_for_what_is_missing(images: Images, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "extra")
    write_requirements(tmp_path / "root", tmp_path / "wheels", "extra")
    requirements = tmp_path / "root/opt/ml/requirements.txt"
    environment = images.prepare(SERVING, requirements, tmp_path / "root")
    code, printed = run(environment, tmp_path / "root", "python3 -c 'import extra, packaging'")
    assert code == 0, printed
    assert len(layers_of(images)) == 1


def test_requirements_that_cannot_be_installed_for_serving_are_an_error(
    images: Images, tmp_path: Path
) -> None:
    write_requirements(tmp_path / "root", tmp_path / "nowhere", "no-such-package")
    requirements = tmp_path / "root/opt/ml/requirements.txt"
    with pytest.raises(ImageError) as refused:
        images.prepare(SERVING, requirements, tmp_path / "root")
    assert str(refused.value).startswith("could not install requirements.txt: pip install -r")
    assert "No matching distribution found for no-such-package" in str(refused.value)


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ("", True),
        ("# only a comment\nBasis>=1.0  # and one here\n", True),
        ("basis==0.1\n", False),
        ("no-such-package\n", False),
        ("no-such-package; python_version < '3'\n", True),
        ("-r other.txt\n", False),
        ("git+https://example.com/x.git\n", False),
        # This Python has it, the image does not.
        ("boto3\n", False),
    ],
)
def test_satisfied_means_every_named_version_is_in_the_images_environment(
    requirements: str, expected: bool, base_python: Path
) -> None:
    assert all_satisfied(requirements, Interpreter.of(base_python)) is expected


def test_markers_are_those_of_the_images_python() -> None:
    old = Interpreter("/usr/bin/python3.9", "3.9.2", "cpython-39-linux-x86_64", [])
    assert not all_satisfied("no-such-package; python_version < '3.10'", old)
    assert all_satisfied("no-such-package; python_full_version > '3.9.2'", old)


def test_serving_image_has_the_packages_of_its_own_python(
    images: Images, base_python: Path, tmp_path: Path
) -> None:
    image = Image(name="other", python=base_python, command=("serve",))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("basis==2.0\n")
    environment = images.prepare(image, requirements, tmp_path / "root")
    assert not (images.cache_dir / "layers").exists()
    code, printed = run(environment, tmp_path / "root", "python3 -c 'import basis, boto3'")
    assert (code, "No module named 'boto3'" in printed) == (1, True)


def test_python_that_is_none_is_named(images: Images, tmp_path: Path) -> None:
    image = Image(name="odd", python=Path("/bin/false"), command=("serve",))
    with pytest.raises(ImageError, match=r"^/bin/false of the image odd is no Python$"):
        images.prepare(image, None, tmp_path / "root")


def test_serving_command_only_for_serving_images(images: Images) -> None:
    assert SERVING.serve_command(1234) == ["serve", "--port=1234"]
    with pytest.raises(AwsError, match=r"sagemaker-scikit-learn:1\.9-0 has no model server"):
        images.find(JOB_URI).serve_command(1234)


def test_job_image_is_built_from_its_lock_once(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "locked")
    digest = subprocess.check_output(
        [sys.executable, "-m", "pip", "hash", str(wheel)], text=True
    ).split("--hash=")[1]
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"--no-index\n--find-links {wheel.parent}\nlocked==1.0 --hash={digest.strip()}\n"
    )
    python = build_job_image(lock, tmp_path / "cache")
    assert subprocess.run([str(python), "-c", "import locked"], check=False).returncode == 0
    assert list(python.parents[1].rglob("locked.*.pyc"))
    made = python.parents[1].stat().st_mtime_ns
    assert build_job_image(lock, tmp_path / "cache") == python
    assert python.parents[1].stat().st_mtime_ns == made


def test_job_image_with_a_wrong_hash_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "locked")
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"--no-index\n--find-links {wheel.parent}\nlocked==1.0 --hash=sha256:{'0' * 64}\n"
    )
    with pytest.raises(ImageError, match=r"the job image could not be built:\n(.|\n)*[Hh]ash"):
        build_job_image(lock, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_job_image_without_its_lock_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"the job image needs .*lock\.txt, which is missing"):
        build_job_image(tmp_path / "lock.txt", tmp_path / "cache")


def test_two_jobs_that_need_the_same_layer_build_it_once(
    images: Images, wheels: Path, tmp_path: Path
) -> None:
    answers: list[tuple[int, str]] = []

    def run_job(root: Path) -> None:
        write_requirements(root, wheels, "extra")
        command = "pip install -r requirements.txt && python -c 'import extra'"
        answers.append(job(images, root, command))

    threads = [threading.Thread(target=run_job, args=(tmp_path / name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [code for code, _ in answers] == [0, 0], answers
    assert sum("Successfully installed extra" in printed for _, printed in answers) == 1
    assert len(layers_of(images)) == 1


def test_layer_built_ahead_of_time_is_the_one_a_job_finds(
    images: Images, wheels: Path, tmp_path: Path, base_python: Path
) -> None:
    write_requirements(tmp_path / "root", wheels, "extra")
    build_layer(base_python, tmp_path / "root/opt/ml/requirements.txt", images.cache_dir)
    code, printed = job(images, tmp_path / "root", "pip install -r requirements.txt")
    assert code == 0
    assert "requirements.txt: installed from a cached layer in" in printed


def test_layer_of_a_missing_file_is_refused_by_name(tmp_path: Path, base_python: Path) -> None:
    with pytest.raises(ImageError, match=r"there is no requirements file .*none\.txt"):
        build_layer(base_python, tmp_path / "none.txt", tmp_path / "cache")
