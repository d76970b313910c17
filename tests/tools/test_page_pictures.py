"""`make pictures`: what it takes, and that the documents show no other."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tools import page_pictures
from tests.tools.page_pictures import FOLDER, PICTURES, ROOT, PicturesError, Shown, shrink

SHOWN = Shown(
    server="http://127.0.0.1:5000",
    model="houses",
    version="3",
    experiment_id="1",
    run_id="ab",
    run_name="forest",
    files=("residuals.png", "feature_importances.png", "gate.png"),
)


def strays(folder: Path, documents: list[Path]) -> Iterator[str]:
    """Pictures that no document shows, or that nothing takes anew."""
    shown = {
        (document.parent / target).resolve()
        for document in documents
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", document.read_text())
    }
    for path in sorted(folder.glob("*")):
        if path.stem not in PICTURES or path.suffix != ".png":
            yield f"{path.name}: not of `make pictures`"
        if path.resolve() not in shown:
            yield f"{path.name}: in no document"


def test_each_picture_of_the_documents_is_shown_and_can_be_taken_anew() -> None:
    assert list(strays(FOLDER, [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])) == []


def test_a_picture_that_nobody_shows_or_takes_is_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("![The run](pictures/run.png) ![By hand](pictures/hand.png)")
    (tmp_path / "pictures").mkdir()
    for name in ("run.png", "hand.png", "version.png"):
        (tmp_path / "pictures" / name).touch()

    assert list(strays(tmp_path / "pictures", [document])) == [
        "hand.png: not of `make pictures`",
        "version.png: in no document",
    ]


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_is_of_a_link_that_people_get(name: str) -> None:
    link = PICTURES[name].link(SHOWN)

    assert re.fullmatch(r"http://127\.0\.0\.1:5000/#/\w.*\?workflowType=machine_learning", link)
    assert all(PICTURES[name].texts(SHOWN))


def test_the_newer_plot_is_taken_where_there_is_one() -> None:
    assert "/residuals.png?" in SHOWN.picture_of("predicted_actual.png", "residuals.png")
    with pytest.raises(PicturesError, match=r"none of x\.png: residuals\.png, feature"):
        SHOWN.picture_of("x.png")


def test_a_picture_is_made_small_or_refused() -> None:
    def png(pixels: np.ndarray) -> bytes:
        written = io.BytesIO()
        Image.fromarray(pixels).save(written, "PNG")
        return written.getvalue()

    plain = png(np.full((900, 1280, 3), 250, np.uint8))
    assert Image.open(io.BytesIO(shrink(plain))).size == (1280, 900)
    noise = np.random.default_rng(1).integers(0, 255, (900, 1280, 3), np.uint8)
    with pytest.raises(PicturesError, match="even with 64 colours"):
        shrink(png(noise))


def test_what_is_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert page_pictures.main(["nonsense"]) == 2
    assert "no picture nonsense; there are experiment, run" in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["image_trial", "page_pictures"])
def test_a_tool_is_found_as_make_calls_it(tool: str) -> None:
    """A library has installed a package `tests`, which Python found before a folder of ours."""
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.tools.{tool}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert f"tests.tools.{tool}" in (ROOT / "Makefile").read_text()
