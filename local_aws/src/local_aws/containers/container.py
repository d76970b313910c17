"""A "container": a process with a clean environment that sees `root/opt/ml` as /opt/ml.

namespace   in a mount namespace /opt/ml is that folder (mount_namespace.py): Linux, where allowed
rewrite     arguments, environment and scripts name that folder instead (path_rewriting.py)
"""

import dataclasses
import enum
import functools
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_aws.containers import path_rewriting
from local_aws.containers.supervision import StartError, SupervisedProcess, start_supervised

SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Isolation(enum.Enum):
    """How a container gets its own /opt/ml."""

    NAMESPACE = "namespace"
    REWRITE = "rewrite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContainerEnvironment:
    """What an image brings to a container: its interpreter, its PATH and its variables."""

    python: Path
    path: tuple[str, ...]
    variables: Mapping[str, str]
    isolation: Isolation


def start_container(
    image: ContainerEnvironment,
    argv: Sequence[str],
    *,
    root: Path,
    environment: Mapping[str, str],
    log_path: Path,
    limit_seconds: float | None = None,
) -> SupervisedProcess:
    """Start `argv` as the only process of a container whose /opt/ml is `root/opt/ml`.

    It gets the image's variables, HOME, LANG, PATH, TMPDIR and `environment`; nothing of the
    caller's own. A relative program name is looked up on the image's PATH. Raises StartError when
    it cannot be executed.
    """
    root = path_rewriting.shell_safe(root.absolute())
    opt_ml = root / "opt/ml"
    opt_ml.mkdir(parents=True, exist_ok=True)
    for name in ("home", "tmp"):
        (root / name).mkdir(exist_ok=True)
    variables = {
        "HOME": str(root / "home"),
        "LANG": "C.UTF-8",
        "PATH": ":".join((*image.path, *SYSTEM_PATH)),
        "TMPDIR": str(root / "tmp"),
        **image.variables,
        **environment,
    }
    mounts = None
    if image.isolation is Isolation.NAMESPACE:
        mounts = _mounts(root)
    else:
        argv = [path_rewriting.rewrite(word, opt_ml) for word in argv]
        variables = {
            name: path_rewriting.rewrite(value, opt_ml) for name, value in variables.items()
        }
        path_rewriting.rewrite_files(opt_ml)
    return start_supervised(
        argv,
        environment=variables,
        cwd=root / "home",
        log_path=log_path,
        limit_seconds=limit_seconds,
        mounts=mounts,
    )


@functools.cache
def detect_isolation() -> Isolation:
    """The better of the two ways that works on this system; tried once."""
    if not sys.platform.startswith("linux"):
        return Isolation.REWRITE
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "opt/ml/probe").mkdir(parents=True)
        try:
            probe = start_supervised(
                ["/bin/sh", "-c", "test -d /opt/ml/probe"],
                environment={},
                cwd=root,
                log_path=root / "log",
                limit_seconds=10,
                mounts=_mounts(root),
            )
        except StartError:
            return Isolation.REWRITE
        return Isolation.NAMESPACE if probe.wait() == 0 else Isolation.REWRITE


def _mounts(root: Path) -> Mapping[str, str]:
    staging = root / "opt.staging"
    staging.mkdir(exist_ok=True)
    return {"staging": str(staging), "folder": "/opt", "name": "ml", "source": str(root / "opt/ml")}
