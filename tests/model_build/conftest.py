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


# What libraries say of themselves while they are imported; nothing of ours can change it.
_OTHERS_WARNINGS = (
    "ignore:sagemaker.train.configs has been moved:DeprecationWarning",
    "ignore:Importing from sagemaker.* is deprecated:DeprecationWarning",
    "ignore:.*Any type hint is inferred as AnyType:UserWarning",
    "ignore:The ``noload`` loader strategy:DeprecationWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in _OTHERS_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


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

    definitions: dict[str, str] = {}

    def build(**keywords: Any) -> dict[str, Any]:
        key = repr(sorted(keywords.items()))
        if key not in definitions:
            definitions[key] = compile_definition(keywords)
        definition: dict[str, Any] = json.loads(definitions[key])
        return definition

    def compile_definition(keywords: dict[str, Any]) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = get_pipeline(**{**KEYWORDS, "sagemaker_session": session, **keywords})
            definition: str = pipeline.definition()
            # The SDK leaves a temporary folder to the garbage collector, which warns about it.
            del pipeline
            gc.collect()
        return definition

    return build
