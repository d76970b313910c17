"""What several tests of model_build need."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The training script's folder is its working directory in the job, so its modules are top level.
STEPS = Path(__file__).resolve().parents[2] / "model_build" / "steps"
sys.path[:0] = [str(STEPS / "train_evaluate_register"), str(STEPS / "prepare_data")]

KEYWORDS = {
    "role": "arn:aws:iam::123456789012:role/Jobs",
    "bucket": "artifacts",
    "pipeline_name": "housing-build",
    "base_job_prefix": "housing",
    "region": "us-east-1",
}


@pytest.fixture(scope="session")
def build_definition() -> Callable[..., dict[str, Any]]:
    """The definition of the pipeline with these keywords beside the usual ones."""
    import gc
    import json
    import warnings

    # The SDK warns while it is imported; that it does is not what these tests are about.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from model_build.pipeline import get_pipeline
        from model_build.sdk_session import open_session

    session = open_session("artifacts", "us-east-1", offline=True)

    def build(**keywords: Any) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = get_pipeline(**{**KEYWORDS, "sagemaker_session": session, **keywords})
            definition: dict[str, Any] = json.loads(pipeline.definition())
            # The SDK leaves a temporary folder to the garbage collector, which warns about it.
            del pipeline
            gc.collect()
        return definition

    return build
