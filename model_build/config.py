"""BuildConfig: what is fixed when the pipeline is compiled."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_build import mlflow_login
from model_build.errors import ConfigError

# The patterns are those of the SageMaker, IAM, S3 and EC2 API references.
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_SUBNET = re.compile(r"subnet-[0-9a-zA-Z]+")
_SECURITY_GROUP = re.compile(r"sg-[0-9a-zA-Z]+")
_KMS_KEY = re.compile(r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/)?[\w/-]+")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")

_PIPELINE_NAME_LENGTH = 256
# SageMaker job names have 63 characters; the SDK and Pipelines append up to 32 of their own.
_JOB_PREFIX_LENGTH = 30
_TAGS_PER_RESOURCE = 50


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """A compiled pipeline's surroundings: identity, storage, machines, network, encryption, login.

    Raises ConfigError that names every wrong value at once.
    """

    role: str
    bucket: str
    pipeline_name: str
    base_job_prefix: str
    region: str
    processing_instance_type: str = "ml.m5.xlarge"
    training_instance_type: str = "ml.m5.xlarge"
    volume_size_gb: int = 30
    max_runtime_seconds: int = 3600
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    kms_key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    source_commit: str | None = None
    mlflow_credentials_secret: str = ""

    def __post_init__(self) -> None:
        problems = list(self._find_problems())
        if problems:
            raise ConfigError("pipeline settings", problems)

    def _find_problems(self) -> Iterator[str]:
        for field, pattern, example in (
            ("role", _ROLE_ARN, "arn:aws:iam::123456789012:role/SageMakerPipelineRole"),
            ("bucket", _BUCKET, "my-artifact-bucket"),
            ("pipeline_name", _NAME, "my-project-build"),
            ("base_job_prefix", _NAME, "my-project"),
            ("region", _REGION, "eu-west-1"),
            ("processing_instance_type", _INSTANCE_TYPE, "ml.m5.xlarge"),
            ("training_instance_type", _INSTANCE_TYPE, "ml.m5.xlarge"),
        ):
            yield from _mismatch(field, getattr(self, field), pattern, example)
        if len(str(self.pipeline_name)) > _PIPELINE_NAME_LENGTH:
            yield f"pipeline_name has more than {_PIPELINE_NAME_LENGTH} characters; shorten it"
        if len(str(self.base_job_prefix)) > _JOB_PREFIX_LENGTH:
            yield (
                f"base_job_prefix {self.base_job_prefix!r} has more than {_JOB_PREFIX_LENGTH} "
                "characters, which leaves no room in the job names; shorten it"
            )
        for field in ("volume_size_gb", "max_runtime_seconds"):
            value = getattr(self, field)
            if type(value) is not int or value < 1:
                yield f"{field} is {value!r}; give a whole number of at least 1"
        yield from self._find_network_problems()
        if self.kms_key is not None:
            yield from _mismatch(
                "kms_key", self.kms_key, _KMS_KEY, "arn:aws:kms:eu-west-1:123456789012:key/..."
            )
        problem = mlflow_login.find_problem(self.mlflow_credentials_secret)
        if problem:
            yield problem
        if len(self.tags) > _TAGS_PER_RESOURCE:
            yield f"{len(self.tags)} tags; AWS accepts at most {_TAGS_PER_RESOURCE}"

    def _find_network_problems(self) -> Iterator[str]:
        for field, pattern, example in (
            ("subnets", _SUBNET, "subnet-0123456789abcdef0"),
            ("security_group_ids", _SECURITY_GROUP, "sg-0123456789abcdef0"),
        ):
            for value in getattr(self, field):
                yield from _mismatch(field, value, pattern, example)
        if bool(self.subnets) != bool(self.security_group_ids):
            given, missing = (
                ("subnets", "security_group_ids")
                if self.subnets
                else ("security_group_ids", "subnets")
            )
            yield f"{given} without {missing}: a VPC needs both; give both or neither"


def read_tags(value: Any, source: str) -> tuple[tuple[str, str], ...]:
    """AWS's form of tags, `[{"Key": ..., "Value": ...}]`, as pairs. Raises ConfigError."""
    problems = []
    tags: list[tuple[str, str]] = []
    if not isinstance(value, Sequence) or isinstance(value, str):
        value, problems = [], [f'{value!r} is no list; give [{{"Key": "...", "Value": "..."}}]']
    for tag in value:
        if (
            not isinstance(tag, Mapping)
            or set(tag) != {"Key", "Value"}
            or not all(isinstance(text, str) for text in tag.values())
            or not tag["Key"]
        ):
            problems.append(f'{tag!r} is no tag; give {{"Key": "...", "Value": "..."}}, both text')
        elif tag["Key"] in dict(tags):
            problems.append(f"the key {tag['Key']!r} is given twice")
        else:
            tags.append((tag["Key"], tag["Value"]))
    if problems:
        raise ConfigError(source, problems)
    return tuple(tags)


def _mismatch(field: str, value: Any, pattern: re.Pattern[str], example: str) -> Iterator[str]:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        yield f"{field} is {value!r}; it should look like {example!r}"
