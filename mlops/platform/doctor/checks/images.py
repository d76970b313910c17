"""The container images that the parameters name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from mlops.account import error_code
from mlops.platform.doctor.finding import Finding, failed, ok, skipped, warning
from mlops.platform.doctor.patient import Patient

# They are built anew every month: one build may fail before anybody is told.
OLD = timedelta(days=45)
# Builds both, publishes them; whoever uses one is deployed after that.
_BUILD = "mlops platform deploy --stack images --rebuild-images"
_IMAGE = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z.]+/"
    r"(?P<repository>[^@:]+)(@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))?"
)


@dataclass(frozen=True, kw_only=True)
class ImageName:
    """An address in ECR, taken apart."""

    registry: str
    region: str
    repository: str
    digest: str = ""
    tag: str = ""

    @property
    def image_id(self) -> dict[str, str]:
        """As ECR's calls take it."""
        return {"imageDigest": self.digest} if self.digest else {"imageTag": self.tag or "latest"}


def check(patient: Patient) -> Iterator[Finding]:
    """The images exist in ECR, are not old, and their scans found nothing critical."""
    values = patient.account.parameters()
    names = [name for name in ("server", "inference") if f"images/{name}" in values]
    if not names:
        yield skipped("no parameter names an image: see the check `parameters`")
    for name in names:
        image = parse_image(values[f"images/{name}"])
        if image is None:
            yield skipped(f"/sagemaker-mlflow/images/{name} is no address in ECR: see `parameters`")
        else:
            yield from _look(patient, name, image)


def parse_image(address: str) -> ImageName | None:
    """The parts of an address in ECR; None for any other."""
    matched = _IMAGE.fullmatch(address)
    return (
        ImageName(**{key: value or "" for key, value in matched.groupdict().items()})
        if matched
        else None
    )


def judge(name: str, described: Mapping[str, Any], now: datetime) -> list[Finding]:
    """What the age and the scan of an existing image ask for."""
    findings = []
    pushed: datetime = described["imagePushedAt"]
    age = now - pushed
    shown = f"images/{name} of {pushed:%Y-%m-%d}"
    counts = described.get("imageScanFindingsSummary", {}).get("findingSeverityCounts", {})
    if counts.get("CRITICAL"):
        digest, repository = described["imageDigest"], described["repositoryName"]
        findings.append(
            warning(
                f"{shown}: its scan found {counts['CRITICAL']} critical vulnerabilities",
                f"`{_BUILD}`; which they are: `aws ecr describe-image-scan-findings "
                f"--repository-name {repository} --image-id imageDigest={digest}`",
            )
        )
    if age > OLD:
        text = f"{shown} is {age.days} days old, and lacks the security updates since then"
        findings.append(warning(text, _BUILD))
    return findings or [ok(f"{shown} is there, and its scan names nothing critical")]


def _look(patient: Patient, name: str, image: ImageName) -> Iterator[Finding]:
    if image.region != patient.account.region:
        yield failed(
            f"images/{name} is in {image.region}; SageMaker pulls from its own region only, "
            f"{patient.account.region}",
            _BUILD,
        )
        return
    shown = f"{image.repository}{'@' if image.digest else ':'}{next(iter(image.image_id.values()))}"
    try:
        found = patient.account.client("ecr").describe_images(
            registryId=image.registry,
            repositoryName=image.repository,
            imageIds=[image.image_id],
        )["imageDetails"]
    except ClientError as err:
        if error_code(err) == "RepositoryNotFoundException":
            yield failed(
                f"images/{name} names the repository {image.repository}, which does not exist",
                "mlops platform deploy --stack images",
            )
            return
        if error_code(err) != "ImageNotFoundException":
            raise
        found = []
    if not found:
        yield failed(f"images/{name} names {shown}, which is not in ECR", _BUILD)
        return
    yield from judge(name, found[0], datetime.now(UTC))
