"""Image URI -> what runs for it on this machine.

    sagemaker-scikit-learn:1.9-0   an environment built once from sagemaker-sklearn.txt here
    an image in the emulator's ECR what its annotations say (image.py): an environment that is here,
                                   read-only, and a layer with what else the model requires

`python -m local_aws.containers.images` builds the first ahead of time. Images and layers live in a
cache folder (cache.py) that outlives the state.
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
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import ClientError
from packaging.requirements import InvalidRequirement, Requirement

from local_aws.containers.cache import default_cache_dir, make_cache_dir
from local_aws.containers.container import ContainerEnvironment, Isolation, detect_isolation
from local_aws.containers.image import Image, read_annotations
from local_aws.containers.job_pip.environment import FAILURE, SETTINGS, Environment, Interpreter
from local_aws.containers.job_pip.layer_cache import file_lock
from local_aws.containers.path_rewriting import shell_safe
from local_aws.errors import AwsError, LocalAwsError
from local_aws.own_aws import OwnAws

logger = logging.getLogger(__name__)

JOB_IMAGE_LOCK = Path(__file__).with_name("sagemaker-sklearn.txt")
JOB_IMAGE_NAME = "sagemaker-scikit-learn-1.9-0"
# What pip needs from the developer's environment to reach an index; jobs themselves never see it.
PIP_VARIABLES = re.compile(
    r"PIP_(?!TARGET$|PREFIX$|ROOT$|USER$|REQUIREMENT$|CONSTRAINT$|PYTHON$|DRY_RUN$)\w+|HOME"
    r"|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE",
    re.IGNORECASE,
)


class ImageError(LocalAwsError):
    """An image's environment, or requirements on top of it, could not be installed."""


JOB_IMAGE = Image(name="sagemaker-scikit-learn:1.9-0")
_IN_REGISTRY = r"(?P<repository>[^:@]+)(:(?P<tag>[^:@]+))?(@(?P<digest>[^@]+))?"
_JOB_IMAGE_URI = re.compile(r"(^|/)sagemaker-scikit-learn:1\.9-0(-|$)")


class Images:
    """The images that run here. Safe to use from several threads.

    `own` asks its ECR (None: only the job image is known); `sklearn_python` runs the jobs instead
    of the image's own environment; `cache_dir` holds environments and layers; `isolation` is how
    containers get their /opt/ml (default: the best that works here).
    """

    def __init__(
        self,
        own: OwnAws | None = None,
        sklearn_python: Path | None = None,
        *,
        cache_dir: Path | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self._own = own
        self.cache_dir = (cache_dir or default_cache_dir()).absolute()
        self._sklearn_python = sklearn_python
        self._isolation = isolation
        self._lock = threading.Lock()
        self._interpreters: dict[Path | None, Interpreter] = {}

    def find(self, image_uri: str, role_arn: str | None = None) -> Image:
        """The image of that URI, asked for under the role that is to run it; AwsError when it is
        none that runs here."""
        if _JOB_IMAGE_URI.search(image_uri):
            return JOB_IMAGE
        registry = ""
        if self._own is not None:
            registry = f"{self._own.account}.dkr.ecr.{self._own.region}.amazonaws.com"
            found = re.fullmatch(rf"{re.escape(registry)}/{_IN_REGISTRY}", image_uri)
            if found:
                return read_annotations(image_uri, self._manifest(image_uri, found, role_arn))
        raise AwsError(
            "ValidationException",
            f"local_aws cannot run the image {image_uri}. It runs sagemaker-scikit-learn:1.9-0 "
            f"(jobs) and images in its own registry{registry and f' {registry}'} with the "
            "annotation local-aws.command (endpoints).",
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
        if requirements is not None and not (
            image.python and all_satisfied(requirements.read_text(), environment.image)
        ):
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

    def _manifest(self, uri: str, named: re.Match[str], role_arn: str | None) -> str:
        assert self._own is not None
        image_id = {"imageDigest": named["digest"]} if named["digest"] else {}
        if named["tag"] or not image_id:
            image_id["imageTag"] = named["tag"] or "latest"
        try:
            answer = self._own.client("ecr", role_arn).batch_get_image(
                repositoryName=named["repository"], imageIds=[image_id]
            )
        except ClientError as err:
            why = err.response["Error"]["Message"]
        else:
            if answer["images"]:
                return str(answer["images"][0]["imageManifest"])
            why = answer["failures"][0]["failureReason"]
        raise AwsError("ValidationException", f"local_aws cannot run the image {uri}: {why}")

    def _interpreter(self, image: Image) -> Interpreter:
        with self._lock:
            if image.python not in self._interpreters:
                python = image.python or self._sklearn_python
                if python is None:
                    python = build_job_image(JOB_IMAGE_LOCK, self.cache_dir)
                try:
                    self._interpreters[image.python] = Interpreter.of(python)
                except (OSError, subprocess.CalledProcessError, ValueError) as err:
                    raise ImageError(f"{python} of the image {image.name} is no Python") from err
            return self._interpreters[image.python]


def all_satisfied(requirements: str, interpreter: Interpreter) -> bool:
    """Whether the interpreter's environment has every distribution that is named, in a wanted
    version."""
    facts = {
        "python_version": interpreter.minor_version,
        "python_full_version": interpreter.version,
    }
    folders = list(interpreter.site_packages)
    for line in requirements.splitlines():
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not text:
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            return False
        if wanted.marker is not None and not wanted.marker.evaluate(facts):
            continue
        context = importlib.metadata.DistributionFinder.Context(name=wanted.name, path=folders)
        found = next(iter(importlib.metadata.MetadataPathFinder.find_distributions(context)), None)
        if found is None or wanted.url or wanted.extras:
            return False
        if not wanted.specifier.contains(found.version, prereleases=True):
            return False
    return True


def build_job_image(lock_path: Path, cache_dir: Path) -> Path:
    """The interpreter of the job image's environment, built from the lock the first time.

    The folder's name holds a digest of the lock and of the Python version; it is complete or
    absent, whoever else builds it at the same time. Raises ImageError with the installer's last
    lines.
    """
    if not lock_path.is_file():
        raise ImageError(f"the job image needs {lock_path}, which is missing")
    version = f"{sys.implementation.name} {platform.python_version()}"
    facts = f"{version} {sys.platform} {lock_path.read_text()}"
    digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
    folder = cache_dir / f"{JOB_IMAGE_NAME}-{digest}"
    python = folder / "bin/python"
    if python.exists():
        return python
    make_cache_dir(cache_dir)
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
        images = Images(None, python, cache_dir=cache_dir)
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
        "--cache-dir", type=Path, default=default_cache_dir(), help="default: %(default)s"
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
    except LocalAwsError as err:
        logger.error("%s", err)
        return err.exit_code
    sys.stdout.write(f"{python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
