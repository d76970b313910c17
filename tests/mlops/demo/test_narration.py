"""What a person sees of a long job."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlops.demo.narration import Narrator


def _narrator():
    text = io.StringIO()
    return Narrator(Console(file=text, width=200, color_system=None)), text


def test_a_step_says_what_came_of_it_and_how_long_it_took():
    narrator, text = _narrator()
    with narrator.step("train [it]") as step:
        step.result = "version 1"
        step.progress("only on a terminal")

    assert step.seconds >= 0
    begun, ended = text.getvalue().splitlines()
    assert begun == " 1. train [it] ..."
    assert ended.startswith(" 1. train [it]: version 1 (0.")


def test_a_failing_step_says_so_and_raises():
    narrator, text = _narrator()
    with pytest.raises(ValueError, match="no"), narrator.step("train"):
        raise ValueError("no")

    assert " 1. train: failed (" in text.getvalue()
