"""Models registered by hand, recorded and served by the same files as an endpoint's container.

All of them, in environments of their own: benchmarks/models_by_hand.py (docs/models-by-hand.md).
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from model_deploy.recorded_answers.environment import ModelEnvironment

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def by_hand() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "models_by_hand", ROOT / "benchmarks/models_by_hand.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["models_by_hand"] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def test_each_ends_as_its_user_expects(by_hand: ModuleType, tmp_path: Path) -> None:
    here = ModelEnvironment(
        python=Path(sys.executable),
        python_version="",
        python_wanted="",
        packages=[],
        installer="",
    )
    names = ["differ", "tensor", "params", "sklearn-pipeline-text", "random"]
    outcomes = by_hand.try_all(names, tmp_path, environment=here)
    found = {each.model.name: (each.became, each.detail) for each in outcomes}
    assert {name: became for name, (became, _) in found.items()} == {
        "differ": "differs",
        "tensor": "compared",
        "params": "compared",
        "sklearn-pipeline-text": "compared",
        "random": "refused",
    }
    assert "predictions[0]: 130.0 served, 30.0 expected" in found["differ"][1]
    compared = found["sklearn-pipeline-text"][1]
    assert all(part in compared for part in ("the input example: ", "rows.csv: ", "unseen-town"))


def test_a_model_with_other_versions_is_compared_in_its_own(
    by_hand: ModuleType, tmp_path: Path
) -> None:
    """Its answer is the version of its pandas, which is not the one here."""
    import pandas

    here = ModelEnvironment(
        python=Path(sys.executable),
        python_version="",
        python_wanted="",
        packages=[],
        installer="",
    )
    folder = by_hand.log_models(["other-pandas"], tmp_path, (), here)["other-pandas"]
    environments: dict[str, ModelEnvironment] = {}
    became, detail = by_hand.try_one(
        by_hand.MODELS["other-pandas"],
        folder,
        lambda model: by_hand.own_environment(model, tmp_path, environments),
        by_hand.find_difference,
        by_hand.validate_model,
    )
    assert became == "compared"
    assert '{"predictions": ["2.2.2"' in detail
    assert pandas.__version__ != "2.2.2"
    (made,) = environments.values()
    assert "pandas==2.2.2" in made.packages
