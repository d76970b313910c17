"""BuildConfig and tags: every wrong value is named, all at once."""

import dataclasses

import pytest

from model_build.config import BuildConfig, read_tags
from model_build.errors import ConfigError

GOOD = {
    "role": "arn:aws:iam::123456789012:role/service-role/Pipeline",
    "bucket": "my-bucket",
    "pipeline_name": "housing-build",
    "base_job_prefix": "housing",
    "region": "eu-west-1",
}


def test_good_values_are_kept_and_frozen() -> None:
    config = BuildConfig(**GOOD, subnets=("subnet-0a",), security_group_ids=("sg-0b",))
    assert config.training_instance_type == "ml.m5.xlarge"
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.bucket = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "Pipeline"),
        ("role", "arn:aws:iam::123:role/Pipeline"),
        ("bucket", "s3://my-bucket"),
        ("bucket", "My_Bucket"),
        ("pipeline_name", "housing_build"),
        ("pipeline_name", "x" * 257),
        ("base_job_prefix", "-housing"),
        ("base_job_prefix", "x" * 31),
        ("region", "Europe"),
        ("processing_instance_type", "m5.xlarge"),
        ("training_instance_type", "ml.m5"),
        ("volume_size_gb", 0),
        ("max_runtime_seconds", "3600"),
        ("kms_key", "my key"),
        ("mlflow_credentials_secret", "mlflow/client"),
        ("bucket", None),
    ],
)
def test_wrong_value_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        BuildConfig(**{**GOOD, field: value})
    assert field.upper() in str(caught.value).upper()
    assert len(caught.value.problems) == 1


def test_all_problems_come_in_one_error() -> None:
    with pytest.raises(ConfigError) as caught:
        BuildConfig(**{**GOOD, "role": "me", "bucket": "B"}, subnets=("net-1",))
    message = str(caught.value)
    assert message.startswith(
        "pipeline settings: 4 problems\n  - role is 'me'; it should look like"
    )
    assert "subnets is 'net-1'" in message
    assert "subnets without security_group_ids" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", ["subnets", "security_group_ids"])
def test_a_vpc_needs_subnets_and_security_groups(given: str) -> None:
    value = {"subnets": ("subnet-1",), "security_group_ids": ("sg-1",)}[given]
    with pytest.raises(ConfigError, match="give both or neither"):
        BuildConfig(**GOOD, **{given: value})


def test_tags_are_read_from_the_form_of_aws() -> None:
    assert read_tags([{"Key": "team", "Value": "x"}, {"Key": "cost", "Value": ""}], "--tags") == (
        ("team", "x"),
        ("cost", ""),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"team": "x"}, "is no list"),
        ("team", "is no list"),
        ([{"Key": "team"}], "is no tag"),
        ([{"Key": "", "Value": "x"}], "is no tag"),
        ([{"Key": "n", "Value": 1}], "is no tag"),
        ([["team", "x"]], "is no tag"),
        ([{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}], "given twice"),
    ],
)
def test_what_is_no_tag_is_refused(value: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        read_tags(value, "--tags")
