"""What `mlops project deploy` shows while a stack changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlops.project.stack_events import StackEvent

_NAMES_SHOWN = 3


class DeploymentView:
    """A bar with what is being made on a terminal; elsewhere a line for each resource."""

    def __init__(self, console: Console, stack_name: str) -> None:
        self._console = console
        self._stack_name = stack_name
        self._active: list[str] = []
        self._progress: Progress | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Inside it the bar is there."""
        if not self._console.is_terminal:
            yield
            return
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TimeElapsedColumn(), TextColumn("{task.fields[active]}")),
        )
        with Progress(*columns, console=self._console, transient=True) as self._progress:
            self._task = self._progress.add_task(self._stack_name, total=None, active="planning")
            yield

    def begin(self, resources: int) -> None:
        """That many resources change."""
        if self._progress is None:
            self._print(f"{self._stack_name}: {resources} resources change")
        else:
            self._progress.update(self._task, total=resources)

    def event(self, event: StackEvent) -> None:
        """Something happened to a resource, or to the stack."""
        if event.failed:
            self._print(f"{event.logical_id} {event.status}: {event.reason}")
        elif self._progress is None and event.status.endswith("_COMPLETE"):
            self._print(f"{event.logical_id} {event.status}")
        if self._progress is None or event.resource_type == "AWS::CloudFormation::Stack":
            return
        if event.status.endswith("_IN_PROGRESS"):
            if event.logical_id not in self._active:
                self._active.append(event.logical_id)
        elif event.logical_id in self._active:
            self._active.remove(event.logical_id)
            self._progress.advance(self._task)
        names = ", ".join(self._active[:_NAMES_SHOWN])
        more = len(self._active) - _NAMES_SHOWN
        self._progress.update(self._task, active=names + (f" and {more} more" if more > 0 else ""))

    def _print(self, text: str) -> None:
        console = self._progress.console if self._progress else self._console
        console.print(escape(text))
