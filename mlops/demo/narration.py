"""What a person sees of a long job.

A line when a step begins, a line with its time when it has ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape

from mlops.hints import as_typed


class Narrator:
    """Prints steps to stderr.

    On a terminal a running step shows a spinner with what it is doing.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._number = 0

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A step of the story; the line that ends it says how long it took, or that it failed."""
        self._number += 1
        step = Step(self, f"{self._number:2}. {title}")
        status: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self.console.is_terminal:
            status = self.console.status(escape(step.title))
        else:
            self.console.print(f"{escape(step.title)} ...")
        begun = time.monotonic()
        try:
            with status as live:
                step.live = live
                yield step
        except BaseException:
            self._print(step.title, "[red]failed[/red]", time.monotonic() - begun)
            raise
        step.seconds = time.monotonic() - begun
        self._print(step.title, escape(step.result), step.seconds)

    def say(self, text: str) -> None:
        """A line between steps."""
        self.console.print(escape(as_typed(text)))

    def _print(self, title: str, result: str, seconds: float) -> None:
        self.console.print(f"{escape(title)}: {result} [dim]({seconds:.1f} s)[/dim]")


class Step:
    """A running step: `result` is what its last line says.

    `seconds` how long it took once it has ended.
    """

    def __init__(self, narrator: Narrator, title: str) -> None:
        self.title = title
        self.result = "done"
        self.seconds = 0.0
        self.live: Any = None
        self._narrator = narrator

    def progress(self, text: str) -> None:
        """Show what is happening now, where there is a terminal to show it on."""
        if self.live is not None:
            self.live.update(escape(f"{self.title}: {text}"))
