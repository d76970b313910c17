"""What both units say of the types that skops may create fits together."""

from __future__ import annotations

from pathlib import Path

from model_deploy import skops_review

STEP = Path(__file__).parents[2] / "model_build" / "steps" / "train_evaluate_register"


def test_the_training_step_s_own_modules_have_no_say():
    names = {file.stem for file in STEP.iterdir() if file.suffix == ".py" or file.is_dir()}

    assert names - {"__pycache__"} <= skops_review._SILENCED
