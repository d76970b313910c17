"""What each image is built from, as a zip: the same files always give the same bytes.

    infra/images/<image>/*, serving/, the locks that its build installs ─▶ <image>.zip, with the
    tree's paths

Run as a command it writes the archives, for those who upload them by hand (infra/README.md):
    python -m mlops.platform.image_sources --output-dir build
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mlops.errors import InputError
from mlops.seed_repositories import zip_files
from mlops.units import PROJECT_DIR

# Image -> what its build needs, from the root of the tree.
IMAGES: Mapping[str, tuple[str, ...]] = {
    "server": ("infra/images/server/*", "requirements/mlflow-server.txt"),
    "inference": (
        "infra/images/inference/*",
        "serving/*.py",
        "requirements/mlflow-server.txt",
        "requirements/uv.txt",
    ),
}
_NEVER = ("*/__pycache__/*", "*.pyc", "*/.*")


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """The zip of an image's sources."""

    image: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The content's SHA-256 as S3 says it: in base64."""
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode()


def image_source(image: str, tree: Path = PROJECT_DIR) -> ImageSource:
    """What the image is built from, as it is in the working tree."""
    return ImageSource(image=image, content=zip_files(list_files(image, tree)))


def list_files(image: str, tree: Path = PROJECT_DIR) -> dict[str, Path]:
    """Path in the zip -> the file of the tree, sorted. InputError where the tree lacks some."""
    found: dict[str, Path] = {}
    for pattern in IMAGES[image]:
        matching = [path for path in tree.glob(pattern) if path.is_file()]
        if not matching:
            raise InputError(
                f"there is no {pattern} in {tree}; images are built from a checkout of the "
                "repository, not from an installed package"
            )
        found |= {path.relative_to(tree).as_posix(): path for path in matching}
    return {
        name: path
        for name, path in sorted(found.items())
        if not any(fnmatchcase(name, never) for never in _NEVER)
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mlops.platform.image_sources",
        description="Write the zip that each image is built from.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output-dir", type=Path, required=True, metavar="DIR", help="write <image>.zip there"
    )
    args = parser.parse_args(argv)
    try:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        for image in IMAGES:
            archive = args.output_dir / f"{image}.zip"
            archive.write_bytes(image_source(image).content)
            sys.stdout.write(f"{archive}\n")
    except OSError as err:
        sys.stderr.write(f"can not write to {args.output_dir}: {err}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
