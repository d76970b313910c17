"""Why a build or a stack failed, as one sentence out of its log or its events.

a build's log ─▶ what its failed command printed ─▶ the last error that a program marked, or the
end of a traceback, or the first finding of ruff or pytest, or what the shell said
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

_OF_CODEBUILD = re.compile(r"^\[Container\] \S+ \S+ ")
_BEGUN = "Running command "
_FAILED = "Command did not exit successfully "
# CodeBuild's sentence about a failed phase, as CodePipeline repeats it.
_OF_PHASE = re.compile(r"Code: \w+, Message: (?P<told>.+?)(?:\. Log: .*)?\s*$", re.DOTALL)
# As programs mark it: `error: ...`, `program: error: ...`, or with logging's time and level.
_ERROR = re.compile(
    r"(?:\S+: )?error: (?P<told>.+)|[\d-]+ [\d:,.]+ (?:ERROR|CRITICAL) (?P<logged>.+)", re.I
)
# What uv and cargo put below an error; the deepest is what somebody can mend.
_CAUSE = re.compile(r"\s+(?:cause|caused by|╰─▶)(?::| )\s*(?P<told>\S.*)", re.I)
_PROBLEM = re.compile(r"\s+- (?P<told>\S.*)")
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?")
_RUFF = re.compile(r"(?P<told>(?:[A-Z]+\d+|invalid-syntax):? .+)")
_RUFF_PLACE = re.compile(r"\s*--> (?P<place>\S+:\d+:\d+)")
_PYTEST = re.compile(r"(?:FAILED|ERROR) (?P<told>\S+\.py(?:::.+)?)")
_SHELL = re.compile(
    r"(?:.*: line \d+: )?(?P<told>\S.*: (?:command not found|not found|No such file or directory"
    r"|Permission denied)|Killed\b.*)"
)
_ENDED_BY_KILL = re.compile(r"exit status 137\b")
_KILLED = "killed (exit status 137), as by the system when memory runs out"
_LONGEST, _BEGINNING = 500, 200


def without_prefix(line: str) -> str:
    """A line of a build's log without what CodeBuild puts before its own."""
    return _OF_CODEBUILD.sub("", line.rstrip())


def sentence_of_build(lines: Sequence[str]) -> str:
    """Why the build failed, from the end of its log; empty if that doesn't tell.

    What later commands print, such as those that look into the failure, is not read.
    """
    printed, ending = _failed_command(lines)
    if not any(without_prefix(line).startswith(_BEGUN) for line in lines):
        return in_one_line(_marked(printed))  # CodeBuild's own lines, which may go on below
    told = sentence_of(printed)
    if _ENDED_BY_KILL.search(ending) and not _marked(printed):
        return f"{_KILLED}; printed last: {told}" if told else _KILLED
    return told


def sentence_of(printed: Sequence[str]) -> str:
    """The sentence that says why, of what a program printed; the last line where none is known."""
    told = _marked(printed)
    if not told:
        told = next(filter(None, (find(printed) for find in _FINDERS)), "")
    if not told:
        told = next((line for line in reversed(printed) if re.search(r"[^\W\d_]", line)), "")
    return in_one_line(told)


def sentence_of_summary(summary: str) -> str:
    """The part of CodePipeline's message about a failed build that isn't its phase and its log."""
    found = _OF_PHASE.search(summary)
    return in_one_line(found["told"] if found else summary)


def in_one_line(text: str) -> str:
    """At most 500 characters, in one line: what happened, and the end, where the cause is."""
    words = " ".join(text.split())
    if len(words) <= _LONGEST:
        return words
    return f"{words[:_BEGINNING].rstrip()} ... {words[_BEGINNING + 5 - _LONGEST :].lstrip()}"


def _failed_command(lines: Sequence[str]) -> tuple[list[str], str]:
    """What the first command that failed printed, and CodeBuild's line about its end.

    All that was printed where no command failed.
    """
    printed: list[str] = []
    for line in lines:
        own = bool(_OF_CODEBUILD.match(line))
        text = without_prefix(line)
        if own and text.startswith(_FAILED):
            return printed, text
        if own and text.startswith(_BEGUN):
            printed = []
        elif not own:
            printed.append(text)
    return printed, ""


def _marked(printed: Sequence[str]) -> str:
    """The last error that is marked as one: by its program, or by Python's traceback.

    With the problems that a program lists below it, or the deepest cause.
    """
    told, cause = "", ""
    problems: list[str] = []
    listed = traced = False
    for line in printed:
        error, deeper, problem = (each.match(line) for each in (_ERROR, _CAUSE, _PROBLEM))
        raised = traced and _RAISED.fullmatch(line)
        if line == _TRACEBACK:
            traced = True
        elif raised or error:
            found = line if raised or not error else error["told"] or error["logged"]
            told, cause, problems, traced = found, "", [], False
        elif deeper and not traced:
            cause = deeper["told"]
        elif problem and listed and not traced:
            problems.append(problem["told"])
        listed = bool(told) and (bool(raised or error) or bool(problem and listed))
    if not told:
        return ""
    told = told.rstrip()
    if problems:
        return f"{told.removesuffix(':')}: {'; '.join(problems)}"
    return f"{told.removesuffix(':')}: {cause}" if cause else told


def _ruff(printed: Sequence[str]) -> str:
    for line, after in itertools.pairwise(printed):
        found, place = _RUFF.fullmatch(line), _RUFF_PLACE.match(after)
        if found and place:
            return f"{place['place']}: {found['told']}"
    return ""


def _first(pattern: re.Pattern[str]) -> Callable[[Sequence[str]], str]:
    def find(printed: Sequence[str]) -> str:
        found = (pattern.fullmatch(line) for line in printed)
        return next((match["told"] for match in found if match), "")

    return find


_FINDERS = (_ruff, _first(_PYTEST), _first(_SHELL))
