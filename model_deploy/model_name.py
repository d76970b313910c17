"""What a registered model may be called, and how its name stands in a tag of AWS or a key of S3.

One rule, before anything is trained, built or deployed: what MLflow itself can register and find,
and what a tag can hold. The same file is in each place that must know it.
"""

import re
import unicodedata

# MLflow's column of names, and the value of a tag of AWS, hold as many.
LONGEST = 256
# S3's keys hold 1024 bytes, of which prefix, digest and file name need some.
_MOST_BYTES = 768
# Beside letters and digits, what AWS's tags hold; `=` begins an encoded byte.
_KEPT = frozenset(" _.:/+-@")
_ENCODED = re.compile(r"=([0-9A-F]{2})")
# What turns the direction of the text after it, so that a person reads another name.
_TURNING = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
_UNSEEN_CATEGORIES = frozenset(("Cc", "Cs", "Zl", "Zp"))


def find_problem(name: str) -> str | None:
    """Why no model can have this name, or what to do about it; None if one can."""
    if not name.strip():
        return "give text that isn't blank"
    if name != name.strip():
        return "remove the spaces around it"
    if "/" in name or ":" in name:
        return "MLflow's names have no / and no :"
    if name == "." or name.startswith(".."):
        return "MLflow refuses a name that reads as a folder, as . and whatever begins with .. do"
    for letter in name:
        if _is_unseen(letter):
            return f"remove the character U+{ord(letter):04X}, which nobody sees"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters; MLflow holds {LONGEST}"
    encoded = encode(name)
    if len(encoded) > LONGEST or len(encoded.encode()) > _MOST_BYTES:
        return (
            f"choose a shorter one: as AWS's tags must write it, it has {len(encoded)} characters "
            f"and {len(encoded.encode())} bytes; {LONGEST} and {_MOST_BYTES} are possible"
        )
    return None


def encode(name: str) -> str:
    """The name as a tag of AWS and a key of S3 hold it; `decode` gives it back.

    Letters, digits, spaces and _ . : / + - @ stay; of others, each byte in UTF-8 becomes `=XX`.
    """
    return "".join(
        letter if _stays(letter) else "".join(f"={byte:02X}" for byte in letter.encode())
        for letter in name
    )


def decode(text: str) -> str:
    """The name that `encode` wrote so. Raises ValueError where it wrote no such text."""
    pieces = _ENCODED.split(text)
    content = b"".join(
        bytes([int(piece, 16)]) if number % 2 else piece.encode()
        for number, piece in enumerate(pieces)
    )
    try:
        name = content.decode()
    except UnicodeDecodeError:
        name = ""
    if encode(name) != text:
        raise ValueError(f"{text!r} is no encoded name of a model")
    return name


def _stays(letter: str) -> bool:
    return letter in _KEPT or unicodedata.category(letter)[0] in "LN"


def _is_unseen(letter: str) -> bool:
    return (
        unicodedata.category(letter) in _UNSEEN_CATEGORIES
        or unicodedata.bidirectional(letter) in _TURNING
    )
