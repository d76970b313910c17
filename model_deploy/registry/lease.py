"""A lease: one writer at a time, on whatever database MLflow has.

MLflow's registry has no compare-and-set. The one thing that each of its SQL stores does atomically
for two clients is to give a name once: of two `create_experiment` with the same name one is
refused, also when the experiment of that name is deleted. So a lease is a chain of experiments

    stage-move-lock-<first 16 digits of the SHA-256 of what is locked>-00000041   given back
    stage-move-lock-<...>-00000042                                               held

Who creates the next number has the lease, and gives it back by deleting his experiment (MLflow
keeps it, hidden; `mlflow gc` may remove it). Number n + 1 may be created when n was given back, or
when n's holder had it for longer than it lasts: then the holder is dead. How long is measured by
the clock of the one who waits, from the moment that he first saw n: no two clocks are compared.
The holder measures too, from before he asked, and writes nothing when a call might outlast it. So
there is one writer at a time as long as a call ends when MLflow's client says that it does; a
request that a frozen server answers after its client gave up is beyond it, and is why a move reads
back what it wrote.

Who needs several leases waits for all at once and holds none of them meanwhile (`take_all`).
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import random
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from model_deploy.errors import MLflowError, Unsettled
from model_deploy.registry.connection import (
    Connection,
    MLflowRefusal,
    MLflowUnwell,
    longest_call_seconds,
)

logger = logging.getLogger(__name__)

_PREFIX = "stage-move-lock-"
_TOKEN = "stage-move.token"  # noqa: S105 - it names who holds a lease
_SECONDS = "stage-move.lease-seconds"
_NAMED_LIKE_LOCK = re.compile(re.escape(_PREFIX) + r"[0-9a-f]{16}-([0-9]{8,})")
_LOOKED_AT = 10
_TOLD_EVERY_SECONDS = 15.0
_WRITING_SECONDS = 120.0
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long a lease lasts, one call at most, and how long one waits for a lease and for MLflow.

    `clock` and `sleep` are the time itself, for tests.
    """

    lease_seconds: float
    call_seconds: float
    patience_seconds: float = _PATIENCE_SECONDS
    outage_seconds: float = 300.0
    poll_seconds: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of_environment(cls) -> Times:
        """A lease outlasts the longest call that the settings of MLflow's client allow by far."""
        call = longest_call_seconds()
        lease = call + _WRITING_SECONDS
        # A dead holder is waited for that long; the one who waits has to have more patience.
        return cls(
            lease_seconds=lease,
            call_seconds=call,
            patience_seconds=max(_PATIENCE_SECONDS, 2 * lease),
        )


class LeaseRanOut(MLflowError):
    """The holder was too slow: he must not write any more."""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A lock as a look at the chain shows it."""

    number: int
    experiment_id: str
    held: bool
    token: str
    lasts_seconds: float
    holder: str


class Lease:
    """The right to write what `subject` names (`model housing`, or an endpoint's ARN).

    `purpose` is told to those who wait, and stands in the lock's tags. One Lease may be taken again
    and again, also after an error that left open whether it was given back.
    """

    def __init__(
        self, connection: Connection, subject: str, times: Times, purpose: Mapping[str, str]
    ) -> None:
        self.subject = subject
        self._connection = connection
        self._times = times
        self._purpose = dict(purpose)
        self._chain = f"{_PREFIX}{hashlib.sha256(subject.encode()).hexdigest()[:16]}-"
        self._token = uuid.uuid4().hex
        self._begun: dict[int, float] = {}
        self._first_seen: dict[tuple[int, str], float] = {}
        self._seen: list[_Seen] = []
        self._held: _Seen | None = None
        self._until = 0.0

    @property
    def sort_key(self) -> tuple[bool, str]:
        """Endpoints come before models: one order for all who take several."""
        return (not self.subject.startswith("endpoint "), self._chain)

    def take(self) -> None:
        """Return when it is ours; Unsettled, naming the holder, when patience ends before."""
        take_all([self], self._times, Waited())

    def observe(self) -> list[str]:
        """Who else has it and may be alive, in words; nobody if it can be taken now."""
        self._seen = self._look()
        return [lock.holder for lock in self._alive()]

    def try_take(self) -> bool:
        """Whether it is ours now, after a look (`observe`) showed nobody."""
        if not self._usable():
            self.withdraw()  # It ran out.
            self._create(max((lock.number for lock in self._seen), default=0) + 1)
            self.observe()
        usable = self._usable()
        if not usable or self._alive():
            return False
        self._keep(usable[0])
        return True

    def withdraw(self) -> None:
        """Hold nothing while waiting: a lock that is ours is given back, also one not in use."""
        self._held = None
        for lock in self._mine():
            self._delete(lock)
            self._seen[self._seen.index(lock)] = replace(lock, held=False)

    def describe_wait(self, holders: Sequence[str], what: str) -> str:
        """`waiting for the lease of ...: who. It ends when ...`."""
        lasts = max((lock.lasts_seconds for lock in self._alive()), default=0)
        return (
            f"{what} for the lease of {self.subject}: "
            f"{'; '.join(holders) or 'somebody who was faster'}. It ends when given back, or "
            f"after {lasts:.0f} s without that"
        )

    def require(self) -> None:
        """LeaseRanOut if a call from now on might outlast the lease."""
        if self._held is None or not self._has_time(self._until):
            raise LeaseRanOut(
                f"the lease of {self.subject} ran out after {self._times.lease_seconds:.0f} s"
            )

    def give_back(self) -> None:
        """Let the next one in; if MLflow is not there that is only told, as it ends by itself."""
        if self._held is None:
            return
        held, self._held = self._held, None
        try:
            self._delete(held)
        except MLflowError as err:
            logger.warning(
                "the lease of %s was not given back (%s); it ends by itself in %.0f s",
                self.subject,
                err,
                self._times.lease_seconds,
            )

    def _look(self) -> list[_Seen]:
        """The newest locks of the chain, the newest first."""
        from mlflow.entities import ViewType

        found = self._connection.ask(
            "search_experiments",
            view_type=ViewType.ALL,
            max_results=_LOOKED_AT,
            filter_string=f"name LIKE '{self._chain}%'",
            order_by=["name DESC"],
        )
        seen = [lock for lock in map(_read, found) if lock is not None]
        for lock in seen:
            # `mlflow gc` may let a number be given again, to another holder.
            self._first_seen.setdefault((lock.number, lock.token), self._now())
        return seen

    def _mine(self) -> list[_Seen]:
        return [lock for lock in self._seen if lock.held and lock.token == self._token]

    def _usable(self) -> list[_Seen]:
        return [lock for lock in self._mine() if self._has_time(self._expiry(lock.number))]

    def _alive(self) -> list[_Seen]:
        others = [lock for lock in self._seen if lock.held and lock.token != self._token]
        return [lock for lock in others if not self._is_dead(lock)]

    def _create(self, number: int) -> None:
        """Ask for a lock; whether MLflow took it, or nobody knows, the next look tells."""
        self._begun.setdefault(number, self._now())
        tags = {
            **{f"stage-move.{key}": value for key, value in self._purpose.items() if value},
            _TOKEN: self._token,
            _SECONDS: str(self._times.lease_seconds),
            "mlflow.note.content": (
                f"Held while the stages of {self.subject} are written; deleted when that is done. "
                f"Holder: {_words(self._purpose)}. Left behind by a crash, it lasts "
                f"{self._times.lease_seconds:.0f} s; nothing need be done."
            ),
        }
        try:
            self._connection.ask("create_experiment", f"{self._chain}{number:08}", tags=tags)
        except MLflowRefusal as err:
            if err.code != "RESOURCE_ALREADY_EXISTS":
                raise self._explained(err) from err

    def _keep(self, mine: _Seen) -> None:
        self._held, self._until = mine, self._expiry(mine.number)
        for lock in self._seen:
            if lock.held and lock.number != mine.number:
                logger.warning(
                    "%s had the lease of %s for more than %.0f s and did not give it back",
                    lock.holder,
                    self.subject,
                    lock.lasts_seconds,
                )
                self._delete(lock)

    def _delete(self, lock: _Seen) -> None:
        try:
            self._connection.ask("delete_experiment", lock.experiment_id)
        except MLflowRefusal as err:
            if err.code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise self._explained(err) from err

    def _explained(self, err: MLflowRefusal) -> MLflowRefusal:
        if err.code not in ("PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"):
            return err
        return MLflowRefusal(
            f"{err}. A stage move takes a lock, and a lock is an experiment of MLflow "
            f"({self._chain}*): this user lacks the right to create experiments, or to delete "
            "them. Who moves a stage needs both: model_deploy.test, and reconcile with --apply.",
            err.code,
        )

    def _is_dead(self, lock: _Seen) -> bool:
        return self._now() - self._first_seen[lock.number, lock.token] > lock.lasts_seconds

    def _expiry(self, number: int) -> float:
        return self._begun.get(number, float("-inf")) + self._times.lease_seconds

    def _has_time(self, until: float) -> bool:
        return self._now() + self._times.call_seconds < until

    def _now(self) -> float:
        return self._times.clock()


@dataclass
class Waited:
    """How long one move has waited for leases so far, in all its tries."""

    seconds: float = 0.0


def take_all(leases: Sequence[Lease], times: Times, waited: Waited) -> None:
    """Return when all are ours; Unsettled, naming a holder, when patience ends before.

    Each round looks at all chains, so that dead holders of several are outlived at the same time.
    Nothing is held while waiting, so that nobody is outlived for it: they are taken one after the
    other when all are free, and given back if somebody was faster. MLflow decides who that is.
    """
    ordered = sorted(leases, key=lambda lease: lease.sort_key)
    tell_at = times.clock()
    while True:
        begun = times.clock()
        looks = [(lease, lease.observe()) for lease in ordered]
        blocked = [(lease, holders) for lease, holders in looks if holders]
        if not blocked and all(lease.try_take() for lease in ordered):
            return
        for lease in ordered:
            lease.withdraw()
        lease, holders = (blocked or looks)[0]
        if waited.seconds >= times.patience_seconds:
            raise Unsettled(lease.describe_wait(holders, "given up"))
        if blocked and times.clock() >= tell_at:
            logger.info("%s", lease.describe_wait(holders, "waiting"))
            tell_at = times.clock() + _TOLD_EVERY_SECONDS
        times.sleep(times.poll_seconds * random.uniform(0.5, 1.0))  # noqa: S311
        waited.seconds += times.clock() - begun


@contextmanager
def taken(leases: Sequence[Lease], times: Times, waited: Waited) -> Iterator[None]:
    """All of them for a while; given back afterwards.

    Only when MLflow is unwell they are kept: asking it once more would take minutes, and who tries
    again takes them again.
    """
    try:
        take_all(leases, times, waited)
        yield
    except MLflowUnwell:
        raise
    except BaseException:
        _give_back(leases)
        raise
    _give_back(leases)


def _give_back(leases: Sequence[Lease]) -> None:
    for lease in leases:
        lease.give_back()


def who_asks() -> str:
    """User, host and process, for those who wait."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user} at {socket.gethostname()}, process {os.getpid()}"


def _read(found: Any) -> _Seen | None:
    named = _NAMED_LIKE_LOCK.fullmatch(found.name)
    if named is None:
        return None
    tags = dict(found.tags)
    purpose = {
        key.removeprefix("stage-move."): value
        for key, value in tags.items()
        if key.startswith("stage-move.") and key not in (_TOKEN, _SECONDS)
    }
    try:
        lasts_seconds = float(tags.get(_SECONDS, ""))
    except ValueError:
        lasts_seconds = Times.of_environment().lease_seconds
    return _Seen(
        number=int(named[1]),
        experiment_id=str(found.experiment_id),
        held=found.lifecycle_stage == "active",
        token=tags.get(_TOKEN, ""),
        lasts_seconds=lasts_seconds,
        holder=_words(purpose) or f"experiment {found.name}",
    )


def _words(purpose: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in purpose.items() if value)
