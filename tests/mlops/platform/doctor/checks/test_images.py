from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from mlops.platform.doctor.checks.images import ImageName, check, judge, parse_image

_REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
_DIGEST = "sha256:" + "0a" * 32
_NOW = datetime(2026, 11, 23, tzinfo=UTC)
_IMAGE = {
    "imagePushedAt": _NOW - timedelta(days=3),
    "imageDigest": _DIGEST,
    "repositoryName": "sagemaker-mlflow/server",
}


def test_an_address_is_taken_apart():
    assert parse_image(f"{_REGISTRY}/sagemaker-mlflow/server@{_DIGEST}") == ImageName(
        registry="123456789012",
        region="eu-west-1",
        repository="sagemaker-mlflow/server",
        digest=_DIGEST,
    )
    named = parse_image(f"{_REGISTRY}/mlflow-pyfunc:3.17.2")
    assert named is not None
    assert named.image_id == {"imageTag": "3.17.2"}
    assert parse_image("docker.io/library/python:3.12") is None


def test_a_young_image_without_critical_findings_is_well():
    [finding] = judge("server", {**_IMAGE, "imageScanFindingsSummary": {}}, _NOW)
    assert finding.status == "ok"
    assert "images/server of 2026-11-20 is there" in finding.message


def test_an_old_image_is_to_be_built_anew():
    old = {**_IMAGE, "imagePushedAt": _NOW - timedelta(days=46)}
    [finding] = judge("server", old, _NOW)
    assert finding.status == "warning"
    assert "46 days old" in finding.message
    assert finding.remedy == "mlops platform deploy --stack images --rebuild-images"


def test_critical_findings_are_counted_and_their_list_named():
    summary = {"findingSeverityCounts": {"CRITICAL": 2, "HIGH": 7}}
    [finding] = judge("server", {**_IMAGE, "imageScanFindingsSummary": summary}, _NOW)
    assert finding.status == "warning"
    assert "2 critical" in finding.message
    assert f"--image-id imageDigest={_DIGEST}" in finding.remedy


@pytest.fixture
def repository(account):
    ecr = account.client("ecr")
    ecr.create_repository(repositoryName="inference")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"size": 2, "digest": f"sha256:{'0b' * 32}"},
        "layers": [],
    }
    image = ecr.put_image(
        repositoryName="inference", imageTag="1", imageManifest=json.dumps(manifest)
    )["image"]
    return image["imageId"]["imageDigest"]


@pytest.mark.parametrize(
    ("address", "status", "words", "remedy"),
    [
        ("{registry}/inference@{digest}", "ok", "is there", ""),
        ("{registry}/inference:1", "ok", "is there", ""),
        (
            "{registry}/inference:2",
            "failed",
            "inference:2, which is not in ECR",
            "--rebuild-images",
        ),
        (
            "{registry}/other:1",
            "failed",
            "repository other, which does not exist",
            "--stack images",
        ),
        (
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/inference:1",
            "failed",
            "is in us-east-1",
            "--rebuild-images",
        ),
        ("docker.io/python", "skipped", "no address in ECR", ""),
    ],
)
def test_what_a_parameter_names_has_to_be_in_ecr(
    patient, put_parameters, repository, address, status, words, remedy
):
    put_parameters({"images/inference": address.format(registry=_REGISTRY, digest=repository)})
    [finding] = check(patient())
    assert finding.status == status
    assert words in finding.message
    assert remedy in finding.remedy


def test_without_parameters_there_is_nothing_to_look_at(patient):
    [finding] = check(patient())
    assert finding.status == "skipped"
