"""/opt/ml without a mount namespace: the real folder's path wherever a container reads /opt/ml."""

import hashlib
import re
import tempfile
from pathlib import Path

OPT_ML = re.compile(r"(?<![\w.}-])/opt/ml(?![\w.-])")
SCRIPT_SUFFIXES = frozenset({".py", ".sh"})
SETTINGS_SUFFIXES = frozenset({".cfg", ".env", ".ini", ".json", ".toml", ".txt", ".yaml", ".yml"})
SETTINGS_FOLDERS = (
    "config",
    "input/config",
    "input/data/code",
    "input/data/sm_drivers",
    "processing/input/code",
)
LARGEST_FILE_BYTES = 1 << 20


def rewrite(text: str, opt_ml: Path) -> str:
    """`text` with /opt/ml replaced by the folder `opt_ml`; s3://bucket/opt/ml stays what it is."""
    return OPT_ML.sub(lambda _: str(opt_ml), text)


def rewrite_files(opt_ml: Path) -> None:
    """Rewrite scripts anywhere below the folder, and settings beside the code; never data."""
    settings_folders = [opt_ml / folder for folder in SETTINGS_FOLDERS]
    for file in opt_ml.rglob("*"):
        if file.suffix in SETTINGS_SUFFIXES:
            if not any(folder in file.parents for folder in settings_folders):
                continue
        elif file.suffix not in SCRIPT_SUFFIXES:
            continue
        if file.is_file() and file.stat().st_size <= LARGEST_FILE_BYTES:
            _rewrite_file(file, opt_ml)


def _rewrite_file(file: Path, opt_ml: Path) -> None:
    content = file.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    rewritten = rewrite(text, opt_ml).encode()
    if rewritten != content:
        file.write_bytes(rewritten)


def shell_safe(folder: Path) -> Path:
    """The same folder under a name without spaces or quotes, which shell scripts don't survive."""
    if not re.search(r"[^\w@%+=:,./-]", str(folder)):
        return folder
    alias = (
        Path(tempfile.gettempdir())
        / f"local-aws-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    )
    if not alias.is_symlink() or alias.readlink() != folder:
        alias.unlink(missing_ok=True)
        alias.symlink_to(folder, target_is_directory=True)
    return alias
