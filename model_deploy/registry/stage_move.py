"""The move: under a lease, read fresh, decided, written, and read back until it is true.

    leases ─▶ read ─▶ claimed elsewhere? ─▶ plan ─▶ writes ─▶ read ─▶ plan: nothing left ─▶ cards
      ▲         ▲                                                        │ something left
      │         └────────────────────────────────────────────────────────┘ (4 times)
      └── MLflow is unwell, or a lease ran out: again, for minutes (waiting for leases apart)

What can't be made true ends as Unsettled. Only input errors come before (no such version; the stage
is claimed elsewhere), and they leave the registry as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from model_deploy.errors import AwsError, MLflowError, Unsettled
from model_deploy.registry import card, moves, versions
from model_deploy.registry import evidence as tags_of
from model_deploy.registry import lease as leases
from model_deploy.registry.connection import Connection, MLflowUnwell
from model_deploy.registry.evidence import Evidence
from model_deploy.registry.lease import Lease, LeaseRanOut, Times, Waited
from model_deploy.registry.moves import Version, View, Write

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_ROUNDS = 5
_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Move:
    """A version that claims a stage for an endpoint.

    `still_serves` is asked under the lease, before anything is written: whether the endpoint serves
    the version that passed. Between the test and the lease another deployment may have finished.
    """

    name: str
    version: str
    stage: str
    evidence: Evidence
    still_serves: Callable[[], bool] | None = None

    def __str__(self) -> str:
        return f"version {self.version} of {self.name!r} to {self.stage}"


def claim_stage(connection: Connection, move: Move, times: Times) -> None:
    """Return when stage, alias and evidence say what `move` says, and nobody else claims it.

    Raises ClaimedElsewhere, ModelNotFound, or Unsettled.
    """
    moves.require_stage(move.stage)
    purpose = _purpose(move.stage, move.evidence, model=move.name, version=move.version)
    held = _Leases(connection, times, purpose)
    try:
        persist(str(move), times, lambda: _claim(connection, move, held), held.waited)
    finally:
        held.give_back()


def require_right_to_lock(connection: Connection, name: str, times: Times) -> None:
    """MLflowError if this user can't take the model's lease; four calls, and no wait for it."""
    lease = Lease(connection, f"model {name}", times, {"who": leases.who_asks(), "model": name})
    try:
        if not lease.observe():
            lease.try_take()
    finally:
        lease.withdraw()


def release_stage(
    connection: Connection,
    stage: str,
    endpoint_arn: str,
    serves: str,
    times: Times,
    still_true: Callable[[], bool],
    keep: Sequence[tuple[str, str]] = (),
) -> list[Version]:
    """Archive whoever claims the stage by evidence of this endpoint, which serves none of them.

    `serves` is what it serves instead, for the tags; `keep` are (name, number) that are left as
    they are. The versions that were archived.
    """
    moves.require_stage(stage)
    purpose = _purpose(stage, Evidence(endpoint_arn=endpoint_arn), model="", version="")
    gone: list[Version] = []

    def release() -> None:
        found = _release(connection, stage, endpoint_arn, serves, held, still_true, keep)
        gone.extend(version for version in found if version not in gone)

    held = _Leases(connection, times, purpose)
    try:
        persist(f"{stage} of {endpoint_arn}", times, release, held.waited)
    finally:
        held.give_back()
    return gone


class _Leases:
    """The leases of one move, the same ones in each try."""

    def __init__(self, connection: Connection, times: Times, purpose: Mapping[str, str]) -> None:
        self._connection = connection
        self._times = times
        self._purpose = purpose
        self._known: dict[str, Lease] = {}
        self.waited = Waited()

    def taken(self, subjects: Sequence[str]) -> AbstractContextManager[None]:
        """Hold all of them for a while."""
        found = [self._lease(subject) for subject in subjects]
        return leases.taken(found, self._times, self.waited)

    def give_back(self) -> None:
        """What an MLflow that was unwell left in our hands."""
        for lease in self._known.values():
            lease.give_back()

    def require(self, subjects: Sequence[str]) -> None:
        """LeaseRanOut if one more call might come too late."""
        for subject in subjects:
            self._lease(subject).require()

    def _lease(self, subject: str) -> Lease:
        if subject not in self._known:
            self._known[subject] = Lease(self._connection, subject, self._times, self._purpose)
        return self._known[subject]


def persist(
    what: str, times: Times, attempt: Callable[[], Answer], in_line: Waited | None = None
) -> Answer:
    """Try while MLflow is unwell, for `outage_seconds` in all; then Unsettled.

    What was spent `in_line` for leases is no outage: patience bounds it.
    """
    begun, in_line = times.clock(), in_line or Waited()
    while True:
        try:
            return attempt()
        except (MLflowUnwell, LeaseRanOut, AwsError) as err:
            waited = times.clock() - begun - in_line.seconds
            if waited >= times.outage_seconds:
                raise _unsettled(what, f"{err}; tried for {waited:.0f} s") from err
            logger.warning(
                "%s: %s; tried again for %.0f s more", what, err, times.outage_seconds - waited
            )
            times.sleep(min(_PAUSE_SECONDS, max(times.outage_seconds - waited, 0.0)))
        except MLflowError as err:
            raise _unsettled(what, str(err)) from err


def _claim(connection: Connection, move: Move, held: _Leases) -> None:
    arn = move.evidence.endpoint_arn
    endpoint = [f"endpoint {arn}"] if arn else []

    def find_models() -> set[str]:
        others = versions.find_others(connection, move.name, move.stage, arn)
        return {move.name, *(other.name for other in others)}

    models = find_models()
    while True:
        subjects = [*endpoint, *(f"model {name}" for name in sorted(models))]
        with held.taken(subjects):
            # Who else claims the endpoint stays the same while its lease is ours.
            now = find_models()
            if now <= models:
                require = partial(held.require, subjects)
                _settle(connection, move, require)
                card.write_of_claim(connection, move.name, move.version, move.stage, require)
                return
        models |= now


def _settle(connection: Connection, move: Move, require_leases: Callable[[], None]) -> None:
    arn = move.evidence.endpoint_arn
    for round_number in range(_ROUNDS + 1):  # the last one only reads
        view = versions.read_view(connection, move.name, move.stage, arn, move.version)
        version = versions.get_version(connection, move.name, move.version)
        if round_number == 0:
            moves.require_unclaimed(view, move.name, arn)
            _require_served(move)
        writes = _plan(move, view, version, first=round_number == 0)
        if not writes:
            require_leases()
            logger.info("version %s of %s is %s", version.number, move.name, version.stage)
            return
        said = view.describe()
        if round_number == _ROUNDS:
            raise _unsettled(str(move), f"written {_ROUNDS} times, the registry says: {said}")
        if round_number:
            logger.warning("%s: read back: %s; written again", move, said)
        _write(connection, writes, require_leases)


def _plan(move: Move, view: View, version: Version, *, first: bool) -> list[Write]:
    now = _now()
    replaced = [holder for holder in view.holders if holder.number != version.number]
    told = {
        (v.name, v.number): tags_of.tags_of_replacement(
            v.tags,
            move.stage,
            version.number if v.name == move.name else f"{move.name}/{version.number}",
            now,
        )
        for v in (*replaced, *view.others)
    }
    return moves.plan_claim(
        view,
        version,
        tags=tags_of.tags_of_promotion(version.tags, move.stage, move.evidence, now),
        tags_of_replaced=told,
        tags_to_delete=[tags_of.REPLACED_BY],
        always_claim=first,
    )


def _release(
    connection: Connection,
    stage: str,
    endpoint_arn: str,
    serves: str,
    held: _Leases,
    still_true: Callable[[], bool],
    keep: Sequence[tuple[str, str]],
) -> list[Version]:
    names: set[str] = set()
    while True:
        claims = versions.find_others(connection, "", stage, endpoint_arn)
        names |= {claim.name for claim in claims}
        subjects = [f"endpoint {endpoint_arn}", *(f"model {name}" for name in sorted(names))]
        with held.taken(subjects):
            view = versions.read_claims(connection, stage, endpoint_arn)
            if not {claim.name for claim in view.others} <= names:
                continue
            gone = [v for v in view.others if (v.name, v.number) not in keep]
            if not gone:
                return []
            if not still_true():
                raise _unsettled(f"{stage} of {endpoint_arn}", "the endpoint changed meanwhile")
            now = _now()
            told = {
                (v.name, v.number): tags_of.tags_of_replacement(v.tags, stage, serves, now)
                for v in gone
            }
            writes = moves.plan_release(view, gone, told)
            require = partial(held.require, subjects)
            _write(connection, writes, require)
            card.write(connection, told, require)
            return gone


def _write(
    connection: Connection, writes: Sequence[Write], require_leases: Callable[[], None]
) -> None:
    for write in writes:
        require_leases()
        connection.ask(write.method, *write.arguments, **write.options)


def _require_served(move: Move) -> None:
    if move.still_serves is not None and not move.still_serves():
        raise _unsettled(
            str(move),
            f"the endpoint {move.evidence.endpoint_arn} serves something else by now; no more "
            "was written",
        )


def _unsettled(what: str, why: str) -> Unsettled:
    return Unsettled(
        f"{what}: the registry could not be settled: {why}. This says nothing against the "
        "endpoint. `python -m model_deploy.reconcile --import-build-config FILE` compares both, "
        "and --apply settles it."
    )


def _now() -> str:
    # Finer than a test is long: the order of what happened is read from it.
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _purpose(stage: str, evidence: Evidence, *, model: str, version: str) -> dict[str, str]:
    return {
        "who": leases.who_asks(),
        "at": _now(),
        "model": model,
        "version": version,
        "stage": stage,
        "endpoint": evidence.endpoint_arn,
        "execution": evidence.pipeline_execution_id,
    }
