"""Commands in what is printed, as the reader's shell takes them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

# In backticks, after `$(`, or the whole text: where messages have their commands.
_FIRST_WORD = re.compile(r"(?:(?<=`)|(?<=\$\()|^)(?P<name>[a-z][\w-]*)(?=\s+[\w\"'$/.-])")
# Whichever there is: the commands that are printed are of both versions of the AWS CLI.
_ANY = frozenset({"aws"})


def as_typed(text: str) -> str:
    """The text; a program that PATH would not find, or find another of, has its path before it.

    That is so where the environment of this interpreter is not active. In CodeBuild's log the names
    stay: who reads it sits elsewhere.
    """
    if "CODEBUILD_BUILD_ID" in os.environ:
        return text
    return _FIRST_WORD.sub(lambda found: _path_of(found["name"]), text)


def _path_of(name: str) -> str:
    own = Path(sys.executable).parent / name
    if not own.is_file():
        return name
    found = shutil.which(name)
    if found is not None and (name in _ANY or Path(found).samefile(own)):
        return name
    relative = os.path.relpath(own)
    if os.sep not in relative:
        relative = f".{os.sep}{relative}"
    return shlex.quote(min(relative, str(own), key=len))
