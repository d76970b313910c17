"""Whether the model may be registered: better than knowing nothing, no worse than the champion.

    test rows ─▶ loss of each ─┬─ new ──────┬─▶ better beyond chance? ──┐
                               ├─ constant ─┘                           ├─▶ gate_report.json
                               └─ champion ───▶ worse beyond chance? ───┤
    metrics ───────────────────────────────────▶ within the limits? ────┘

Beyond chance: by a paired bootstrap of the test rows. What is decided here, and how often it is
wrong, is in docs/decisions/0010-a-gate-beyond-chance.md and benchmarks/gate.py.
"""

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
# Fewer independent rows than this tell nothing beyond chance.
FEWEST_UNITS = 5
# More are drawn in blocks of equal numbers of rows, which gives the same intervals.
_MOST_UNITS = 5000

Floats = npt.NDArray[np.float64]
Summarise = Callable[[Floats], Floats]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True)
class Champion:
    """What serves production now, as the gate meets it.

    `losses` are its rows' losses, None if it could not be asked, which `why` then explains. No
    champion at all has no version. `remarks` are what to know of the comparison.
    """

    version: str | None
    losses: Floats | None = None
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


class Comparison:
    """Bootstrap over independent units of the test rows.

    `units` has a number for each row: rows with an equal one are drawn together.
    """

    def __init__(self, units: npt.NDArray[Any], summarise: Summarise, random_seed: int) -> None:
        _, self._unit_of_row = np.unique(units, return_inverse=True)
        self.units = int(self._unit_of_row.max()) + 1
        self._summarise = summarise
        self._seed = random_seed
        self._block_of_unit = self._choose_blocks()
        self._rows = self._add(np.ones(len(units)))

    def measure(self, losses: Floats) -> Interval:
        """The metric of these rows."""
        return self._bootstrap(losses)

    def compare(self, losses: Floats, others: Floats, margin: float = 0.0) -> Interval:
        """The metric of `losses` less that of `others`, the latter greater by the margin."""
        return self._bootstrap(losses, others, 1 + margin)

    def _choose_blocks(self) -> npt.NDArray[Any]:
        blocks = min(self.units, _MOST_UNITS)
        return np.random.default_rng(self._seed).permutation(self.units) % blocks

    def _add(self, values: Floats) -> Floats:
        """Sums of the rows' values in each block."""
        sums = np.bincount(self._block_of_unit[self._unit_of_row], weights=values)
        return sums.astype(np.float64)

    def _bootstrap(
        self, losses: Floats, others: Floats | None = None, scale: float = 1.0
    ) -> Interval:
        sums = [self._add(losses), self._rows]
        if others is not None:
            sums.append(self._add(others))

        def statistic(*drawn: Floats, axis: int = -1) -> Floats:
            ours, rows, *theirs = (each.sum(axis) for each in drawn)
            metric = self._summarise(ours / rows)
            return metric - scale * self._summarise(theirs[0] / rows) if theirs else metric

        drawn = stats.bootstrap(
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
        return Interval(value=float(statistic(*sums)), low=float(drawn.low), high=float(drawn.high))


def judge(
    *,
    task: str,
    measured: Mapping[str, float],
    comparison: Comparison,
    losses: Floats,
    baseline_losses: Floats,
    baseline_is: str,
    champion: Champion,
    rules: Rules,
) -> dict[str, Any]:
    """The gate's report (schema: docs/pipeline.md, "The gate")."""
    metric = metrics.METRICS[task][0]
    report: dict[str, Any] = {
        "version": VERSION,
        "task": task,
        "metric": {
            "name": metric.name,
            "label": metric.label,
            "greater_is_better": metric.greater_is_better,
        },
        "rows": len(losses),
        "units": comparison.units,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "random_seed": rules.random_seed,
        "metrics": dict(measured),
        "limits": [_check_limit(limit, measured) for limit in rules.limits],
    }
    if comparison.units < FEWEST_UNITS:
        return _conclude(report, [_say_too_few(comparison.units, len(losses))])
    report["new"] = comparison.measure(losses).to_json()
    report["baseline"] = {
        "what": baseline_is,
        **comparison.measure(baseline_losses).to_json(),
        "difference": comparison.compare(losses, baseline_losses).to_json(),
    }
    report["champion"] = _meet_champion(comparison, losses, champion, rules.margin)
    reasons = [
        _say_no_better(metric, report),
        *(_say_limit(limit) for limit in report["limits"]),
        _say_worse(metric, report, rules),
    ]
    return _conclude(report, [reason for reason in reasons if reason])


def _conclude(report: dict[str, Any], reasons: Sequence[str]) -> dict[str, Any]:
    report["verdict"] = "failed" if reasons else "passed"
    report["reason"] = "; ".join(reasons)
    report["summary"] = summarise(report)
    return report


def summarise(report: Mapping[str, Any]) -> str:
    """The report in a line: the new one's metric, and beside it what it was compared with."""
    first, second = metrics.METRICS[report["task"]][:2]
    measured = report["metrics"]
    told = f"{first.label} {measured[first.name]:.4g}"
    if "new" in report:
        told += f" (95 %: {report['new']['low']:.4g} to {report['new']['high']:.4g})"
    if second.name in measured:
        told += f", {second.label} {measured[second.name]:.3g}"
    if "baseline" in report:
        told += f"; {report['baseline']['what']} {report['baseline']['value']:.4g}"
    champion = report.get("champion", {"state": "none"})
    if champion["state"] == "compared":
        told += f"; champion v{champion['version']} {champion['value']:.4g}, "
        told += _say_difference(champion["difference"])
    elif champion["state"] == "incomparable":
        told += f"; champion v{champion['version']} not compared"
    elif "new" in report:
        told += "; no champion yet"
    return told


def _meet_champion(
    comparison: Comparison, losses: Floats, champion: Champion, margin: float
) -> dict[str, Any]:
    told: dict[str, Any] = {"version": champion.version, "remarks": list(champion.remarks)}
    if champion.version is None:
        return {**told, "state": "none", "why": "no version is the champion yet"}
    if champion.losses is None:
        return {**told, "state": "incomparable", "why": champion.why}
    return {
        **told,
        "state": "compared",
        "why": "",
        "margin": margin,
        **comparison.measure(champion.losses).to_json(),
        "difference": comparison.compare(losses, champion.losses).to_json(),
        "worse": comparison.compare(losses, champion.losses, margin).low > 0,
    }


def _check_limit(limit: Limit, measured: Mapping[str, float]) -> dict[str, Any]:
    value = measured.get(limit.metric)
    met = value is not None
    if value is not None and limit.minimum is not None:
        met = met and value >= limit.minimum
    if value is not None and limit.maximum is not None:
        met = met and value <= limit.maximum
    return {
        "metric": limit.metric,
        "min": limit.minimum,
        "max": limit.maximum,
        "value": value,
        "met": met,
    }


def _say_difference(difference: Mapping[str, float]) -> str:
    if difference["high"] < 0:
        return "better beyond chance"
    return "worse beyond chance" if difference["low"] > 0 else "no difference beyond chance"


def _say_too_few(units: int, rows: int) -> str:
    return (
        f"of the {rows} test rows only {units} are independent of each other (copies, or the "
        f"groups or moments of SplitBy), and {FEWEST_UNITS} are needed to tell anything beyond "
        "chance; set TestSize or SplitBy"
    )


def _say_no_better(metric: Metric, report: Mapping[str, Any]) -> str:
    difference = report["baseline"]["difference"]
    if difference["high"] < 0:
        return ""
    new, baseline = report["new"]["value"], report["baseline"]["value"]
    return (
        f"{metric.label} {new:.4g} is not better beyond chance than {baseline:.4g}, which "
        f"{report['baseline']['what']} alone would have (difference {_say_interval(difference)})"
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


def _say_worse(metric: Metric, report: Mapping[str, Any], rules: Rules) -> str:
    champion = report["champion"]
    if champion["state"] == "incomparable" and rules.champion_needed:
        return (
            f"the champion, version {champion['version']}, can't be compared: {champion['why']}. "
            "ChampionIncomparable=allow registers without the comparison"
        )
    if not champion.get("worse"):
        return ""
    margin = f" by more than {rules.margin:.3g} of it" if rules.margin else ""
    told = (
        f"{metric.label} {report['new']['value']:.4g} is worse beyond chance{margin} than "
        f"{champion['value']:.4g} of the champion, version {champion['version']}, on the same rows "
        f"(difference {_say_interval(champion['difference'])})"
    )
    return ". ".join([told, *champion["remarks"]])


def _say_interval(difference: Mapping[str, float]) -> str:
    return f"{difference['low']:+.3g} to {difference['high']:+.3g}"


def _widen(confidence: float, units: int) -> float:
    """The level at which a percentile interval of few units covers what it should.

    Its variance is that of n - 1 and its tails are the normal's; both are set right as in T.
    Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.3 ("expanded
    percentile interval").
    """
    tail = (1 - confidence) / 2
    quantile = stats.t.ppf(tail, units - 1) * np.sqrt(units / (units - 1))
    return float(1 - 2 * stats.norm.cdf(quantile))
