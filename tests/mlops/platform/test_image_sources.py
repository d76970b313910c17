"""The zips that the images are built from."""

from __future__ import annotations

import io
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from mlops.errors import InputError
from mlops.platform.image_sources import IMAGES, image_source, list_files, main

_ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the images are built from."""
    for image in IMAGES:
        for name, path in list_files(image).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / name)
    return tmp_path


def test_server_is_built_from_its_folder_and_the_lock(tree: Path) -> None:
    names = list(list_files("server", tree))

    folder = "infra/images/server"
    assert {f"{folder}/Dockerfile", f"{folder}/buildspec.yml"} < set(names)
    assert f"{folder}/tracking_server.py" in names
    assert [name for name in names if not name.startswith(f"{folder}/")] == [
        "requirements/mlflow-server.txt"
    ]
    with zipfile.ZipFile(io.BytesIO(image_source("server", tree).content)) as archive:
        assert archive.namelist() == names
        for name in names:
            assert archive.read(name) == (_ROOT / name).read_bytes()


def test_inference_is_built_from_its_folder_the_server_and_the_locks(tree: Path) -> None:
    assert list(list_files("inference", tree)) == [
        "infra/images/inference/Dockerfile",
        "infra/images/inference/buildspec.yml",
        "infra/images/inference/doubling.py",
        "infra/images/inference/serve_a_model.py",
        "requirements/mlflow-server.txt",
        "requirements/uv.txt",
        *sorted(f"serving/{path.name}" for path in (_ROOT / "serving").glob("*.py")),
    ]
    assert "serving/entry_point.py" in list_files("inference", tree)


@pytest.mark.parametrize("image", IMAGES)
def test_the_same_files_give_the_same_bytes_whenever_and_wherever(image: str, tree: Path) -> None:
    for path in tree.rglob("*"):
        os.utime(path, (time.time() - 1e6, time.time() - 1e6))
    junk = tree / "infra" / "images" / image / "__pycache__"
    junk.mkdir()
    (junk / "x.pyc").touch()
    (junk.parent / ".tracking_server.py.swp").touch()

    assert image_source(image, tree) == image_source(image)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("infra/images/server/Dockerfile", {"server"}),
        ("infra/images/inference/serve_a_model.py", {"inference"}),
        ("serving/cell_reading.py", {"inference"}),
        ("requirements/mlflow-server.txt", {"server", "inference"}),
        ("requirements/uv.txt", {"inference"}),
    ],
)
def test_a_change_concerns_the_images_that_it_goes_into(
    name: str, changed: set[str], tree: Path
) -> None:
    before = {image: image_source(image, tree).sha256 for image in IMAGES}
    with (tree / name).open("a") as file:
        file.write("\n")
    after = {image: image_source(image, tree).sha256 for image in IMAGES}
    assert {image for image in IMAGES if before[image] != after[image]} == changed


def test_a_tree_without_the_locks_is_refused(tree: Path) -> None:
    (tree / "requirements/mlflow-server.txt").unlink()
    with pytest.raises(InputError, match=r"no requirements/mlflow-server\.txt in .*; images are"):
        image_source("server", tree)


def test_command_writes_the_archives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output-dir", str(tmp_path / "build")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "build" / f"{image}.zip") for image in IMAGES
    ]
    for image in IMAGES:
        assert (tmp_path / "build" / f"{image}.zip").read_bytes() == image_source(image).content


def test_command_says_where_it_can_not_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--output-dir", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"can not write to {tmp_path / 'file'}: ")
