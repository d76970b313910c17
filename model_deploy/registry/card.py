"""What became of a version, in its description: a section for each stage, made of its tags.

    ## Staging: passed 2026-11-30 20:15 UTC              text between its two markers is ours and
    ## Production until ...: replaced by version 3       is rewritten; all else is a person's

The training step writes the rest, the model card; a version that a person registered may have no
description at all. A section stands before the card's "## Model", else at the end.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from model_deploy.errors import MLflowError
from model_deploy.registry import evidence, versions
from model_deploy.registry.connection import Connection
from model_deploy.registry.moves import PRODUCTION, STAGING, Version

logger = logging.getLogger(__name__)

# MLflow's database has so many characters for a description (SqlModelVersion.description).
LONGEST = 5000

_LONGEST_SENTENCE = 300
_LONGEST_WORD = 80
_END = "<!-- /deploy -->"
_BEFORE = re.compile(r"^## Model\s*$", re.MULTILINE)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
_MARKS = re.compile(r"[\\*\[\]{}~#@!]|(?<![^\W_])_|_(?![^\W_])|^(?:[-+=]|\d+[.)])")
_REPLACES = re.compile(r"^\* Replaces .*$", re.MULTILINE)


def write_of_claim(
    connection: Connection, name: str, number: str, stage: str, require: Callable[[], None]
) -> None:
    """The sections of a version that claimed the stage, and of those that it replaced.

    `require` is asked before each call, and raises if it may not be made. Nothing is raised: the
    stage is true already, and a description that could not be written is told.
    """
    replaced: list[Version] = []
    with _failures_told(name, number):
        require()
        claimant = versions.get_version(connection, name, number)
        at = str(_last(evidence.promotions(claimant.tags, stage)).get("at", ""))
        require()
        replaced = [
            version
            for version in versions.find_replaced_by(connection, name, number)
            if _replacement(version.tags, stage).get("at", "") >= (at or "-")
        ]
    _write(connection, name, number, require, {stage: _enumerate(name, replaced)})
    write(connection, [(version.name, version.number) for version in replaced], require)


def write(
    connection: Connection, of: Iterable[tuple[str, str]], require: Callable[[], None]
) -> None:
    """The sections of these versions, by name and number, as `write_of_claim`."""
    for name, number in of:
        _write(connection, name, number, require, {})


def _write(
    connection: Connection,
    name: str,
    number: str,
    require: Callable[[], None],
    replaces: Mapping[str, str],
) -> None:
    with _failures_told(name, number):
        require()
        found = connection.ask("get_model_version", name, number)
        before = found.description or ""
        after = rewrite(before, found.tags, replaces)
        if after is None:
            logger.warning(
                "version %s of %s: its description of %d characters has no room for what became "
                "of it; MLflow takes %d. Shorten it in MLflow",
                *(number, name, len(before), LONGEST),
            )
        elif after != before:
            require()
            connection.ask("update_model_version", name, number, after)


@contextmanager
def _failures_told(name: str, number: str) -> Iterator[None]:
    """The stage is true by now: whatever goes wrong with its card is a line in the log."""
    told = f"version {number} of {name}: its model card was not written"
    try:
        yield
    except MLflowError as err:
        logger.warning("%s: %s", told, err)
    except Exception:  # ours, or a tag that a person wrote
        logger.exception("%s", told)


def rewrite(
    description: str, tags: Mapping[str, str], replaces: Mapping[str, str] | None = None
) -> str | None:
    """The description with the sections that the tags ask for; None if it has no room for them.

    `replaces` says, by stage, which versions this one replaced. Where it does not, what the section
    said of that stays. Sections that have no room become their headings.
    """
    rest, old = description, {}
    for stage in (STAGING, PRODUCTION):
        found = _section(stage).search(rest)
        old[stage] = found.group() if found else ""
        rest = _section(stage).sub("\n\n", rest)
    told = {
        stage: _tell(stage, tags, (replaces or {}).get(stage, ""), old[stage])
        for stage in (STAGING, PRODUCTION)
    }
    whole = {stage: lines for stage, lines in told.items() if lines}
    if not whole:
        return description
    short = {stage: lines[:1] for stage, lines in whole.items()}
    for sections in (whole, {**short, PRODUCTION: whole.get(PRODUCTION, [])}, short):
        text = _insert(rest, {stage: lines for stage, lines in sections.items() if lines})
        if len(text) <= LONGEST:
            return text
    return None


def escape(text: str, longest: int = _LONGEST_WORD) -> str:
    """The text as one line of Markdown that shows it as it is, at most `longest` characters.

    What would be markup or HTML is written as an entity or behind a backslash; a text that is cut
    ends in three dots.
    """
    told = "".join(_ENTITIES.get(c, c) for c in _MARKS.sub(r"\\\g<0>", _one_line(text)))
    if len(told) <= longest:
        return told
    kept = told[: longest - 3]
    # Half an entity or a lone backslash would change what follows.
    return re.sub(r"(&[^;]*|\\+)$", "", kept).rstrip() + "..."


def _one_line(text: str) -> str:
    printable = (letter if letter.isprintable() else " " for letter in text)
    return " ".join("".join(printable).split())


def _section(stage: str) -> re.Pattern[str]:
    """A whole section, and the empty lines around it; not one that lost its end."""
    begin = re.escape(_begin(stage))
    return re.compile(rf"\n*{begin}(?:(?!<!-- /?deploy).)*{re.escape(_END)}\n*", re.DOTALL)


def _begin(stage: str) -> str:
    return f"<!-- deploy:{stage.lower()} -->"


def _insert(rest: str, sections: Mapping[str, list[str]]) -> str:
    blocks = [
        f"{_begin(stage)}\n\n{lines[0]}\n\n" + "".join(f"{line}\n" for line in lines[1:]) + _END
        for stage, lines in sections.items()
    ]
    place = _BEFORE.search(rest)
    cut = place.start() if place else len(rest)
    parts = [rest[:cut].strip("\n"), *blocks, rest[cut:].strip("\n")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tell(stage: str, tags: Mapping[str, str], replaces: str, old: str) -> list[str]:
    """Heading and lines of a stage; nothing if the version never was in it."""
    last = {str(k): str(v) for k, v in _last(evidence.promotions(tags, stage)).items()}
    if not last and f"{evidence.prefix(stage)}_at" in tags:  # from before they were numbered
        begin = f"{evidence.prefix(stage)}_"
        last = {k.removeprefix(begin): v for k, v in tags.items() if k.startswith(begin)}
    left = _replacement(tags, stage)
    if not last and not left:
        return []
    if left and left["at"] >= last.get("at", ""):
        heading = f"## {stage} until {_moment(left['at'])}: {_name_successor(left['by'])}"
    else:
        heading = f"## {stage}: passed {_moment(last.get('at', ''))}"
    if not last:
        return [heading]
    passed = f"* Passed {_moment(last.get('at', ''))}"
    endpoint = last.get("endpoint", "").rpartition("/")[2]
    if endpoint:
        passed += f" on endpoint {escape(endpoint)}"
    if last.get("test_summary"):
        passed += f": {escape(last['test_summary'], _LONGEST_SENTENCE)}"
    lines = [heading, passed]
    if last.get("approved_by") or last.get("approval_comment"):
        lines.append(_tell_approval(last))
    if replaces:
        lines.append(f"* Replaces {replaces}")
    elif passed in old and (kept := _REPLACES.search(old)):
        lines.append(kept.group())
    origin = [
        f"{what} {escape(last[key][:longest])}"
        for what, key, longest in (
            ("execution", "pipeline_execution_id", 36),
            ("commit", "commit", 12),
            ("archive", "archive_sha256", 12),
        )
        if last.get(key)
    ]
    if last.get("by"):
        origin.append(f"by {escape(last['by'])}")
    if origin:
        lines.append(f"* Deployed: {', '.join(origin)}")
    return lines


def _tell_approval(last: Mapping[str, str]) -> str:
    who = escape(last.get("approved_by", "").rpartition("/")[2]) or "nobody that is known"
    told = f"* Approved by {who}"
    if last.get("approved_at"):
        told += f", {_moment(last['approved_at'])}"
    if last.get("approval_comment"):
        told += f": {escape(last['approval_comment'], _LONGEST_SENTENCE)}"
    return told


def _replacement(tags: Mapping[str, str], stage: str) -> dict[str, str]:
    """The last time that the version left this stage: `at` and `by`; empty if it never did."""
    entries = [e for e in evidence.numbered(tags, "deploy.replaced") if e.get("stage") == stage]
    last = _last(entries)
    return {key: str(last.get(key, "")) for key in ("at", "by")} if last else {}


def _name_successor(by: str) -> str:
    name, _, number = by.rpartition("/")
    if not number.isdigit():
        return f"the endpoint serves it no longer ({escape(by)})"
    return f"replaced by version {number}" + (f" of {escape(name)}" if name else "")


def _enumerate(name: str, replaced: Iterable[Version]) -> str:
    return ", ".join(
        f"version {version.number}"
        + ("" if version.name == name else f" of {escape(version.name)}")
        for version in replaced
    )


def _moment(at: str) -> str:
    """`2026-11-30 20:15 UTC`."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return escape(at) or "at a time that is not known"
    return f"{found:%Y-%m-%d %H:%M}" + (" UTC" if not found.utcoffset() else f" {found:%z}")


def _last(entries: list[dict[str, object]]) -> dict[str, object]:
    return entries[-1] if entries else {}
