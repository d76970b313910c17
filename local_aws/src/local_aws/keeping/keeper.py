"""Keeps the state: what a call changed is on disk before the call is answered.

    call answered well ─▶ note ─▶ moto's part of the service, and those of the own services
    each second        ─▶ the own services again: deployments change them in the background

At the start everything is brought back, before the gateway listens; what has to run again is
resumed when it does.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

from moto.core.request import Request

from local_aws.errors import UsageError
from local_aws.keeping.moto_state import MotoState
from local_aws.keeping.parts import SUFFIX, Part, read, replace
from local_aws.object_files import OBJECTS
from local_aws.own_aws import OwnAws
from local_aws.workers import start_lasting

logger = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_READING = ("Get", "List", "Describe", "Head", "BatchGet", "Lookup", "Search", "Validate", "Test")
# Calls that leave nothing behind that is kept.
_PASSING = frozenset({"PutLogEvents", "PutMetricData", "PutEvents", "InvokeEndpoint", "Publish"})
_ABOUT = "about.json"
NOT_KEPT = "executions, builds and jobs with their logs, metrics, uploads in progress, sessions"


class Keeper:
    """The state below `folder`: of moto, and of each service that names its `kept` members.

    A service's `resume`, if it has one, is called when calls can be made: it goes on with what ran,
    and returns what is not as it was, in lines for a person.
    """

    def __init__(self, folder: Path, own: OwnAws, services: Sequence[Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._moto = MotoState(folder, own)
        self._own = {
            service: Part(folder / f"{type(service).__name__}{SUFFIX}", partial(_members, service))
            for service in services
            if hasattr(service, "kept")
        }
        self._of_service: dict[str, list[Part]] = {}
        for service, part in self._own.items():
            for name in {name for name, _ in service.operations()}:
                self._of_service.setdefault(name, []).append(part)
        self._noting = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._unused: list[Path] = []

    def bring_back(self) -> str:
        """Have the state that was written again, if there is one; what there is of it, in words.

        From now on calls are noted. Raises UsageError for a state that this version can't read.
        """
        try:
            counted = self._moto.bring_back()
            for service, part in self._own.items():
                for name, value in (read(part.path) if part.path.exists() else {}).items():
                    owner, _, member = name.rpartition(".")
                    setattr(attrgetter(owner)(service) if owner else service, member, value)
        except Exception as err:
            logger.debug("the kept state can't be read", exc_info=True)
            raise UsageError(
                f"the state kept in {self._folder} can't be read: {type(err).__name__}: {err}. "
                f"It was written by {_versions(about(self._folder))}, this is "
                f"{_versions(_present())}. Start with what wrote it, or with `--no-keep`, which "
                f"moves it to previous/."
            ) from err
        self._noting = True
        return ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counted.items())

    def start(self, ports: Mapping[str, int]) -> list[str]:
        """Resume what ran, keep what becomes of it; what is not as it was."""
        replace(self._folder / _ABOUT, json.dumps({**_present(), **ports}).encode())
        told = [line for one in self._own if hasattr(one, "resume") for line in one.resume()]
        self._thread = start_lasting("keeper", self._tick, self._closing)
        return told

    def note(self, request: Request, service: str, operation: str) -> None:
        """A call went well: write what it changed."""
        if not self._noting or operation in _PASSING or operation.startswith(_READING):
            return
        if service == "s3":
            if request.method in ("PUT", "POST", "DELETE"):
                self._moto.note_s3(
                    request.method,
                    request.path,
                    request.args.to_dict(),
                    tagged="tagging" in request.args
                    or "x-amz-tagging" in request.headers
                    or "x-amz-copy-source" in request.headers,
                )
            return
        part = self._moto.part(service)
        self._save([*([part] if part is not None else []), *self._of_service.get(service, [])])

    def close(self) -> None:
        """Write the last of it; what is ended from now on is not noted.

        Nothing, if not all that was written could be read.
        """
        if self._noting:
            self._save(self._own.values())
        self._noting = False
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _tick(self) -> None:
        while not self._closing.wait(_TICK_SECONDS):
            unused, self._unused = self._unused, OBJECTS.unused()
            if not self._noting:
                return
            self._save(self._own.values())
            parts = self._moto.parts()
            self._save(part for part in parts if part.due)
            if any(part.due for part in (*parts, *self._own.values())):
                self._unused += unused  # what is written last may need them
                continue
            for path in unused:
                path.unlink(missing_ok=True)

    def _save(self, parts: Iterable[Part]) -> None:
        for part in parts:
            part.save()


def _members(service: Any) -> dict[str, Any]:
    return {name: attrgetter(name)(service) for name in service.kept}


def about(folder: Path) -> dict[str, Any]:
    """What is known of a kept state before it is read: who wrote it, at which ports it served."""
    try:
        written: dict[str, Any] = json.loads((folder / _ABOUT).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return written


def _present() -> dict[str, Any]:
    names = ("local-aws", "moto")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


def _versions(written: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} {written.get(n, '?')}" for n in ("local-aws", "moto", "python"))
