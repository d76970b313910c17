"""A step's folder as one file that `python3` runs: what a ScriptProcessor can upload.

The SDK uploads a single script under the digest of its content; for a folder it has only archives
whose names hold the time. Python runs a zip file that has a `__main__.py` (Python's documentation,
"zipapp"), and the same modules give the same bytes.
"""

import atexit
import shutil
import tempfile
import zipfile
from pathlib import Path

# The earliest that a zip file can hold; the same for all, or the digest would change with the hour.
_TIME = (1980, 1, 1, 0, 0, 0)


def pack_step(folder: Path, main_module: str) -> Path:
    """`<main_module>.pyz` of the folder's modules, which runs `main()`; gone when Python ends."""
    scratch = Path(tempfile.mkdtemp(prefix="step-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    archive = scratch / f"{main_module}.pyz"
    start = f"import sys\n\nimport {main_module}\n\nsys.exit({main_module}.main())\n"
    texts = {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, text in {"__main__.py": start.encode(), **texts}.items():
            zipped.writestr(zipfile.ZipInfo(name, _TIME), text)
    return archive
