"""A throwaway Python environment on top of an image's, which stays as it is.

env/bin                     python, python3, python3.x, pip, pip3, scripts of attached layers
env/lib/.../site-packages   what the job installs itself, and .pth files: layers, then the image
env/job-pip                 the package `pip` that answers `pip install -r`
env/job-pip.json            its settings
env/pip-failure.txt         what it could not install, and why
"""

import ast
import dataclasses
import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

FACTS = """
import json, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({
    "base_python": getattr(sys, "_base_executable", sys.executable),
    "version": ".".join(map(str, sys.version_info[:3])),
    "tag": sys.implementation.cache_tag + "-" + sysconfig.get_platform(),
    "site_packages": list(dict.fromkeys([paths["purelib"], paths["platlib"]])),
}))
"""
SETTINGS = "job-pip.json"
FAILURE = "pip-failure.txt"
OWN_SCRIPTS = frozenset({"python", "python3", "pip", "pip3"})


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """A Python environment that others are put on top of."""

    base_python: str
    version: str
    tag: str
    site_packages: Sequence[str]

    @classmethod
    def of(cls, python: Path) -> "Interpreter":
        """The facts about the environment that `python` is the interpreter of."""
        answer = subprocess.run([str(python), "-I", "-c", FACTS], check=True, capture_output=True)
        return cls(**json.loads(answer.stdout))

    @property
    def minor_version(self) -> str:
        return ".".join(self.version.split(".")[:2])

    def identity(self) -> str:
        """A digest of the interpreter and of all packages installed in it."""
        packages = sorted(
            entry.name
            for folder in self.site_packages
            for entry in Path(folder).glob("*.dist-info")
        )
        return hashlib.sha256("\n".join([self.tag, *packages]).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Environment:
    """A throwaway environment in `folder`."""

    folder: Path
    image: Interpreter

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python3"

    @property
    def site_packages(self) -> Path:
        return self.folder / "lib" / f"python{self.image.minor_version}" / "site-packages"

    @property
    def job_pip(self) -> Path:
        return self.folder / "job-pip"

    def make(self) -> None:
        """Create it: the interpreter, and a way to the image's packages, pip among them."""
        scripts = self.folder / "bin"
        scripts.mkdir(parents=True)
        self.site_packages.mkdir(parents=True)
        self.python.symlink_to(self.image.base_python)
        for name in ("python", f"python{self.image.minor_version}"):
            (scripts / name).symlink_to("python3")
        for name in ("pip", "pip3"):
            (scripts / name).write_text('#!/bin/sh\nexec "$(dirname "$0")/python3" -m pip "$@"\n')
            (scripts / name).chmod(0o755)
        home = Path(self.image.base_python).parent
        (self.folder / "pyvenv.cfg").write_text(
            f"home = {home}\ninclude-system-site-packages = false\nversion = {self.image.version}\n"
        )
        self._write_pth("90-image", [_site_line(folder) for folder in self.image.site_packages])

    def use_job_pip(self) -> None:
        """Let this package answer for `pip` in it."""
        self.job_pip.mkdir()
        (self.job_pip / "pip").symlink_to(Path(__file__).resolve().parent)
        self._write_pth("00-job-pip", [f"import sys; sys.path.insert(0, {str(self.job_pip)!r})"])

    def attached_layers(self) -> list[Path]:
        """Layers attached so far, the first attached first."""
        names = sorted(self.site_packages.glob("50-layer-*.pth"))
        folders = [name.read_text().partition("(")[2].rpartition(")")[0] for name in names]
        return [Path(ast.literal_eval(folder)).parent for folder in folders]

    def attach(self, layer: Path, built_in: str) -> None:
        """Let it see a layer's packages, before the image's, and have its scripts on the PATH."""
        number = len(self.attached_layers())
        self._write_pth(f"50-layer-{number:03d}", [_site_line(str(layer / "site-packages"))])
        for script in (layer / "bin").iterdir():
            place = self.folder / "bin" / script.name
            if not place.exists():
                content = script.read_bytes().replace(built_in.encode(), os.fsencode(self.folder))
                place.write_bytes(content)
                place.chmod(0o755)

    def _write_pth(self, name: str, lines: Sequence[str]) -> None:
        (self.site_packages / f"{name}.pth").write_text("\n".join(lines) + "\n")


def _site_line(folder: str) -> str:
    """A .pth line that adds a folder and, unlike a bare path, obeys the .pth files in it."""
    return f"import site; site.addsitedir({folder!r})"
