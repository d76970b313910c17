"""What people see: results as tables on stdout, progress and questions on stderr."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlops.errors import InputError
from mlops.hints import as_typed

if TYPE_CHECKING:
    from mlops.platform.change_sets import Change
    from mlops.platform.stack_events import StackEvent

# A pipe has no width of its own; names of resources are long.
_WIDTH_WITHOUT_TERMINAL = 140
_FATES = {"Retain": ", the old one stays", "Snapshot": ", after a snapshot"}
_STYLES = {"Add": "green", "Modify": "yellow", "Remove": "red"}


@dataclass(frozen=True)
class Display:
    """The two streams of a command, and whether a person can be asked."""

    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))
    # rich writes to what sys.stdout and sys.stderr are when it writes.
    interactive: bool = field(default_factory=lambda: sys.stdin.isatty())

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Display:
        """The display of a command; with --json all that is for people goes to stderr."""
        return cls(out=_console(stderr=True)) if arguments.json else cls()

    def say(self, text: str) -> None:
        """A line about what goes on."""
        self.err.print(Text(as_typed(text)), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line that must not be overlooked."""
        self.err.print(Text(as_typed(text), style="bold yellow"), soft_wrap=True)

    def result(self, text: str, style: str = "") -> None:
        """A line of the result."""
        self.out.print(Text(as_typed(text), style=style), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of the result; a line where there is nothing to tell."""
        if not rows:
            self.out.print(Text.assemble((title, "bold"), ": none\n"), soft_wrap=True)
            return
        table = _table(columns)
        for row in rows:
            table.add_row(*(Text(as_typed(cell)) for cell in row))
        self._print(title, table)

    def changes(self, title: str, changes: Sequence[Change]) -> None:
        """The resources of a change set."""
        columns = ["action", "resource", "type", "replaced", "because of"]
        all_new = all(change.action == "Add" for change in changes)
        table = _table(columns[:3] if all_new else columns)
        for change in changes:
            cells = [
                Text(change.action.lower(), style=_STYLES.get(change.action, "")),
                Text(change.logical_id),
                Text(change.resource_type),
                _replacement(change),
                Text(", ".join(change.properties)),
            ]
            table.add_row(*cells[: len(table.columns)])
        self._print(title, table)

    def confirm(self, question: str, word: str = "yes") -> bool:
        """Whether the person typed the word; anything else means no."""
        if not self.interactive:
            raise InputError(f"no terminal to ask on: {question} Pass --yes to go on unasked.")
        self.err.print(Text(f"{question} Type {word} to go on: ", style="bold"), end="")
        return sys.stdin.readline().strip() == word

    def _print(self, title: str, table: Table) -> None:
        self.out.print(Text(title, style="bold"), soft_wrap=True)
        self.out.print(table)
        self.out.print()

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Lines of events, under a status line where there is a terminal."""
        with self.err.status(Text(title)) as status:
            yield Progress(self, title, status.update)


class Progress:
    """What became of each resource, with the time that it took."""

    def __init__(self, display: Display, title: str, update: object) -> None:
        self._display = display
        self._title = title
        self._update = update
        self._began: dict[tuple[str, str], datetime] = {}
        self._met: set[str] = set()
        self._over: set[str] = set()

    def tell(self, event: StackEvent) -> None:
        """A line for a resource that is ready or failed; the status line for the others."""
        # A resource that is rolled back is worked on twice.
        began = self._began.setdefault((event.logical_id, event.status.split("_")[0]), event.at)
        if not event.of_stack:
            self._met.add(event.logical_id)
        if event.over and not event.of_stack:
            self._over.add(event.logical_id)
        if event.over or event.status.endswith("ROLLBACK_IN_PROGRESS"):
            seconds = round((event.at - began).total_seconds())
            took = f"  {seconds} s" if event.over and seconds else ""
            reason = f"  {as_typed(event.reason)}" if event.reason else ""
            self._display.err.print(
                Text(f"{event.at.astimezone():%H:%M:%S}  "),
                Text(f"{event.status:<20}", style=_style(event.status)),
                Text(f"  {event.logical_id}  {event.resource_type}{took}{reason}"),
                sep="",
                soft_wrap=True,
            )
        if callable(self._update):
            self._update(
                Text(f"{self._title}: {len(self._over)} of {len(self._met)} begun are done")
            )


def print_json(document: object) -> None:
    """The result of a command with --json, on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(stderr=stderr, width=width, highlight=False)


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _replacement(change: Change) -> Text:
    if not change.endangers_data:
        return Text(change.replacement)
    fate = _FATES.get(change.policy, "")
    return Text(f"{change.replacement or 'removed'}: HOLDS DATA{fate}", style="bold red")


def _style(status: str) -> str:
    if "FAILED" in status or "ROLLBACK" in status:
        return "red"
    return "green" if status.endswith("_COMPLETE") else ""
