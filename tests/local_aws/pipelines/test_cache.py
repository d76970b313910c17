"""Step caching: durations, keys, and which earlier run is found."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from local_aws.pipelines.cache import CachedStep, StepCache, cache_key, parse_duration

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
ARGUMENTS: dict[str, Any] = {
    "AppSpecification": {"ImageUri": "image", "ContainerArguments": ["--rows", "3"]},
    "Environment": {"A": "1"},
    "ProcessingInputs": [{"InputName": "code", "S3Input": {"S3Uri": "s3://b/code/1"}}],
    "ProcessingOutputConfig": {"Outputs": []},
    "RoleArn": "one",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P30D", datetime.timedelta(days=30)),
        ("PT1H", HOUR),
        ("P4DT12H", datetime.timedelta(days=4, hours=12)),
        ("p30d", datetime.timedelta(days=30)),
        ("30d", datetime.timedelta(days=30)),
        ("5y", datetime.timedelta(days=5 * 365)),
        ("2w", datetime.timedelta(days=14)),
        ("1m", datetime.timedelta(days=30)),
        ("T16m", datetime.timedelta(minutes=16)),
        ("30dT5h", datetime.timedelta(days=30, hours=5)),
        ("PT90S", datetime.timedelta(seconds=90)),
    ],
)
def test_duration(text: str, expected: datetime.timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "P", "PT", "1 day", "5", "H5", "P-1D"])
def test_text_that_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write it as in ISO 8601") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


def test_key_ignores_what_aws_ignores() -> None:
    other = {**ARGUMENTS, "RoleArn": "two", "ProcessingOutputConfig": {"Outputs": [1]}}
    assert cache_key("p", "s", "Processing", ARGUMENTS) == cache_key("p", "s", "Processing", other)


@pytest.mark.parametrize(
    "change",
    [
        {"AppSpecification": {"ImageUri": "image", "ContainerArguments": ["--rows", "4"]}},
        {"Environment": {"A": "2"}},
        {"ProcessingInputs": []},
    ],
)
def test_key_changes_with_what_goes_into_the_job(change: dict[str, Any]) -> None:
    changed = cache_key("p", "s", "Processing", {**ARGUMENTS, **change})
    assert changed != cache_key("p", "s", "Processing", ARGUMENTS)


def test_key_belongs_to_one_pipeline_and_one_step() -> None:
    keys = {cache_key(p, s, "Training", {}) for p in ("p", "q") for s in ("s", "t")}
    assert len(keys) == 4


def test_training_key_holds_hyperparameters_but_not_the_output_path() -> None:
    def key(**arguments: Any) -> str:
        return cache_key("p", "s", "Training", arguments)

    assert key(HyperParameters={"a": "1"}) != key(HyperParameters={"a": "2"})
    assert key(OutputDataConfig={"S3OutputPath": "s3://a"}) == key(ResourceConfig={})


def test_most_recent_success_is_found_until_it_expires() -> None:
    cache = StepCache()
    for execution, ended in (("first", NOON), ("second", NOON + HOUR)):
        cache.store(
            "key", CachedStep(execution_arn=execution, ended=ended, properties={}, metadata={})
        )
    found = cache.find("key", HOUR, NOON + 2 * HOUR)
    assert found is not None
    assert found.execution_arn == "second"
    assert cache.find("key", HOUR, NOON + 2.1 * HOUR) is None
    assert cache.find("other", HOUR, NOON) is None
