"""Folders that are made once and kept, for requirements of jobs and of builds.

A layer is named by a digest of all that decides its content. It is made beside its place and put
there by a rename, under a lock: it is complete or absent. The standard library is all there is.
"""

import contextlib
import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

LAST_LINES = 20


def kept_layer(
    layers_dir: Path,
    facts: Sequence[str],
    make: Callable[[Path], Path],
    on_wait: Callable[[], object] = lambda: None,
) -> tuple[Path, bool]:
    """The layer that `facts` name, and whether it was there.

    `make` gets an empty folder and gives the finished layer below it; what it raises is raised, and
    nothing is kept. `on_wait` is called when another process makes a layer of the name.
    """
    key = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]
    layer = layers_dir / key
    if layer.is_dir():
        return layer, True
    layers_dir.mkdir(parents=True, exist_ok=True)
    with file_lock(layers_dir / f"{key}.lock", on_wait):
        if not layer.is_dir():
            for leftover in layers_dir.glob(f".{key}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=layers_dir))
            try:
                make(scratch).rename(layer)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return layer, False


@contextlib.contextmanager
def file_lock(path: Path, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
