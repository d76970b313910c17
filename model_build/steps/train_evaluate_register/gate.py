"""Whether the model may be registered: better than knowing nothing, no worse than the champion.

    test rows ─▶ loss of each ─┬─ new ──────┬─▶ better beyond chance? ──┐
                               ├─ constant ─┘                           ├─▶ gate_report.json
                               └─ champion ───▶ worse beyond chance? ───┤
    metrics ───────────────────────────────────▶ within the limits? ────┘

Beyond chance: by a paired bootstrap of the test rows, in one of two metrics. Why these, and how
often the gate is wrong: docs/decisions/0010-a-gate-beyond-chance.md, benchmarks/gate.py.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import metrics
import numpy as np
import numpy.typing as npt
from metrics import Limit, Metric
from scipy import stats

VERSION = 1
CONFIDENCE = 0.95
RESAMPLES = 4000
# Fewer independent rows than this tell nothing beyond chance; nor do more of which all but fewer
# have the same target: whoever is more sure of that one is better on every row.
FEWEST_UNITS = 5
# More are drawn in blocks of equal numbers of rows, which gives the same intervals.
_MOST_UNITS = 5000

# What is told beside the first metric.
_BESIDE = {"regression": metrics.R2, "classification": metrics.ACCURACY}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What each test row adds to one metric; `champion` is None if there is none to compare.

    `summarise` makes the metric of the rows' mean.
    """

    metric: Metric
    summarise: Callable[[Floats], Floats]
    new: Floats
    constant: Floats
    champion: Floats | None


@dataclass(frozen=True, kw_only=True)
class Champion:
    """What serves production now, as the gate meets it; no champion at all has no version.

    `why` says why it could not be asked, and is empty if it was. `remarks` are what to know of the
    comparison.
    """

    version: str | None
    why: str = ""
    remarks: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What was asked of the gate.

    `margin` is the share by which the new one may be worse than the champion; `champion_needed`
    refuses a model whose champion could not be compared.
    """

    limits: Sequence[Limit]
    margin: float
    champion_needed: bool
    random_seed: int


class Bootstrap:
    """Draws independent units of the test rows, the same ones for all that is compared.

    `units` has a number for each row: rows with an equal one are drawn together.
    """

    def __init__(self, units: npt.NDArray[Any], random_seed: int) -> None:
        _, self._unit_of_row = np.unique(units, return_inverse=True)
        self.units = int(self._unit_of_row.max()) + 1
        self._seed = random_seed
        blocks = min(self.units, _MOST_UNITS)
        self._block_of_unit = np.random.default_rng(random_seed).permutation(self.units) % blocks
        self._rows = self._add(np.ones(len(units)))

    def measure(self, losses: Floats, summarise: Callable[[Floats], Floats]) -> Interval:
        """The metric of these rows."""
        return self._draw([losses], lambda means: summarise(means[0]))

    def compare(
        self,
        losses: Floats,
        others: Floats,
        summarise: Callable[[Floats], Floats],
        scale: float = 1.0,
    ) -> Interval:
        """The metric of `losses` less that of `others`, the latter times `scale`."""
        return self._draw(
            [losses, others], lambda means: summarise(means[0]) - scale * summarise(means[1])
        )

    def _add(self, values: Floats) -> Floats:
        """Sums of the rows' values in each block."""
        sums = np.bincount(self._block_of_unit[self._unit_of_row], weights=values)
        return sums.astype(np.float64)

    def _draw(
        self, losses: Sequence[Floats], compute: Callable[[Sequence[Floats]], Floats]
    ) -> Interval:
        sums = [*(self._add(each) for each in losses), self._rows]

        def statistic(*drawn: Floats, axis: int = -1) -> Floats:
            *added, rows = (each.sum(axis) for each in drawn)
            return compute([each / rows for each in added])

        found = stats.bootstrap(
            sums,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, 2_000_000 // len(self._rows)),
            method="percentile",
            confidence_level=_widen(CONFIDENCE, len(self._rows)),
            rng=np.random.default_rng(self._seed),
        ).confidence_interval
        return Interval(value=float(statistic(*sums)), low=float(found.low), high=float(found.high))


def judge(
    *,
    task: str,
    measured: Mapping[str, float],
    actual: npt.NDArray[Any],
    units: npt.NDArray[Any],
    losses: Sequence[Losses],
    constant_is: str,
    champion: Champion,
    rules: Rules,
) -> dict[str, Any]:
    """The gate's report (schema: docs/pipeline.md, "The gate").

    `losses` has the metric that is told first, and perhaps a second one; `actual` are the targets,
    `units` are Bootstrap's.
    """
    bootstrap = Bootstrap(units, rules.random_seed)
    usual, units_apart = _find_usual(actual, units)
    report: dict[str, Any] = {
        "version": VERSION,
        "task": task,
        "rows": len(units),
        "units": bootstrap.units,
        "units_apart": units_apart,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "random_seed": rules.random_seed,
        "baseline": constant_is,
        "champion": _describe_champion(champion, rules.margin),
        "measures": [],
        "limits": [_check_limit(limit, measured) for limit in rules.limits],
        "metrics": dict(measured),
    }
    reasons = []
    if bootstrap.units < FEWEST_UNITS:
        reasons.append(_say_too_few(bootstrap.units, len(units)))
    else:
        report["measures"] = [_compare(bootstrap, each, rules.margin) for each in losses]
        too_few_apart = units_apart < FEWEST_UNITS
        reasons += [
            _say_too_few_apart(report, usual) if too_few_apart else _say_no_better(report),
            _say_worse(report),
        ]
    reasons += [_say_incomparable(report, rules), *map(_say_limit, report["limits"])]
    kept = [reason for reason in reasons if reason]
    report["verdict"] = "failed" if kept else "passed"
    report["reason"] = "; ".join(kept)
    report["summary"] = summarise(report)
    return report


def summarise(report: Mapping[str, Any]) -> str:
    """The report in a line: the new one's metric, and beside it what it was compared with."""
    first = metrics.METRICS[report["task"]][0]
    measured = report["metrics"]
    told = f"{first.label} {measured[first.name]:.4g}"
    beside = _BESIDE[report["task"]]
    if not report["measures"]:
        return told
    measure, *others = report["measures"]
    told += f" (95 %: {measure['new']['low']:.4g} to {measure['new']['high']:.4g})"
    if beside.name in measured:
        told += f", {beside.label} {measured[beside.name]:.3g}"
    told += f"; {report['baseline']} {measure['baseline']['value']:.4g}"
    if not measure["baseline"]["better"]:
        told += "".join(f", better by {each['metric']['label']}" for each in _find_better(others))
    champion = report["champion"]
    if champion["state"] == "none":
        return f"{told}; no champion yet"
    if champion["state"] == "incomparable":
        return f"{told}; champion v{champion['version']} not compared"
    against = measure["champion"]
    told += f"; champion v{champion['version']} {against['value']:.4g}, "
    if against["better"]:
        return f"{told}better beyond chance"
    if not against["worse"]:
        return f"{told}no difference beyond chance"
    return f"{told}worse beyond chance{'' if against['beyond_margin'] else ', within the margin'}"


def _find_usual(actual: npt.NDArray[Any], units: npt.NDArray[Any]) -> tuple[Any, int]:
    """The most frequent target, and how many independent rows have another."""
    values, counts = np.unique(actual, return_counts=True)
    usual = values[counts.argmax()]
    return usual, len(np.unique(units[actual != usual]))


def _compare(bootstrap: Bootstrap, losses: Losses, margin: float) -> dict[str, Any]:
    """One metric of the new model, and of what it is compared with."""
    metric = losses.metric
    told: dict[str, Any] = {
        "metric": {
            "name": metric.name,
            "label": metric.label,
            "greater_is_better": metric.greater_is_better,
        },
        "new": bootstrap.measure(losses.new, losses.summarise).to_json(),
        "baseline": _against(bootstrap, losses, losses.constant, 0.0),
        "champion": None,
    }
    if losses.champion is not None:
        told["champion"] = _against(bootstrap, losses, losses.champion, margin)
    return told


def _against(bootstrap: Bootstrap, losses: Losses, other: Floats, margin: float) -> dict[str, Any]:
    """The other's metric, and the difference to it, beyond chance and beyond the margin."""
    greater_is_better = losses.metric.greater_is_better
    difference = bootstrap.compare(losses.new, other, losses.summarise)
    allowed = difference
    if margin:
        scale = 1 - margin if greater_is_better else 1 + margin
        allowed = bootstrap.compare(losses.new, other, losses.summarise, scale)

    def is_worse(interval: Interval) -> bool:
        return interval.high < 0 if greater_is_better else interval.low > 0

    return {
        **bootstrap.measure(other, losses.summarise).to_json(),
        "difference": difference.to_json(),
        "better": difference.low > 0 if greater_is_better else difference.high < 0,
        "worse": is_worse(difference),
        "beyond_margin": is_worse(allowed),
    }


def _describe_champion(champion: Champion, margin: float) -> dict[str, Any]:
    state, why = "compared", champion.why
    if champion.version is None:
        state, why = "none", "no version is the champion yet"
    elif why:
        state = "incomparable"
    return {
        "state": state,
        "version": champion.version,
        "why": why,
        "remarks": list(champion.remarks),
        "margin": margin,
    }


def _check_limit(limit: Limit, measured: Mapping[str, float]) -> dict[str, Any]:
    value = measured.get(limit.metric)
    least = -math.inf if limit.minimum is None else limit.minimum
    most = math.inf if limit.maximum is None else limit.maximum
    return {
        "metric": limit.metric,
        "min": limit.minimum,
        "max": limit.maximum,
        "value": value,
        "met": value is not None and least <= value <= most,
    }


def _find_better(measures: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [measure for measure in measures if measure["baseline"]["better"]]


def _say_too_few(units: int, rows: int) -> str:
    return (
        f"of the {rows} test rows only {units} are independent of each other (copies, or the "
        f"groups or moments of SplitBy), and {FEWEST_UNITS} are needed to tell anything beyond "
        "chance; set TestSize or SplitBy"
    )


def _say_too_few_apart(report: Mapping[str, Any], usual: Any) -> str:
    return (
        f"the target is {usual} in all of the {report['rows']} test rows but "
        f"{report['units_apart']}, and {FEWEST_UNITS} others are needed to tell anything beyond "
        "chance; add such rows, or set TestSize or SplitBy"
    )


def _say_no_better(report: Mapping[str, Any]) -> str:
    """Better in one of the two is enough: each lets one in forty of pure noise through."""
    if _find_better(report["measures"]):
        return ""
    told = [
        f"{measure['metric']['label']} {measure['new']['value']:.4g} is not better beyond chance "
        f"than {measure['baseline']['value']:.4g}, which {report['baseline']} alone would have "
        f"(difference {_say_interval(measure['baseline']['difference'])})"
        for measure in report["measures"][:1]
    ]
    others = [measure["metric"]["label"] for measure in report["measures"][1:]]
    return "".join([*told, *(f", nor is {label}" for label in others)])


def _say_worse(report: Mapping[str, Any]) -> str:
    """Worse in the first metric; or in the second one and not better in the first."""
    champion = report["champion"]
    if champion["state"] != "compared":
        return ""
    first, *others = report["measures"]
    worse = [each for each in others if each["champion"]["beyond_margin"]]
    if first["champion"]["beyond_margin"]:
        worse = [first]
    elif first["champion"]["better"]:
        worse = []
    if not worse:
        return ""
    measure = worse[0]
    margin = f" by more than {champion['margin']:.3g} of it" if champion["margin"] else ""
    told = (
        f"{measure['metric']['label']} {measure['new']['value']:.4g} is worse beyond chance{margin}"
        f" than {measure['champion']['value']:.4g} of the champion, version {champion['version']}, "
        f"on the same rows (difference {_say_interval(measure['champion']['difference'])})"
    )
    return ". ".join([told, *champion["remarks"]])


def _say_incomparable(report: Mapping[str, Any], rules: Rules) -> str:
    champion = report["champion"]
    if champion["state"] != "incomparable" or not rules.champion_needed:
        return ""
    return (
        f"the champion, version {champion['version']}, can't be compared: {champion['why']}. "
        "ChampionIncomparable=allow registers without the comparison"
    )


def _say_limit(limit: Mapping[str, Any]) -> str:
    if limit["met"]:
        return ""
    name, value = limit["metric"], limit["value"]
    if value is None:
        return f"{name}, which has a limit, is not defined on these test rows"
    if limit["max"] is not None and value > limit["max"]:
        return f"{name} {value:.6g} is above the limit {limit['max']:.6g}"
    return f"{name} {value:.6g} is below the limit {limit['min']:.6g}"


def _say_interval(difference: Mapping[str, float]) -> str:
    return f"{difference['low']:+.3g} to {difference['high']:+.3g}"


def _widen(confidence: float, units: int) -> float:
    """The level at which a percentile interval of few units covers what it should.

    The bootstrap's variance is that of n instead of n - 1, and its tails are the normal's; both are
    set right as in T. Hesterberg, "What Teachers Should Know About the Bootstrap", 2015 ("expanded
    percentile interval").
    """
    tail = (1 - confidence) / 2
    quantile = stats.t.ppf(tail, units - 1) * np.sqrt(units / (units - 1))
    return float(1 - 2 * stats.norm.cdf(quantile))
