"""CLI: the server's Dockerfile carried out in a bare Debian root, for machines without Docker.

    debootstrap ─▶ root ─▶ RUN, COPY, ADD in turn ─▶ as its user, root read-only: --help, check
                   + Python

`make try-images` runs it; it needs root, Debian's mirror, a Python 3.12 and some minutes. What it
leaves out: the base image is Debian's smallest root and the given Python, not Docker's `python`;
layers, the volume and the health check's timing are Docker's. Exit codes: 0 all of it worked, 1 an
instruction failed, 2 something needed is not there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops.platform.image_sources import list_files
from mlops.units import PROJECT_DIR

DOCKERFILE = PROJECT_DIR / "infra" / "images" / "server" / "Dockerfile"
LOCK = PROJECT_DIR / "requirements" / "mlflow-server.txt"
SUITE = "trixie"
# What a Python that was built elsewhere is linked to.
LIBRARIES = (
    "ca-certificates,libbz2-1.0,libffi8,liblzma5,libreadline8t64,libsqlite3-0,libssl3t64,zlib1g"
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WHEELS = "/wheels"
# What only a container's runtime heeds.
_OF_DOCKER = {"FROM", "LABEL", "WORKDIR", "VOLUME", "EXPOSE", "CMD", "HEALTHCHECK"}
_NO_ROOT_FOR_IT = "it needs root (for chroot and mount), debootstrap or apt-get, and curl's network"


class TrialError(Exception):
    """The trial can't go on; `exit_code` says whose fault it is."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Instruction:
    """One of a Dockerfile's, its lines joined: `RUN` and what follows."""

    keyword: str
    rest: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code."""
    args = build_parser().parse_args(argv)
    work = Path(tempfile.mkdtemp(prefix="try-images-"))
    try:
        if os.geteuid():
            raise TrialError(_NO_ROOT_FOR_IT, 2)
        trial = Trial(work=work, root=work / "root", python=args.python)
        trial.make_root(args.mirror)
        trial.download_wheels()
        trial.build(instructions(DOCKERFILE))
        trial.start()
    except (TrialError, OSError, subprocess.CalledProcessError) as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code if isinstance(err, TrialError) else 1
    finally:
        if args.keep:
            sys.stdout.write(f"kept: {work}\n")
        else:
            shutil.rmtree(work, ignore_errors=True)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The flags, each with its default."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.image_trial",
        description="Carry out the server's Dockerfile in a bare Debian root.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--python",
        default="python3.12",
        metavar="PATH",
        help="the Python that takes the place of the base image's (default: %(default)s)",
    )
    parser.add_argument(
        "--mirror",
        default="http://deb.debian.org/debian",
        metavar="URL",
        help="Debian's archive (default: %(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the root there (default: don't)")
    return parser


def instructions(dockerfile: Path) -> list[Instruction]:
    """The Dockerfile's instructions in order, without comments; enough for the syntax it uses."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    lines = (line.strip() for line in text.replace("\\\n", "").splitlines())
    return [
        Instruction(keyword, rest.strip())
        for keyword, _, rest in (line.partition(" ") for line in lines if line)
    ]


class Trial:
    """A root folder, what was done to it so far, and what an image would remember of it."""

    def __init__(self, *, work: Path, root: Path, python: str) -> None:
        self._work = work
        self._root = root
        self._python = python
        self._arguments: dict[str, str] = {}
        self._environment = {"PATH": PATH}
        self._user = "0:0"
        self._entry_point: list[str] = []

    def make_root(self, mirror: str) -> None:
        """Debian, and the Python in its /usr/local, where Docker's image has it."""
        prefix = subprocess.run(
            [self._python, "-c", "import sys; print(sys.base_prefix, *sys.version_info[:2])"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        ).stdout.split()
        if prefix[1:] != ["3", "12"]:
            raise TrialError(f"{self._python} is no Python 3.12; name one by --python", 2)
        with _step(f"debootstrap {SUITE} and Python from {prefix[0]}"):
            command, environment = self._debootstrap()
            flags = ["--variant=minbase", f"--include={LIBRARIES}"]
            _quietly([*command, *flags, SUITE, str(self._root), mirror], env=environment)
            shutil.copytree(
                prefix[0],
                self._root / "usr/local",
                ignore=_packages,
                symlinks=True,
                dirs_exist_ok=True,
            )
            self._chroot("true", ["ldconfig"], {"PATH": PATH}, "0:0")
            shutil.copy("/etc/resolv.conf", self._root / "etc/resolv.conf")
            (self._root / "wheels").mkdir()

    def _debootstrap(self) -> tuple[list[str], dict[str, str]]:
        """The command, unpacked from its package where it isn't installed."""
        if shutil.which("debootstrap"):
            return ["debootstrap"], dict(os.environ)
        folder = self._work / "debootstrap"
        folder.mkdir()
        _quietly(["apt-get", "download", "debootstrap"], cwd=folder)
        _quietly(["dpkg", "-x", *map(str, folder.glob("*.deb")), str(folder)])
        library = folder / "usr/share/debootstrap"
        return [str(folder / "usr/sbin/debootstrap")], {
            **os.environ,
            "DEBOOTSTRAP_DIR": str(library),
        }

    def download_wheels(self) -> None:
        """The locked packages, by the host's pip: only it knows how to reach an index."""
        with _step("download the locked packages"):
            flags = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
            target = ["--dest", str(self._work / "wheels"), "--requirement", str(LOCK)]
            _quietly([self._python, "-m", "pip", "download", *flags, *target])

    def build(self, wanted: Sequence[Instruction]) -> None:
        """Carry out the instructions. Raises TrialError where one fails, or is not known here."""
        for instruction in wanted:
            rest = instruction.rest
            with _step(f"{instruction.keyword} {rest[:80]}"):
                match instruction.keyword:
                    case "ARG":
                        name, _, value = rest.partition("=")
                        self._arguments[name] = value
                    case "ENV":
                        pairs = (word.partition("=") for word in shlex.split(rest))
                        self._environment |= {name: value for name, _, value in pairs}
                    case "RUN":
                        self._run(["/bin/sh", "-c", rest])
                    case "COPY":
                        self._copy(rest)
                    case "ADD":
                        self._add(rest)
                    case "USER":
                        self._user = rest
                    case "ENTRYPOINT":
                        self._entry_point = json.loads(rest)
                    case keyword if keyword not in _OF_DOCKER:
                        raise TrialError(f"{instruction.keyword} is not known here")

    def start(self) -> None:
        """As ECS runs it: its user, a root that can't be written to, an empty /tmp."""
        with _step("who it is, and where it may write"):
            said = self._as_container(
                ["sh", "-c", "id -u; touch /tmp/a && touch /x 2>/dev/null || echo read-only"]
            )
            if said.split()[:2] != [self._user.partition(":")[0], "read-only"]:
                raise TrialError(f"it is to be {self._user} on a read-only root, but: {said}")
        with _step("entry point --help"):
            sys.stdout.write(self._as_container([*self._entry_point, "--help"]))
        with _step("mlflow --version"):
            sys.stdout.write(self._as_container(["mlflow", "--version"]))
        with _step("entry point check, without any setting"):
            sys.stdout.write(self._as_container([*self._entry_point, "check"], code=2))

    def _copy(self, rest: str) -> None:
        *patterns, target = [word for word in rest.split() if not word.startswith("--")]
        files = list_files("server")
        place = self._root / target.lstrip("/")
        for pattern in patterns:
            found = [path for name, path in files.items() if Path(name).match(pattern)]
            if not found:
                raise TrialError(f"COPY {pattern}: the image's sources have no such file")
            for path in found:
                into = place / path.name if target.endswith("/") else place
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, into)

    def _add(self, rest: str) -> None:
        address, target = [word for word in rest.split() if not word.startswith("--")]
        for name, value in self._arguments.items():
            address = address.replace(f"${{{name}}}", value)
        place = self._root / target.lstrip("/")
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                place.write_bytes(answer.read())
        except urllib.error.URLError as err:
            # Said aloud: the next instruction then proves nothing about RDS's own file.
            sys.stdout.write(f"  {address}: {err}; an authority made here stands in\n")
            self._make_authority(place)
        place.chmod(0o644)

    def _make_authority(self, place: Path) -> None:
        subject = "/CN=Amazon RDS stand-in Root CA"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        out = ["-keyout", os.devnull, "-out", str(place)]
        _quietly(["openssl", "req", "-x509", "-days", "2", "-subj", subject, *key, *out])

    def _run(self, command: Sequence[str]) -> None:
        # pip takes the locked files from here; its instruction stays as it is.
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS}
        self._chroot(
            f"mount --bind {shlex.quote(str(self._work / 'wheels'))} $ROOT{WHEELS}",
            command,
            {**self._environment, **self._arguments, **pip},
            "0:0",
        )

    def _as_container(self, command: Sequence[str], code: int = 0) -> str:
        mounts = "mount -o remount,bind,ro $ROOT && mount -t tmpfs -o mode=1777 tmpfs $ROOT/tmp"
        return self._chroot(mounts, command, self._environment, self._user, code)

    def _chroot(
        self,
        mounts: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        user: str,
        code: int = 0,
    ) -> str:
        """What the command printed; all mounts are gone with its mount namespace."""
        script = (
            "mount --bind $ROOT $ROOT && mount -t proc proc $ROOT/proc && "
            f"mount --rbind /dev $ROOT/dev && {mounts} && "
            'exec chroot --userspec="$AS" "$ROOT" /usr/bin/env -i "$@"'
        )
        variables = [f"{name}={value}" for name, value in environment.items()]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *variables, *command],
            env={"PATH": PATH, "ROOT": str(self._root), "AS": user},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != code:
            raise TrialError(
                f"{shlex.join(command)[:200]}: exit code {done.returncode}, not {code}\n"
                f"{done.stdout[-3000:]}"
            )
        return done.stdout


def _packages(folder: str, names: list[str]) -> list[str]:
    """Of a Python's installed packages, all but pip: Docker's image has no others."""
    if Path(folder).name != "site-packages":
        return []
    return [name for name in names if not name.startswith("pip")]


@contextlib.contextmanager
def _step(title: str) -> Iterator[None]:
    """Says what was done, and how long it took."""
    started = time.monotonic()
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    finally:
        sys.stdout.write(f"{outcome:6} {time.monotonic() - started:6.1f} s  {title}\n")
        sys.stdout.flush()


def _quietly(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run it; what it printed is told only when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TrialError(f"{shlex.join(command)[:200]} failed:\n{done.stdout[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
