"""What a requirements file says, with all files that it names by -r and -c."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

NAMES_A_FILE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(?P<name>\S+)")
# Content that the text does not pin: an editable or a local path.
NAMES_LOCAL_CODE = re.compile(r"^\s*(?:-e\b|--editable\b|\.|/|~|file:)|@\s*file:")


def read_all(files: Sequence[Path]) -> list[str] | None:
    """The texts of the files and of those they name, each once, in reading order.

    None when they don't determine what gets installed: a file is missing (pip will say so), or code
    is named by a local path.
    """
    texts: list[str] = []
    seen: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop(0).resolve()
        if file in seen:
            continue
        seen.add(file)
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError):
            return None
        if any(NAMES_LOCAL_CODE.search(line) for line in text.splitlines()):
            return None
        texts.append(text)
        waiting.extend(_named(text, file.parent))
    return texts


def _named(text: str, folder: Path) -> Iterator[Path]:
    for line in text.splitlines():
        found = NAMES_A_FILE.match(line)
        if found and "://" not in found["name"]:
            yield folder / found["name"]
