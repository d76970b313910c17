"""Takes the documents' pictures of MLflow's pages: `make pictures`.

Without a server it goes the demo's road first, on a local-aws of its own. The links are those that
people get, opened as by somebody who has never opened MLflow.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deploy import mlflow_pages
from tests.chromium import Browser, missing_programs, open_browser

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/pictures"
_MOST_BYTES = 150_000
_SETTLE_SECONDS = 1.0  # what moves, and what is drawn after the text, such as a chart
# It opens itself beside each page.
_CLOSE_ASSISTANT = "//button[@data-component-id='mlflow.assistant.chat_panel.close']"


class PicturesError(Exception):
    """No pictures could be taken."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A version in MLflow, its run and the run's files."""

    server: str
    model: str
    version: str
    experiment_id: str
    run_id: str
    run_name: str
    files: tuple[str, ...]

    def picture_of(self, *names: str) -> str:
        """The link of the first of these files that the run has."""
        found = [name for name in names if name in self.files]
        if not found:
            raise PicturesError(f"the run has none of {', '.join(names)}: {', '.join(self.files)}")
        return mlflow_pages.artifact_page(self.server, self.experiment_id, self.run_id, found[0])


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is opened, what must be read there, and the window's height."""

    link: Callable[[Shown], str]
    texts: Callable[[Shown], tuple[str, ...]]
    height: int = 900


def _plot(*names: str) -> Picture:
    return Picture(link=lambda it: it.picture_of(*names), texts=lambda it: (it.run_name, "Path:"))


# By the name of its file, without .png.
PICTURES: Mapping[str, Picture] = {
    "experiment": Picture(
        link=lambda it: mlflow_pages.experiment_page(it.server, it.experiment_id),
        texts=lambda it: (it.run_name, "matching run"),
        height=600,
    ),
    "run": Picture(
        link=lambda it: mlflow_pages.run_page(it.server, it.experiment_id, it.run_id),
        texts=lambda it: (it.run_name, "rmse"),
    ),
    "model": Picture(
        link=lambda it: mlflow_pages.model_page(it.server, it.model),
        texts=lambda it: (it.model, f"Version {it.version}"),
        height=600,
    ),
    "version": Picture(
        link=lambda it: mlflow_pages.version_page(it.server, it.model, it.version),
        texts=lambda it: (it.model, f"Version {it.version}", "Stage (deprecated)"),
        height=1400,
    ),
    "plot-of-predictions": _plot("predicted_actual.png", "residuals.png"),
    "plot-of-importances": _plot("feature_importances.png"),
    "plot-of-the-gate": _plot("gate.png"),
}


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog="make pictures",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tracking-uri", help="a running MLflow server that has the model (default: a new demo's)"
    )
    parser.add_argument("--model", help="the model's name (default: the newest version's)")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where the pictures go (default: docs/pictures)"
    )
    parser.add_argument(
        "names", nargs="*", help=f"which ones (default: all: {', '.join(PICTURES)})", metavar="NAME"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 if one could not be taken, 2 if what was asked is wrong."""
    args = build_parser().parse_args(argv)
    try:
        unknown = [name for name in args.names if name not in PICTURES]
        if unknown:
            raise PicturesError(f"no picture {', '.join(unknown)}; there are {', '.join(PICTURES)}")
        missing = missing_programs()
        if missing:
            raise PicturesError(f"there is no {' and no '.join(missing)}: requirements/chromium.sh")
        if args.tracking_uri:
            take(find_shown(args.tracking_uri, args.model), args.folder, args.names)
        else:
            _take_after_a_demo(args)
    except PicturesError as err:
        sys.stderr.write(f"error: {err}\n")
        return 2
    except AssertionError as err:  # what a page lacks
        sys.stderr.write(f"error: {err}\n")
        return 1
    return 0


def _take_after_a_demo(args: argparse.Namespace) -> None:
    from mlops.demo.machine import local_machine

    with (
        tempfile.TemporaryDirectory(prefix="pictures-") as state,
        local_machine(Path(state), mlflow=True) as announced,
    ):
        changed = {name: value for name, value in announced.items() if value is not None}
        kept = {name: value for name, value in os.environ.items() if name not in announced}
        command = [sys.executable, "-m", "mlops", "demo", "--yes", "--exit", "--state-dir", state]
        ended = subprocess.run(command, cwd=ROOT, env={**kept, **changed}, check=False)
        if ended.returncode:
            raise PicturesError(f"the demo ended with exit code {ended.returncode}, see above")
        server = announced["MLFLOW_TRACKING_URI"]
        assert server is not None
        take(find_shown(server, args.model), args.folder, args.names)


def find_shown(server: str, model: str | None) -> Shown:
    """The newest version, of that model or of all. Raises PicturesError where there is none."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    client = MlflowClient(server, server)
    versions: list[Any] = list(client.search_model_versions())
    versions = [each for each in versions if each.run_id and model in (None, each.name)]
    if not versions:
        raise PicturesError(f"MLflow at {server} has no version of {model or 'any model'}")
    newest = max(versions, key=lambda version: version.creation_timestamp)
    run = client.get_run(newest.run_id)
    return Shown(
        server=server,
        model=newest.name,
        version=str(newest.version),
        experiment_id=run.info.experiment_id,
        run_id=run.info.run_id,
        run_name=run.info.run_name,
        files=tuple(file.path for file in client.list_artifacts(run.info.run_id)),
    )


def take(shown: Shown, folder: Path, names: Sequence[str] = ()) -> None:
    """Write the pictures of these names, or all. Raises AssertionError if a page lacks a text."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        for name in names or PICTURES:
            target = folder / f"{name}.png"
            target.write_bytes(shrink(_photograph(browser, PICTURES[name], shown)))
            sys.stdout.write(f"{target}  {target.stat().st_size / 1000:.0f} kB\n")


def _photograph(browser: Browser, picture: Picture, shown: Shown) -> bytes:
    browser.resize(1280, picture.height)
    link = picture.link(shown)
    browser.open(link)
    browser.wait_for(*picture.texts(shown))
    if "/artifacts/" in link:
        browser.wait_for_picture()
    browser.press(_CLOSE_ASSISTANT)
    time.sleep(_SETTLE_SECONDS)
    return browser.photograph()


def shrink(png: bytes) -> bytes:
    """The picture with 256 colours or fewer. Raises PicturesError if it is too large even so."""
    from PIL import Image

    for colours in (256, 128, 64):
        written = io.BytesIO()
        image = Image.open(io.BytesIO(png)).convert("RGB")
        image.quantize(colours, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
        if written.tell() <= _MOST_BYTES:
            return written.getvalue()
    raise PicturesError(f"a picture has {written.tell()} bytes even with {colours} colours")


if __name__ == "__main__":
    sys.exit(main())
