"""The gate lets through what beats the best constant, and stops what is worse than the champion."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import evaluation
import gate
import metrics
import numpy as np
import pandas as pd
import pytest
from estimators import find_estimators
from evaluation import Predictions
from metrics import Limit
from model import Recipe
from verdict import list_losses

RULES = gate.Rules(limits=[], margin=0.0, champion_needed=True, random_seed=1)
NOBODY = gate.Champion(version=None)
CHAMPION = gate.Champion(version="7")


def judge(
    actual: Any,
    new: Predictions,
    *,
    train: Any = None,
    classes: Sequence[Any] = (),
    theirs: Predictions | None = None,
    champion: gate.Champion = NOBODY,
    units: Any = None,
    rules: gate.Rules = RULES,
) -> dict[str, Any]:
    """The report on these predictions; the training targets are the actual ones unless given."""
    actual = pd.Series(actual)
    measures = evaluation.choose_measures(actual if train is None else pd.Series(train), classes)
    return gate.judge(
        task="classification" if classes else "regression",
        measured=evaluation.measure(actual, new, classes, measures),
        actual=actual.to_numpy(),
        units=np.arange(len(actual)) if units is None else units,
        losses=[list_losses(measure, actual, new, theirs) for measure in measures],
        constant_is=evaluation.describe_constant(classes),
        champion=champion,
        rules=rules,
    )


def numbers(values: Any) -> Predictions:
    return Predictions(values=np.asarray(values, dtype=float))


def chances(classes: Sequence[Any], of_second: Any) -> Predictions:
    """Predictions of two classes by the probability of the second."""
    second = np.asarray(of_second, dtype=float)
    values = np.asarray(classes, dtype=object)[(second > 0.5).astype(int)]
    return Predictions(values=values, probabilities=np.column_stack([1 - second, second]))


@pytest.fixture
def target() -> Any:
    return np.random.default_rng(3).normal(10, 3, 120)


@pytest.fixture
def noise() -> Any:
    return np.random.default_rng(4).normal(0, 1, 120)


def test_model_that_follows_the_target_is_registered(target: Any, noise: Any) -> None:
    report = judge(target, numbers(target + noise))
    assert (report["verdict"], report["reason"]) == ("passed", "")
    first, second = report["measures"]
    assert first["metric"] == {"name": "rmse", "label": "RMSE", "greater_is_better": False}
    assert second["metric"]["name"] == "rmse_middle"
    assert first["new"]["low"] < first["new"]["value"] < first["new"]["high"]
    assert first["new"]["value"] == pytest.approx(report["metrics"]["rmse"])
    assert first["baseline"]["value"] == pytest.approx(target.std())
    assert first["baseline"]["better"]
    difference = first["new"]["value"] - first["baseline"]["value"]
    assert first["baseline"]["difference"]["value"] == pytest.approx(difference)
    assert report["champion"]["state"] == "none"
    assert report["summary"].endswith("; the training rows' mean 3.254; no champion yet")
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_model_that_knows_nothing_is_not(target: Any, noise: Any) -> None:
    report = judge(target, numbers(10 + noise))
    assert report["verdict"] == "failed"
    assert report["reason"].startswith("RMSE ")
    assert "is not better beyond chance than 3.254" in report["reason"]
    assert report["reason"].endswith("), nor is RMSE of the middle 80 %")
    assert not any(measure["baseline"]["better"] for measure in report["measures"])


def test_same_rows_same_report(target: Any, noise: Any) -> None:
    reports = [judge(target, numbers(target + 2 * noise)) for _ in range(2)]
    assert reports[0] == reports[1]
    other = judge(target, numbers(target + 2 * noise), rules=replace(RULES, random_seed=2))
    assert other["measures"] != reports[0]["measures"]


def test_few_huge_values_do_not_hide_what_was_learned(target: Any, noise: Any) -> None:
    """One row of a million makes RMSE: of the middle the model knows all."""
    actual = target.copy()
    actual[:2] = 1e6
    report = judge(actual, numbers(target + noise / 4))
    first, second = report["measures"]
    assert not first["baseline"]["better"]
    assert second["baseline"]["better"]
    assert report["verdict"] == "passed"
    assert ", better by RMSE of the middle 80 %; no champion yet" in report["summary"]


def test_target_of_which_nearly_all_values_are_equal_is_judged_by_rmse_alone() -> None:
    actual = np.zeros(200)
    actual[:12] = 5
    report = judge(actual, numbers(actual * 0.9))
    assert [measure["metric"]["name"] for measure in report["measures"]] == ["rmse"]
    assert report["verdict"] == "passed"
    assert "rmse_middle" not in report["metrics"]


CLASSES = ["no", "yes"]


def test_classes_are_judged_by_their_probabilities() -> None:
    drawn = np.random.default_rng(5).random(300)
    actual = np.where(np.random.default_rng(6).random(300) < drawn, "yes", "no").astype(object)
    report = judge(actual, chances(CLASSES, drawn), classes=CLASSES)
    assert report["verdict"] == "passed"
    first, second = report["measures"]
    assert (first["metric"]["name"], second["metric"]["name"]) == ("brier_score", "accuracy")
    assert second["metric"]["greater_is_better"]
    assert second["new"]["value"] == report["metrics"]["accuracy"]
    assert second["baseline"]["difference"]["value"] > 0
    assert report["baseline"] == "the training rows' class shares"
    assert report["summary"].startswith("Brier score 0.")
    assert ", accuracy 0." in report["summary"]


def test_right_classes_with_far_too_sure_probabilities_are_registered() -> None:
    """Boosting on few rows: worse than the shares by Brier score, and yet it knows the classes."""
    random = np.random.default_rng(7)
    signal = random.random(400)
    actual = np.where(random.random(400) < 0.25 + 0.5 * (signal > 0.5), "yes", "no").astype(object)
    sure = chances(CLASSES, (signal > 0.5).astype(float))
    report = judge(actual, sure, classes=CLASSES)
    first, second = report["measures"]
    assert not first["baseline"]["better"]
    assert second["baseline"]["better"]
    assert report["verdict"] == "passed"


def test_rare_class_is_not_learned_by_never_saying_it() -> None:
    actual = np.where(np.arange(200) % 20 == 0, "yes", "no").astype(object)
    report = judge(actual, chances(CLASSES, np.full(200, 0.05)), classes=CLASSES)
    assert report["metrics"]["accuracy"] == 0.95
    assert report["verdict"] == "failed"


def test_champion_that_is_better_beyond_chance_stops_the_model(target: Any, noise: Any) -> None:
    report = judge(
        target,
        numbers(target + 2 * noise),
        theirs=numbers(target + noise / 2),
        champion=CHAMPION,
    )
    assert report["verdict"] == "failed"
    assert "is worse beyond chance than 0.4" in report["reason"]
    assert "of the champion, version 7, on the same rows" in report["reason"]
    assert report["measures"][0]["champion"]["worse"]
    assert report["summary"].endswith("champion v7 0.4908, worse beyond chance")


def test_model_as_good_as_the_champion_is_registered(target: Any, noise: Any) -> None:
    other = np.random.default_rng(9).normal(0, 1, 120)
    for theirs, told in (
        (target + noise, "no difference beyond chance"),
        (target + other, "no difference beyond chance"),
        (target + 4 * other, "better beyond chance"),
    ):
        report = judge(target, numbers(target + noise), theirs=numbers(theirs), champion=CHAMPION)
        assert report["verdict"] == "passed"
        assert report["summary"].endswith(told)


def test_margin_lets_a_model_be_worse_by_that_share(target: Any, noise: Any) -> None:
    def verdict(margin: float) -> Any:
        return judge(
            target,
            numbers(target + 1.5 * noise),
            theirs=numbers(target + noise),
            champion=CHAMPION,
            rules=replace(RULES, margin=margin),
        )["verdict"]

    assert [verdict(margin) for margin in (0.0, 0.4, 0.6)] == ["failed", "failed", "passed"]


def test_model_within_the_margin_is_not_called_as_good(target: Any, noise: Any) -> None:
    report = judge(
        target,
        numbers(target + 1.5 * noise),
        theirs=numbers(target + noise),
        champion=CHAMPION,
        rules=replace(RULES, margin=0.6),
    )
    assert report["summary"].endswith(", worse beyond chance, within the margin")
    assert report["measures"][0]["champion"]["worse"]
    assert not report["measures"][0]["champion"]["beyond_margin"]


def test_what_is_known_of_the_comparison_stands_in_the_reason(target: Any, noise: Any) -> None:
    champion = replace(CHAMPION, remarks=["It was trained with test_size 0.1"])
    theirs, new = numbers(target + noise / 9), numbers(target + noise)
    report = judge(target, new, theirs=theirs, champion=champion)
    assert report["reason"].endswith(". It was trained with test_size 0.1")


def test_champion_that_cannot_be_asked_stops_the_model_unless_allowed(
    target: Any, noise: Any
) -> None:
    champion = replace(CHAMPION, why="its task is classification, ours is regression")
    new = numbers(target + noise)
    report = judge(target, new, champion=champion)
    assert report["reason"] == (
        "the champion, version 7, can't be compared: its task is classification, ours is "
        "regression. ChampionIncomparable=allow registers without the comparison"
    )
    allowed = judge(target, new, champion=champion, rules=replace(RULES, champion_needed=False))
    assert allowed["verdict"] == "passed"
    assert allowed["summary"].endswith("champion v7 not compared")
    assert allowed["champion"]["state"] == "incomparable"


def test_limits_are_checked_each_for_itself(target: Any, noise: Any) -> None:
    limits = metrics.read_limits("r2>=0.99, median_absolute_error<=0.1, rmse<=5, rmse>=0")
    report = judge(target, numbers(target + noise), rules=replace(RULES, limits=limits))
    assert report["verdict"] == "failed"
    below, above = report["reason"].split("; ")
    assert below.endswith(" is below the limit 0.99")
    assert below.startswith("r2 0.")
    assert above.endswith(" is above the limit 0.1")
    assert [limit["met"] for limit in report["limits"]] == [False, False, True]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("rmse<=2", ""),
        ("rmse>=2", ""),
        ("rmse<=1.99999", "rmse 2 is above the limit 1.99999"),
        ("rmse>=2.00001", "rmse 2 is below the limit 2.00001"),
        ("rmse>=1,rmse<=1.5", "rmse 2 is above the limit 1.5"),
        ("rmse>=3,rmse<=4", "rmse 2 is below the limit 3"),
    ],
)
def test_a_limit_that_is_just_reached_is_met(limit: str, told: str) -> None:
    actual = np.arange(40.0) * 3
    rules = replace(RULES, limits=metrics.read_limits(limit))
    report = judge(actual, numbers(actual + 2), rules=rules)
    assert report["reason"] == told
    assert [each["met"] for each in report["limits"]] == [not told]
    assert {each["metric"] for each in report["limits"]} == {"rmse"}
    assert [each["value"] for each in report["limits"]] == [2]


def test_the_report_names_all_that_it_was_made_with(target: Any, noise: Any) -> None:
    limits = metrics.read_limits("r2>=0.4,r2<=1")
    rules = replace(RULES, limits=limits, margin=0.1, random_seed=5)
    report = judge(target, numbers(target + noise), units=np.arange(120) // 2, rules=rules)
    assert {name: report[name] for name in report if name not in ("measures", "metrics")} == {
        "version": 1,
        "task": "regression",
        "rows": 120,
        "units": 60,
        "units_apart": 60,
        "confidence": 0.95,
        "resamples": 4000,
        "random_seed": 5,
        "baseline": "the training rows' mean",
        "champion": {
            "state": "none",
            "version": None,
            "why": "no version is the champion yet",
            "remarks": [],
            "margin": 0.1,
        },
        "limits": [
            {"metric": "r2", "min": 0.4, "max": 1, "value": report["metrics"]["r2"], "met": True}
        ],
        "verdict": "passed",
        "reason": "",
        "summary": report["summary"],
    }
    again = judge(target, numbers(target + noise), units=np.arange(120) // 2, rules=rules)
    assert again == report


def test_all_that_is_wrong_is_said_with_its_figures(target: Any, noise: Any) -> None:
    new = numbers(np.full(120, target.mean() + 1))
    report = judge(target, new, theirs=numbers(target + noise), champion=CHAMPION)
    first, second = report["measures"]
    figures = [
        f"{bar['difference']['low']:+.3g} to {bar['difference']['high']:+.3g}"
        for bar in (first["baseline"], first["champion"])
    ]
    assert report["reason"] == (
        f"RMSE {first['new']['value']:.4g} is not better beyond chance than 3.254, which the "
        f"training rows' mean alone would have (difference {figures[0]}), nor is RMSE of the "
        f"middle 80 %; RMSE {first['new']['value']:.4g} is worse beyond chance than "
        f"{first['champion']['value']:.4g} of the champion, version 7, on the same rows "
        f"(difference {figures[1]})"
    )
    assert report["summary"] == (
        f"RMSE {first['new']['value']:.4g} (95 %: {first['new']['low']:.4g} to "
        f"{first['new']['high']:.4g}), R2 {report['metrics']['r2']:.3g}; the training rows' mean "
        f"3.254; champion v7 {first['champion']['value']:.4g}, worse beyond chance"
    )
    margin = replace(RULES, margin=0.25)
    with_margin = judge(target, new, theirs=numbers(target), champion=CHAMPION, rules=margin)
    assert (
        "is worse beyond chance by more than 0.25 of it than 0 of the champion"
        in (with_margin["reason"])
    )
    assert second["champion"]["worse"]


@pytest.mark.parametrize(
    ("of_the_large", "verdict"),
    [([0.0] * 4, "failed"), ([8e3, 9e3, 7e3, 8e3], "passed")],
)
def test_worse_in_the_second_metric_counts_unless_the_first_is_better(
    of_the_large: list[float], verdict: str
) -> None:
    actual = np.r_[np.zeros(40), np.arange(80.0), np.full(4, 1e4)]
    theirs, new = actual.copy(), actual.copy()
    theirs[40:120] += 1
    theirs[120:] -= of_the_large
    new[40:120] += np.resize([30.0, -30.0], 80)
    new[120:] -= np.array(of_the_large) / 9 + 60
    report = judge(actual, numbers(new), theirs=numbers(theirs), champion=CHAMPION)
    assert report["measures"][1]["champion"]["worse"]
    assert report["verdict"] == verdict


def test_five_independent_rows_are_enough_and_four_are_not() -> None:
    actual = np.arange(40.0)
    for units, verdict in ((5, "passed"), (4, "failed")):
        report = judge(actual, numbers(actual + 0.1), units=np.arange(40) % units)
        assert (report["units"], report["verdict"]) == (units, verdict)
    few = np.where(np.arange(100) < 5, 9.0, 0.0)
    assert judge(few, numbers(few))["units_apart"] == 5
    assert judge(few, numbers(few))["verdict"] == "passed"


def test_limit_of_a_metric_that_is_not_defined_is_not_met() -> None:
    actual = np.array(["yes"] * 40, dtype=object)
    train = np.array(["yes", "no"] * 40, dtype=object)
    limit = Limit(metric="roc_auc", minimum=0.5)
    report = judge(
        actual,
        chances(CLASSES, np.full(40, 0.9)),
        train=train,
        classes=CLASSES,
        rules=replace(RULES, limits=[limit]),
    )
    told = "; roc_auc, which has a limit, is not defined on these test rows"
    assert report["reason"].endswith(told)


def test_copies_are_no_further_evidence(target: Any, noise: Any) -> None:
    """Planted: each of twelve rows of noise is there fifty times."""
    random = np.random.default_rng(11)
    actual, new = random.normal(10, 3, 12), random.normal(10, 2.2, 12)
    new += 0.5 * (actual - new)
    copies = np.repeat(np.arange(12), 50)
    as_copies = judge(actual[copies], numbers(new[copies]), units=copies)
    as_rows = judge(actual[copies], numbers(new[copies]))
    assert as_copies["units"] == 12
    assert as_copies["rows"] == 600
    widths = [
        report["measures"][0]["new"]["high"] - report["measures"][0]["new"]["low"]
        for report in (as_copies, as_rows)
    ]
    assert widths[0] > 5 * widths[1]


def test_too_few_independent_rows_tell_nothing(target: Any) -> None:
    report = judge(target, numbers(target), units=np.arange(120) % 4)
    assert report["verdict"] == "failed"
    assert report["reason"].startswith("of the 120 test rows only 4 are independent")
    assert report["measures"] == []
    assert report["summary"] == "RMSE 0"


@pytest.mark.parametrize("others", [0, 1, 4])
def test_being_sure_of_what_nearly_all_rows_are_is_no_knowledge(others: int) -> None:
    """Each row is better predicted than by the shares, though nothing was learned."""
    actual = np.where(np.arange(100) < others, "yes", "no").astype(object)
    train = np.where(np.arange(300) < 15, "yes", "no").astype(object)
    report = judge(actual, chances(CLASSES, np.full(100, 1e-4)), train=train, classes=CLASSES)
    assert report["verdict"] == "failed"
    assert report["units_apart"] == others
    told = f"the target is no in all of the 100 test rows but {others}, and 5 others are needed"
    assert report["reason"].startswith(told)
    zeros = judge(np.where(np.arange(100) < others, 9.0, 0.0), numbers(np.zeros(100)))
    assert zeros["verdict"] == "failed"


def test_many_rows_are_drawn_in_blocks() -> None:
    rows = 60_000
    random = np.random.default_rng(12)
    actual = random.normal(0, 1, rows)
    report = judge(actual, numbers(actual + random.normal(0, 1, rows)))
    interval = report["measures"][0]["new"]
    # RMSE of n normal errors has the standard error 1 / sqrt(2 n).
    width = 2 * 1.96 / np.sqrt(2 * rows)
    assert interval["high"] - interval["low"] == pytest.approx(width, rel=0.1)


def test_intervals_of_few_rows_are_as_wide_as_they_must_be() -> None:
    """Of eight rows: in 95 of 100 draws the truth is in the interval; the plain one has 88."""
    inside = 0
    for seed in range(200):
        losses = np.random.default_rng(seed).normal(0, 1, 8)
        bootstrap = gate.Bootstrap(np.arange(8), random_seed=seed)
        interval = bootstrap.measure(losses, lambda mean: mean)
        inside += interval.low <= 0 <= interval.high
    assert inside >= 186


Draw = Callable[[np.random.Generator, Any], Any]

NOISE: dict[str, Draw] = {
    "normal": lambda random, signal: random.normal(size=len(signal)),
    "uniform": lambda random, signal: random.random(len(signal)),
    "coin": lambda random, signal: (random.random(len(signal)) < 0.5).astype(float),
    "heavy-tailed": lambda random, signal: random.standard_t(2, len(signal)),
    "classes": lambda random, signal: random.choice(["no", "yes"], len(signal)).astype(object),
}
INFORMATIVE: dict[str, Draw] = {
    "normal": lambda random, signal: signal + 0.4 * random.normal(size=len(signal)),
    "0/1": lambda _, signal: (signal > np.quantile(signal, 0.75)).astype(float),
    "zero-heavy": lambda _, signal: np.where(signal > 0.4, np.exp(3 + signal), 0.0),
    "counts": lambda random, signal: random.poisson(np.exp(1 + signal)).astype(float),
    "classes": lambda _, signal: np.where(signal > 0, "yes", "no").astype(object),
}
TABLES = 12


def train_and_judge(draw: Draw, seed: int) -> str:
    """The verdict on a small forest and a table of 300 rows."""
    random = np.random.default_rng(seed)
    features = pd.DataFrame(random.normal(size=(300, 4)), columns=list("abcd"))
    target = pd.Series(draw(random, (features["a"] + features["b"]).to_numpy() / 1.4))
    classes = sorted(set(target)) if target.dtype == object else []
    forest = find_estimators()["random-forest"]
    recipe = Recipe(
        name="random-forest",
        estimator=forest,
        task="classification" if classes else "regression",
        classes=classes,
        parameters={"NEstimators": 15, "MinSamplesLeaf": 3, "MaxRowsPerTree": 0},
        random_seed=seed,
    )
    model = recipe.build(features[:200], target[:200]).fit(features[:200], target[:200])
    recipe.make_ready(model)
    new = evaluation.predict(model, features[200:], classes)
    actual = target[200:].reset_index(drop=True)
    return str(judge(actual, new, train=target[:200], classes=classes)["verdict"])


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_not_registered(kind: str) -> None:
    """A small version of benchmarks/gate.py: at most one in twenty, which is none of twelve."""
    verdicts = [train_and_judge(NOISE[kind], seed) for seed in range(TABLES)]
    assert verdicts.count("passed") == 0


@pytest.mark.parametrize("kind", INFORMATIVE)
def test_informative_targets_are_registered(kind: str) -> None:
    verdicts = [train_and_judge(INFORMATIVE[kind], seed) for seed in range(TABLES)]
    assert verdicts.count("failed") == 0
