"""Image URI -> what runs for it on this machine.

    sagemaker-scikit-learn:1.9-0   an environment built once from requirements/sagemaker-sklearn.txt
    mlflow-pyfunc                  the environment that runs local_aws, read-only, a layer with what
                                   else the model requires, and the server in the folder serving/

`python -m local_aws.containers.images` builds the first ahead of time. Images and layers live in a
cache folder that outlives the state.
"""

import argparse
import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from local_aws.containers.container import ContainerEnvironment, Isolation, detect_isolation
from local_aws.containers.job_pip.environment import FAILURE, SETTINGS, Environment, Interpreter
from local_aws.containers.job_pip.layer_cache import file_lock
from local_aws.containers.path_rewriting import shell_safe
from local_aws.errors import AwsError, LocalAwsError

logger = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[4]
# What the inference image holds besides MLflow; started by its path, as in the image.
SERVING_DIR = PROJECT / "serving"
JOB_IMAGE_LOCK = PROJECT / "requirements/sagemaker-sklearn.txt"
DEFAULT_CACHE_DIR = PROJECT / ".venv-images"
JOB_IMAGE_NAME = "sagemaker-scikit-learn-1.9-0"
# What pip needs from the developer's environment to reach an index; jobs themselves never see it.
PIP_VARIABLES = re.compile(
    r"PIP_(?!TARGET$|PREFIX$|ROOT$|USER$|REQUIREMENT$|CONSTRAINT$|PYTHON$|DRY_RUN$)\w+|HOME"
    r"|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE",
    re.IGNORECASE,
)


class ImageError(LocalAwsError):
    """An image's environment, or requirements on top of it, could not be installed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image:
    """A known container image; `variables` are those its containers start with."""

    name: str
    uri: re.Pattern[str]
    variables: Mapping[str, str]
    serves: bool

    def serve_command(self, port: int) -> list[str]:
        """What answers /ping and /invocations on 127.0.0.1 for the model in /opt/ml/model."""
        if not self.serves:
            raise AwsError("ValidationException", f"The image {self.name} has no model server")
        server = ["--app-dir", str(SERVING_DIR.parent), f"{SERVING_DIR.name}.app:app"]
        return ["python3", "-m", "uvicorn", *server, "--host", "127.0.0.1", "--port", str(port)]


JOB_IMAGE = Image(
    name=JOB_IMAGE_NAME,
    uri=re.compile(r"(^|/)sagemaker-scikit-learn:1\.9-0(-|$)"),
    variables={},
    serves=False,
)
SERVING_IMAGE = Image(
    name="mlflow-pyfunc",
    uri=re.compile(r"(^|/)mlflow-pyfunc(:|@|$)"),
    variables={"__pyfunc_model_path__": "/opt/ml/model", "MLFLOW_DISABLE_TELEMETRY": "true"},
    serves=True,
)


class Images:
    """The known images. Safe to use from several threads.

    `sklearn_python` runs the jobs instead of the image's own environment; `cache_dir` holds
    environments and layers; `isolation` is how containers get their /opt/ml (default: the best that
    works here).
    """

    def __init__(
        self,
        state_dir: Path,
        sklearn_python: Path | None = None,
        *,
        cache_dir: Path = DEFAULT_CACHE_DIR,
        isolation: Isolation | None = None,
    ) -> None:
        self.state_dir = state_dir
        self.cache_dir = cache_dir.absolute()
        self._sklearn_python = sklearn_python
        self._isolation = isolation
        self._lock = threading.Lock()
        self._interpreters: dict[str, Interpreter] = {}

    def find(self, image_uri: str) -> Image:
        """The image of that URI; AwsError when it is none that runs here."""
        for image in (JOB_IMAGE, SERVING_IMAGE):
            if image.uri.search(image_uri):
                return image
        raise AwsError(
            "ValidationException",
            f"local_aws cannot run the image {image_uri}. "
            "It runs sagemaker-scikit-learn:1.9-0 (jobs) and mlflow-pyfunc (endpoints).",
        )

    def prepare(
        self, image: Image, requirements: Path | None, scratch: Path
    ) -> ContainerEnvironment:
        """A throwaway environment `scratch/env` on the image, holding also what `requirements` asks
        for.

        Builds the image when it is missing. Raises ImageError when something cannot be installed.
        """
        environment = Environment(shell_safe(scratch.absolute()) / "env", self._interpreter(image))
        if environment.folder.exists():
            shutil.rmtree(environment.folder)
        environment.make()
        environment.use_job_pip()
        settings = {
            "image": dataclasses.asdict(environment.image),
            "layers_dir": str(self.cache_dir / "layers"),
            "pip_variables": {
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_ROOT_USER_ACTION": "ignore",
                "PIP_NO_INPUT": "1",
                **{k: v for k, v in os.environ.items() if PIP_VARIABLES.fullmatch(k)},
            },
        }
        settings_path = environment.folder / SETTINGS
        settings_path.touch(mode=0o600)  # a proxy's or an index's address may hold a password
        settings_path.write_text(json.dumps(settings))
        if requirements is not None and not self._satisfied(image, requirements):
            _install(environment, requirements)
        return ContainerEnvironment(
            python=environment.python,
            path=(str(environment.python.parent),),
            variables={
                # Images and layers come compiled, and nothing may write into them.
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                **image.variables,
            },
            isolation=self._isolation or detect_isolation(),
        )

    def _interpreter(self, image: Image) -> Interpreter:
        with self._lock:
            if image.name not in self._interpreters:
                if image is SERVING_IMAGE:
                    python = Path(sys.executable)
                else:
                    python = self._sklearn_python or build_job_image(JOB_IMAGE_LOCK, self.cache_dir)
                self._interpreters[image.name] = Interpreter.of(python)
            return self._interpreters[image.name]

    def _satisfied(self, image: Image, requirements: Path) -> bool:
        """Whether nothing has to be installed; known for the environment of local_aws only."""
        return image is SERVING_IMAGE and all_satisfied(requirements.read_text())


def all_satisfied(requirements: str) -> bool:
    """Whether this interpreter has every distribution that is named, in a wanted version."""
    for line in requirements.splitlines():
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not text:
            continue
        try:
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            version = importlib.metadata.version(wanted.name)
        except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
            return False
        if wanted.url or wanted.extras or not wanted.specifier.contains(version, prereleases=True):
            return False
    return True


def build_job_image(lock_path: Path, cache_dir: Path) -> Path:
    """The interpreter of the job image's environment, built from the lock the first time.

    The folder's name holds a digest of the lock and of the Python version; it is complete or
    absent, whoever else builds it at the same time. Raises ImageError with the installer's last
    lines.
    """
    if not lock_path.is_file():
        raise ImageError(f"the job image needs {lock_path}, which is missing; run from a checkout")
    version = f"{sys.implementation.name} {platform.python_version()}"
    facts = f"{version} {sys.platform} {lock_path.read_text()}"
    digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
    folder = cache_dir / f"{JOB_IMAGE_NAME}-{digest}"
    python = folder / "bin/python"
    if python.exists():
        return python
    cache_dir.mkdir(parents=True, exist_ok=True)
    with file_lock(cache_dir / f"{folder.name}.lock"):
        if not python.exists():
            _build_image(lock_path, folder)
    return python


def build_layer(python: Path, requirements: Path, cache_dir: Path) -> None:
    """Make sure that jobs on the image of `python` find the requirements in a cached layer.

    Raises ImageError with pip's words when they can't be installed.
    """
    if not requirements.is_file():
        raise ImageError(f"there is no requirements file {requirements}")
    with tempfile.TemporaryDirectory() as scratch:
        images = Images(Path(scratch), python, cache_dir=cache_dir)
        logger.info("Installing %s into a layer, unless it is there", requirements)
        images.prepare(JOB_IMAGE, requirements.absolute(), Path(scratch))


def _build_image(lock_path: Path, folder: Path) -> None:
    started = time.monotonic()
    logger.info("Building the job image %s from %s (once)", folder.name, lock_path.name)
    for leftover in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        target = scratch / "env"
        uv = [sys.executable, "-m", "uv", "--quiet"]
        _run_uv([*uv, "venv", "--relocatable", "--python", sys.executable, str(target)])
        sync = [*uv, "pip", "sync", "--require-hashes", "--compile-bytecode"]
        _run_uv([*sync, "--python", str(target / "bin/python"), str(lock_path)])
        shutil.rmtree(folder, ignore_errors=True)  # there if its interpreter has gone
        target.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    logger.info("Built the job image in %.0f s", time.monotonic() - started)


def _run_uv(command: Sequence[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        last_lines = "\n".join(answer.stderr.strip().splitlines()[-15:])
        raise ImageError(f"the job image could not be built:\n{last_lines}")


def _install(environment: Environment, requirements: Path) -> None:
    """Install requirements as a job would: by the environment's pip, which knows the layers."""
    answer = subprocess.run(
        [str(environment.python), "-m", "pip", "install", "-r", str(requirements)],
        cwd=requirements.parent,
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    logger.info("%s", answer.stdout.strip().rpartition("\n")[2])
    if answer.returncode:
        failure = environment.folder / FAILURE
        reason = failure.read_text() if failure.exists() else answer.stdout + answer.stderr
        raise ImageError(f"could not install {requirements.name}: {reason.strip()[-1000:]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Build the job image, and layers on top of it, ahead of time; say where the image is."""
    parser = argparse.ArgumentParser(
        prog="python -m local_aws.containers.images", description=main.__doc__
    )
    parser.add_argument("--lock", type=Path, default=JOB_IMAGE_LOCK, help="default: %(default)s")
    parser.add_argument(
        "--cache-dir", type=Path, default=DEFAULT_CACHE_DIR, help="default: %(default)s"
    )
    parser.add_argument(
        "--requirements",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a job's requirements to install into a layer too; may be repeated (default: none)",
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        python = build_job_image(arguments.lock, arguments.cache_dir)
        for requirements in arguments.requirements:
            build_layer(python, requirements, arguments.cache_dir)
    except ImageError as err:
        logger.error("%s", err)
        return err.exit_code
    sys.stdout.write(f"{python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
