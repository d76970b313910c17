"""The first reading: what each column is, what is odd, and whether the table can be used at all.

survey ─▶ verdict for each column ─▶ places of odd values ─▶ refuse, or decide
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import column_kinds
import conversion
import numpy as np
import splitting
from column_kinds import Column, Survey, TextSurvey, Verdict
from errors import DataError, enumerate_names
from findings import Finding, OddValues
from raw_table import RawTable, as_mask
from target_task import RawCounts, Target, Task, TaskChoice, choose_task

_COLUMNS_TOLD = 5
_NOT = {"number": "no numbers", "date": "no dates between 1677 and 2262"}


class OddPolicy(enum.Enum):
    """What becomes of the few values of a column that are not what nearly all others are."""

    REFUSE = "refuse"
    MISSING = "missing"
    TEXT = "text"

    @classmethod
    def read(cls, text: str) -> "OddPolicy":
        """From the parameter OddValues. Raises DataError."""
        try:
            return cls(text.strip())
        except ValueError:
            choices = ", ".join(policy.value for policy in cls)
            raise DataError(f"OddValues is {text!r}; give one of {choices}") from None


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The task; how each column will be read, the target among them; what is odd in it; what was
    found.

    `digests` has one of each row, in the table's order. `dropped` gives a reason for each column
    that is left out.
    """

    task: Task
    columns: Mapping[str, Column]
    odd_values: Mapping[str, OddValues]
    dropped: Mapping[str, str]
    findings: list[Finding]
    digests: splitting.Digests


def decide(table: RawTable, target: str, choice: TaskChoice, policy: OddPolicy) -> Decisions:
    """Read the table once, and once more if some values are odd. Raises DataError."""
    if target not in table.columns:
        raise DataError(
            f"{table.source} has no column {target!r} to predict; it has "
            f"{enumerate_names(table.columns)}. Set the parameter TargetColumn"
        )
    counts = RawCounts()
    surveys, digests = _survey(table, target, counts)
    findings = [
        Finding(column="", message=remark, warning=warning) for remark, warning in table.remarks
    ]
    dropped: dict[str, str] = {}
    verdicts: dict[str, Verdict] = {}
    for name, seen in surveys.items():
        verdict = column_kinds.decide(name, seen, table)
        if verdict is None:
            dropped[name] = "every value is missing"
        else:
            verdicts[name] = verdict
            findings += _tell_verdict(verdict)
    if target in dropped:
        raise DataError(f"every value of the target {target!r} in {table.source} is missing")
    columns, odd_values = _settle_odd_values(table, verdicts, policy, findings)
    task = choose_task(
        choice,
        Target(
            table=table,
            column=columns[target],
            verdict=verdicts[target],
            survey=surveys[target],
            odd_values=odd_values.get(target),
            values=counts.read(columns[target]),
            complete=counts.complete,
        ),
    )
    if len(columns) == 1:
        raise DataError(f"{table.source} has no column but {target!r} to predict from")
    findings += _tell_words(surveys, columns, target)
    return Decisions(
        task=task,
        columns=columns,
        odd_values=odd_values,
        dropped=dropped,
        findings=findings,
        digests=digests,
    )


def _survey(
    table: RawTable, target: str, counts: RawCounts
) -> tuple[dict[str, Survey], splitting.Digests]:
    surveys: dict[str, Survey] = {}
    digests = []
    for batch in table.read():
        if not surveys:
            surveys = column_kinds.survey(table, batch.columns.schema)
        arrays = batch.arrays()
        for name, seen in surveys.items():
            seen.count(arrays[name])
        counts.count(arrays[target])
        digests.append(splitting.digest_rows(arrays))
    if not sum(map(len, digests)):
        raise DataError(f"{table.source} has no rows")
    return surveys, np.concatenate(digests)


def _tell_verdict(verdict: Verdict) -> Iterator[Finding]:
    column = verdict.column
    if verdict.why_text:
        yield Finding(column=column.name, message=f"read as text: {verdict.why_text}", warning=True)
    if verdict.told:
        yield Finding(column=column.name, message=verdict.told, warning=True)


def _tell_words(
    surveys: Mapping[str, Survey], columns: Mapping[str, Column], target: str
) -> Iterator[Finding]:
    """What words such as NA mean in each column; where they are classes, there is a warning."""
    for name, column in columns.items():
        seen = surveys[name]
        text = column.kind == "text"
        if isinstance(seen, TextSurvey) and seen.missing_words and not (text and name == target):
            most = seen.missing_words.most_common(5)
            words = ", ".join(f"{word!r} ({rows})" for word, rows in most)
            meaning = "text here; only an empty field is missing" if text else "missing here"
            yield Finding(column=name, message=f"{words}: {meaning}")


def _settle_odd_values(
    table: RawTable,
    verdicts: Mapping[str, Verdict],
    policy: OddPolicy,
    findings: list[Finding],
) -> tuple[dict[str, Column], dict[str, OddValues]]:
    """The columns as they will be read, and their odd values. Raises DataError if they may not be.

    Dates that the file has as such are odd where they lie beyond what datetime64[ns] holds.
    """
    suspects = {
        name: verdict.nearly or verdict.column
        for name, verdict in verdicts.items()
        if verdict.nearly or (verdict.column.kind == "date" and name not in table.text_columns)
    }
    odd = {name: found for name, found in _locate_odd(table, suspects).items() if found.count}
    if odd and policy is OddPolicy.REFUSE:
        told = [
            f"column {name!r}: {found.count} of {verdicts[name].values} values are "
            f"{_NOT[suspects[name].kind]}, {found}"
            for name, found in odd.items()
        ]
        more = len(told) - _COLUMNS_TOLD
        shown = "; ".join(told[:_COLUMNS_TOLD]) + (f"; and {more} more columns" * (more > 0))
        raise DataError(
            f"{table.source}: {shown}. Correct them, or set the parameter OddValues: missing "
            "(they count as missing) or text (the column is text)"
        )
    columns = {name: verdict.column for name, verdict in verdicts.items()}
    for name, found in odd.items():
        if policy is OddPolicy.MISSING:
            columns[name], meaning = suspects[name], "taken as missing"
        else:
            columns[name], meaning = Column(name=name, kind="text"), "so the column is text"
        message = f"{found.count} values are {_NOT[suspects[name].kind]}, {meaning}; {found}"
        findings.append(Finding(column=name, message=message, warning=True))
    return columns, odd


def _locate_odd(table: RawTable, suspects: Mapping[str, Column]) -> dict[str, OddValues]:
    found = {name: OddValues() for name in suspects}
    for batch in table.read() if found else ():
        for name, column in suspects.items():
            values = batch.array(name)
            odd = conversion.find_odd(values, conversion.convert(values, column))
            found[name].add(values, as_mask(odd), batch)
    return found
