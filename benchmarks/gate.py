"""How often the gate is wrong: tables of pure noise registered, informative tables refused.

The training step's own columns, estimators, losses and bootstrap, on tables that are drawn here.
Each kind has 60 tables of 400, 800 or 1600 rows, a quarter of them for the test.

    .venv/bin/python benchmarks/gate.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "model_build/steps/train_evaluate_register"))

TABLES = 60
ROWS = (400, 800, 1600)
# Share of the tables that may be judged wrongly.
LIMIT = 0.05

Random = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a target is drawn from a signal of mean 0 and variance 1; noise does not look at it."""

    draw: Callable[[Random, Any], Any]
    classes: bool = False


def flip(random: Random, share: Any) -> Any:
    return (random.random(len(share)) < share).astype(float)


def name(values: Any) -> Any:
    return np.where(values > 0, "yes", "no").astype(object)


def choose_class(random: Random, signal: Any, noise: float) -> Any:
    noisy = signal + noise * random.normal(size=len(signal))
    return np.array(["low", "middle", "high"], dtype=object)[np.digitize(noisy, [-0.6, 0.6])]


def top_quarter(random: Random, signal: Any, noise: float) -> Any:
    """1 for a quarter of the rows."""
    noisy = signal + noise * random.normal(size=len(signal))
    return (noisy > np.quantile(noisy, 0.75)).astype(float)


def spend(random: Random, signal: Any, noise: float) -> Any:
    """Nothing in two of three rows; the others' amounts spread over a power of ten."""
    noisy = signal + noise * random.normal(size=len(signal))
    amounts = np.exp(3 + 0.7 * signal + noise * random.normal(size=len(signal)))
    return np.where(noisy > np.quantile(noisy, 0.67), amounts, 0)


NOISE = {
    "normal": Kind(draw=lambda random, signal: random.normal(size=len(signal))),
    "uniform": Kind(draw=lambda random, signal: random.random(len(signal))),
    "coin, number": Kind(draw=lambda random, signal: flip(random, np.full(len(signal), 0.5))),
    "coin, classes": Kind(
        draw=lambda random, signal: name(flip(random, np.full(len(signal), 0.5))), classes=True
    ),
    "one in ten, classes": Kind(
        draw=lambda random, signal: name(flip(random, np.full(len(signal), 0.1))), classes=True
    ),
    "one in fifty, classes": Kind(
        draw=lambda random, signal: name(flip(random, np.full(len(signal), 0.02))), classes=True
    ),
    "five classes": Kind(
        draw=lambda random, signal: random.choice(list("abcde"), len(signal)).astype(object),
        classes=True,
    ),
    "heavy tails (t, 2)": Kind(draw=lambda random, signal: random.standard_t(2, len(signal))),
    "Cauchy": Kind(draw=lambda random, signal: random.standard_cauchy(len(signal))),
    "amounts": Kind(draw=lambda random, signal: np.exp(2 * random.normal(size=len(signal)))),
}


def inform(noise: float) -> dict[str, Kind]:
    """Targets that follow the signal but for noise of this standard deviation."""
    return {
        "normal": Kind(
            draw=lambda random, signal: signal + noise * random.normal(size=len(signal))
        ),
        "0/1, number": Kind(draw=lambda random, signal: top_quarter(random, signal, noise)),
        "0/1, classes": Kind(
            draw=lambda random, signal: name(top_quarter(random, signal, noise)), classes=True
        ),
        "three classes": Kind(
            draw=lambda random, signal: choose_class(random, signal, noise), classes=True
        ),
        "mostly zero": Kind(draw=lambda random, signal: spend(random, signal, noise)),
        "counts": Kind(
            draw=lambda random, signal: random.poisson(np.exp(1.4 - noise + 0.8 * signal)) * 1.0
        ),
        "heavy tails (t, 2)": Kind(
            draw=lambda random, signal: signal + 0.7 * noise * random.standard_t(2, len(signal))
        ),
        "amounts": Kind(
            draw=lambda random, signal: np.exp(
                1.2 * signal + noise * random.normal(size=len(signal))
            )
        ),
    }


# What is asked for: at most LIMIT wrong. Of faint signals the gate can't know in so few rows.
JUDGED = {
    "noise": (NOISE, "failed"),
    "informative": (inform(0.4), "passed"),
}
FAINT = {"faint": (inform(1.0), "passed")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--estimator", action="append", help="only this one; repeatable (default: all)"
    )
    parser.add_argument("--tables", type=int, default=TABLES, help=f"(default: {TABLES})")
    parser.add_argument(
        "--rows",
        type=int,
        action="append",
        help=f"repeatable (default: {', '.join(map(str, ROWS))})",
    )
    args = parser.parse_args()
    import estimators

    began = time.monotonic()
    sizes = args.rows or list(ROWS)
    wrong = []
    for estimator in args.estimator or list(estimators.find_estimators()):
        for title, (kinds, right) in (JUDGED | FAINT).items():
            print(
                f"\n{estimator}, {title:22}"
                + "".join(f"{rows:>6}" for rows in sizes)
                + " registered"
            )
            for kind, how in kinds.items():
                verdicts = [judge(how, number, sizes, estimator) for number in range(args.tables)]
                passed = [verdict == "passed" for verdict in verdicts]
                by_rows = [sum(passed[place :: len(sizes)]) for place in range(len(sizes))]
                share = (len(verdicts) - verdicts.count(right)) / len(verdicts)
                mark = "" if share <= LIMIT or title in FAINT else "   <- wrong too often"
                wrong += [f"{estimator}, {kind}"] if mark else []
                told = "".join(f"{count:>6}" for count in by_rows)
                print(f"  {kind:40}{told} {sum(passed):>4} of {len(passed)}{mark}", flush=True)
    print(f"\n{len(wrong)} kinds wrong in more than {LIMIT:.0%}; {time.monotonic() - began:.0f} s")
    sys.exit(1 if wrong else 0)


def draw_table(kind: Kind, number: int, rows: int) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Eight columns, of which a text and two numbers tell of the signal, and the target."""
    random = np.random.default_rng(number)
    features = pd.DataFrame(random.normal(size=(rows, 6)), columns=[f"x{i}" for i in range(6)])
    cities = np.array(["Basel", "Bern", "Genf", "Chur"], dtype=object)
    place = random.integers(0, len(cities), rows)
    features["city"] = cities[place]
    features["id"] = np.array([f"id-{i}" for i in range(rows)], dtype=object)
    features.loc[::11, "x1"] = np.nan
    told = 1.5 * features["x0"] + 0.6 * features["x1"].fillna(0) ** 2
    told += np.array([1.5, 0, 0, -1.5])[place]
    signal = ((told - told.mean()) / told.std()).to_numpy()
    return features, pd.Series(kind.draw(random, signal))


def judge(kind: Kind, number: int, sizes: list[int], name: str) -> str:
    """The gate's verdict on one table."""
    import estimators
    import evaluation
    import gate
    import verdict
    from model import Recipe

    features, target = draw_table(kind, number, sizes[number % len(sizes)])
    cut = len(features) * 3 // 4
    actual = target[cut:].reset_index(drop=True)
    classes = sorted(set(target[:cut])) if kind.classes else []
    estimator = estimators.find_estimators()[name]
    recipe = Recipe(
        name=name,
        estimator=estimator,
        task="classification" if classes else "regression",
        classes=classes,
        parameters={parameter.name: parameter.default for parameter in estimator.parameters},
        random_seed=number,
    )
    model = recipe.build(features[:cut], target[:cut]).fit(features[:cut], target[:cut])
    predicted = evaluation.predict(model, features[cut:], classes)
    measures = evaluation.choose_measures(target[:cut], classes)
    report = gate.judge(
        task=recipe.task,
        measured=evaluation.measure(actual, predicted, classes, measures),
        actual=actual.to_numpy(),
        units=np.arange(len(actual)),
        losses=[verdict.list_losses(measure, actual, predicted) for measure in measures],
        constant_is="",
        champion=gate.Champion(version=None),
        rules=gate.Rules(limits=[], margin=0, champion_needed=True, random_seed=number),
    )
    return str(report["verdict"])


if __name__ == "__main__":
    main()
