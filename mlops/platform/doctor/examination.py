"""Runs checks side by side: none hides another, and none lasts longer than it may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from botocore.exceptions import BotoCoreError, ClientError

from mlops.platform.doctor.finding import Finding, failed, skipped
from mlops.platform.doctor.patient import CannotLook, Patient
from mlops.platform.doctor.refusal import explain, is_out_of_reach, one_line
from mlops.platform.doctor.registry import Check

_LOOK_SECONDS = 0.5  # how often the progress is told
_OUT_OF_REACH = skipped("AWS is out of reach: see the check `credentials`")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a check found, and how long that took."""

    check: Check
    findings: tuple[Finding, ...]
    seconds: float


def examine(
    patient: Patient, checks: Sequence[Check], on_wait: Callable[[Check, str, float], None]
) -> Iterator[Result]:
    """Each check's result, in the order of `checks`.

    All run at once. While the next result is awaited, `on_wait(check, how far it is, seconds)` is
    called twice a second.
    """
    runs = [_Run(check=check) for check in checks]
    for run in runs:
        # A daemon: a call that hangs must not keep the program from ending.
        thread = threading.Thread(target=run.do, args=(patient,), name=run.check.name, daemon=True)
        thread.start()
    for run in runs:
        while not run.done.wait(_LOOK_SECONDS) and run.elapsed() < run.check.seconds:
            on_wait(run.check, run.progress, run.elapsed())
        yield run.result()


@dataclass
class _Run:
    check: Check
    begun: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    progress: str = ""
    findings: tuple[Finding, ...] = ()
    ended: float = 0.0

    def elapsed(self) -> float:
        return (self.ended or time.monotonic()) - self.begun

    def do(self, patient: Patient) -> None:
        findings: list[Finding] = []
        try:
            for finding in self.check.look(replace(patient, say=self._say)):
                findings.append(finding)  # what was found before an error counts
        except CannotLook as err:
            findings.append(err.finding)
        except (ClientError, BotoCoreError) as err:
            all_alike = is_out_of_reach(err) and not _is_reachable(patient)
            findings.append(_OUT_OF_REACH if all_alike else explain(err))
        except Exception as err:  # noqa: BLE001  # one check's mistake must not hide the others
            findings.append(
                failed(
                    f"the check itself broke: {type(err).__name__}: {one_line(err)}",
                    "report it with this line; the other checks are not affected",
                )
            )
        self.findings = tuple(findings)
        self.ended = time.monotonic()
        self.done.set()

    def result(self) -> Result:
        if self.done.is_set():
            return Result(check=self.check, findings=self.findings, seconds=self.elapsed())
        progress = f" ({self.progress})" if self.progress else ""
        late = failed(
            f"no answer within {self.check.seconds:g} seconds{progress}",
            f"`mlops platform doctor --only {self.check.name}`; if it happens again, look at the "
            "network between here and AWS",
        )
        return Result(check=self.check, findings=(late,), seconds=self.elapsed())

    def _say(self, progress: str) -> None:
        self.progress = progress


def _is_reachable(patient: Patient) -> bool:
    """Whether AWS answers at all, and only one of its services does not."""
    try:
        patient.account.identity()
    except (ClientError, BotoCoreError) as err:
        return not is_out_of_reach(err)
    return True
