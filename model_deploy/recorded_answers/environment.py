"""The model's own environment: its Python, and what its requirements.txt asks for, made by uv.

    python_env.yaml ─▶ uv venv      the Python it names, else the one that runs this, which is told
                       uv pip install -r requirements.txt (and mlflow, if it names none)
                       uv pip freeze ─▶ what that became today

The inference image does the same when a container starts (mlflow.models.container,
`_install_pyfunc_deps`). Packages that have no wheel run their own code to be built. So uv's
variables hold no credentials but those of its indexes, and it installs apart from this machine's as
far as that goes (isolation): where namespaces are allowed it sees no other process and of the home
only its cache, its settings, .netrc and programs; as root without them, it can't look into other
processes. Elsewhere what it builds can read what its user can, which is told.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deploy.errors import ConfigError, DeployError, ModelNotDeployable, ServiceError
from model_deploy.recorded_answers.isolation import list_hidden

logger = logging.getLogger(__name__)

INSTALL_SECONDS = 1200.0
TELL_SECONDS = 15.0

_LAST_LINES = 12
# What of the home an installation needs to see: settings, indexes' logins, compilers.
_SEEN_BY_UV = (".config/uv", ".local/share/uv", ".netrc", ".rustup")
# What uv may know: where indexes and its cache are. It runs the code of packages without a wheel.
_PASSED_ON = re.compile(
    r"UV_(?!SYSTEM_PYTHON$|PYTHON$|PROJECT|INTERNAL__PARENT_INTERPRETER$)\w+|HOME|PATH|LANG|TMPDIR"
    r"|XDG_\w+|USERPROFILE|NETRC|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|SSH_AUTH_SOCK",
    re.IGNORECASE,
)
# uv's words where the index, not the model, is at fault.
_UNREACHABLE = re.compile(
    r"error sending request|dns error|tcp connect error|connection (refused|reset|closed)"
    r"|failed to connect|timed? ?out|network (was disabled|connectivity is disabled|is unreachable)"
    r"|HTTP status (server error|client error \((401|403|407|429))|certificate"
    r"|(401|403) (Unauthorized|Forbidden)",
    re.IGNORECASE,
)
_LOGIN_IN_URL = re.compile(r"(?<=//)[^/@\s]+@")
_MLFLOW = re.compile(r"\s*mlflow(-skinny)?\s*(\[[^]]*])?\s*([=<>!~@;#].*)?", re.IGNORECASE)
_NAMES_SEEN = re.compile(r"UV_\w+|PATH|SSL_CERT_(FILE|DIR)|NETRC")
_ISOLATION = Path(__file__).with_name("isolation.py")
_REPORT = "kept_from.json"
WAIVE = 'or say in deploy.json why it may go without: "accept": {"no_offline_comparison": "reason"}'


@dataclass(frozen=True, kw_only=True)
class ModelEnvironment:
    """An environment that holds a model's packages, and what is to be remembered of it."""

    python: Path
    python_version: str
    python_wanted: str
    packages: Sequence[str]
    installer: str

    def to_record(self) -> dict[str, Any]:
        """For the plan."""
        return {
            "python": self.python_version,
            "python_wanted": self.python_wanted,
            "packages": list(self.packages),
            "installer": self.installer,
        }


def find_uv() -> Path:
    """The `uv` on PATH, which knows the build's indexes and cache, else the package's.

    Raises ConfigError where there is none.
    """
    found = shutil.which("uv")
    if found:
        return Path(found)
    try:
        import uv

        return Path(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as err:
        raise ConfigError(
            "the machine", ["there is no uv, which makes the model's environment: `pip install uv`"]
        ) from err


def make_environment(
    model_folder: Path,
    description: Mapping[str, Any],
    folder: Path,
    uv: Path,
    model: str = "the model",
) -> ModelEnvironment:
    """The model's environment in `folder`, which must not exist; `model` is how messages call it.

    Raises ModelNotDeployable where the model's requirements can not be installed, ServiceError
    where an index can not be reached.
    """
    requirements = model_folder / "requirements.txt"
    if not requirements.is_file():
        raise ModelNotDeployable(
            model,
            ["it has no requirements.txt, so no server can start. Log it again."],
        )
    wanted, build_packages = _read_python_env(model_folder)
    started = time.monotonic()
    _make_venv(uv, folder, wanted)
    python = folder / "bin" / "python"
    version = _ask(python, "import platform; print(platform.python_version())")
    if wanted and _minor(wanted) != _minor(version):
        logger.warning(
            "the model wants Python %s, this machine has none: its answers are recorded with %s",
            wanted,
            version,
        )
    command = [str(uv), "pip", "install", "--quiet", "--python", str(python), "--link-mode", "copy"]
    words = [*build_packages, *_missing_mlflow(requirements, description)]
    logger.info("installing the model's requirements into an environment of its own")
    command += [*words, "-r", str(requirements)]
    apart = folder.parent / f"{folder.name}-apart"
    apart.mkdir()
    failure = _run(_set_apart(command, model_folder, folder, apart), model_folder)
    if failure:
        raise _explained(failure, model, wanted, version)
    packages = _freeze(uv, model_folder, folder, apart)
    _tell_of_credentials(apart)
    seconds = time.monotonic() - started
    logger.info("%d packages, Python %s, %.0f s", len(packages), version, seconds)
    return ModelEnvironment(
        python=python,
        python_version=version,
        python_wanted=wanted,
        packages=packages,
        installer=_say(uv, "--version"),
    )


def _read_python_env(model_folder: Path) -> tuple[str, list[str]]:
    """The Python that the model was logged with, and what MLflow installs before its packages."""
    import yaml

    try:
        text = (model_folder / "python_env.yaml").read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        wanted = str(document.get("python") or "")
        packages = [str(each) for each in document.get("build_dependencies") or []]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError):
        return "", []
    return (wanted if re.fullmatch(r"\d+\.\d+[\w.]*", wanted) else ""), packages


def _set_apart(command: Sequence[str], model_folder: Path, folder: Path, apart: Path) -> list[str]:
    """The command by the program that keeps it from credentials; `apart` is for what that says."""
    home, uv = Path.home(), Path(command[0])
    base = Path(os.path.realpath(folder / "bin" / "python")).parent.parent
    seen = [home / name for name in _SEEN_BY_UV]
    for name, value in os.environ.items():
        if _NAMES_SEEN.fullmatch(name):
            seen += [Path(each) for each in value.split(os.pathsep)]
        elif name.startswith("XDG_"):
            seen.append(Path(value) / "uv")
    named = [each for each in seen if each.is_absolute() and not home.is_relative_to(each)]
    kept = [folder.parent, model_folder, uv, base, *named]
    hidden = [home.resolve(), *list_hidden(os.environ)]
    return [
        *(sys.executable, "-I", "-B", str(_ISOLATION), "--install"),
        *(_listed(paths) for paths in (hidden, kept)),
        *(str(apart / _REPORT), str(model_folder), *command),
    ]


def _listed(paths: Sequence[object]) -> str:
    return "\n".join(str(path) for path in paths)


def _tell_of_credentials(apart: Path) -> None:
    try:
        kept = json.loads((apart / _REPORT).read_text(encoding="utf-8"))["credentials"]
    except (OSError, ValueError, KeyError, TypeError):
        kept = False
    if kept is not True:
        logger.warning(
            "this machine could not keep uv from credentials: a package without a wheel, which "
            "runs code to be built, could have read them"
        )


def _make_venv(uv: Path, folder: Path, wanted: str) -> None:
    command = [str(uv), "venv", "--quiet", "--no-project", "--no-config", str(folder)]
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted and _minor(wanted) != here:
        other = ["--no-python-downloads", "--python", _minor(wanted)]
        if not _run([*command, *other], folder.parent):
            return
    failure = _run([*command, "--python", sys.executable], folder.parent)
    if failure:
        raise ConfigError("the machine", [f"uv can't make an environment: {failure}"])


def _missing_mlflow(requirements: Path, description: Mapping[str, Any]) -> list[str]:
    """MLflow, which the inference image brings to a model whose requirements don't name it."""
    lines = requirements.read_text(encoding="utf-8", errors="replace").splitlines()
    if any(_MLFLOW.fullmatch(line) or "/mlflow" in line for line in lines):
        return []
    version = str(description.get("mlflow_version") or "")
    return [f"mlflow=={version}" if re.fullmatch(r"\d[\w.]*", version) else "mlflow"]


def _run(command: Sequence[str], folder: Path) -> str:
    """Nothing, or the last meaningful lines of what uv said; a line is logged while it works."""
    variables = {k: v for k, v in os.environ.items() if _PASSED_ON.fullmatch(k)}
    # Not `with`: nothing waits for a child that a package's own build has left behind.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**variables, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = _wait(process)
        finally:
            end_group(process)
        if code == 0:
            return ""
        told.seek(0)
        lines = [line.rstrip() for line in told.read().splitlines() if line.strip()]
    if code is None:
        lines.append(f"not done after {INSTALL_SECONDS:.0f} s")
    return _LOGIN_IN_URL.sub("***@", "\n".join(lines[-_LAST_LINES:])) or f"exit code {code}"


def _wait(process: subprocess.Popen[Any]) -> int | None:
    started = time.monotonic()
    while True:
        try:
            return process.wait(timeout=TELL_SECONDS)
        except subprocess.TimeoutExpired:
            seconds = time.monotonic() - started
            logger.info("uv still works (%.0f s)", seconds)
            if seconds > INSTALL_SECONDS:
                return None


def end_group(process: subprocess.Popen[Any], patience_seconds: float = 5.0) -> None:
    """End a process that leads a session and all that stayed in it."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=patience_seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _explained(failure: str, model: str, wanted: str, version: str) -> DeployError:
    indented = failure.replace("\n", "\n    ")
    if _UNREACHABLE.search(failure):
        return ServiceError(
            "a package index could not be reached for the model's requirements:\n    "
            f"{indented}\n  Check the network and UV_INDEX_URL, then build again."
        )
    python = ""
    if wanted and _minor(wanted) != _minor(version):
        python = (
            f" It was tried with Python {version}, as this machine has no {_minor(wanted)}, which "
            "the model names; the build's machine may need it."
        )
    return ModelNotDeployable(
        model,
        [
            f"its requirements.txt can not be installed, so no server can start:\n    {indented}\n"
            f"    Log it with requirements that can be installed.{python}"
        ],
    )


def _freeze(uv: Path, model_folder: Path, folder: Path, apart: Path) -> list[str]:
    """`name==version` of each package, or where it is from, sorted.

    It asks the environment's Python, which may run code of the packages as it starts (*.pth).
    """
    words = ["pip", "freeze", "--quiet", "--python", str(folder / "bin" / "python")]
    program, *words = _set_apart([str(uv), *words], model_folder, folder, apart)
    text = _say(Path(program), *words)
    return sorted(_LOGIN_IN_URL.sub("***@", line) for line in text.splitlines() if line.strip())


def _say(program: Path, *words: str) -> str:
    variables = {k: v for k, v in os.environ.items() if _PASSED_ON.fullmatch(k)}
    command = [str(program), *words]
    answer = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _ask(python: Path, code: str) -> str:
    return _say(python, "-I", "-c", code)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
