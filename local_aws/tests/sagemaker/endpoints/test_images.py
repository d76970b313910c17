"""Endpoints of images that the account's ECR describes."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from serving_image import put_image

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
COMMAND = [sys.executable, "/opt/ml/model/serve.py", "{port}"]


def invoke(account: Any, name: str, body: bytes = b"x") -> dict[str, Any]:
    answer = account.runtime.invoke_endpoint(EndpointName=name, Body=body)
    return json.loads(answer["Body"].read())  # type: ignore[no-any-return]


def create_model(account: Any, uri: str) -> None:
    account.sagemaker.create_model(
        ModelName=f"m-{uuid.uuid4().hex[:12]}",
        ExecutionRoleArn=account.role_arn,
        PrimaryContainer={"Image": uri},
    )


@pytest.fixture
def image(serving_account: Any) -> str:
    """URI of an image of the test's own, which the account makes models of."""
    name = f"image-{uuid.uuid4().hex[:12]}"
    return put_image(
        serving_account.gateway.own, name, command=COMMAND, environment={"COLOR": "green"}
    )


def test_an_image_is_found_by_its_digest_too(
    serving_account: Any, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, repository = serving_account, image.rpartition("/")[2].removesuffix(":1")
    ecr = account.gateway.own.client("ecr")
    # The same layers: for moto the same digest.
    ecr.put_image(
        repositoryName=repository,
        imageTag="2",
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageManifest=json.dumps({"layers": [], "annotations": {}}),
    )
    ecr.put_image(
        repositoryName=repository,
        imageTag="3",
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageManifest=json.dumps(
            {"layers": [], "annotations": {"local-aws.command": json.dumps(COMMAND)}}
        ),
    )
    digests = {
        tag: ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])["images"][
            0
        ]["imageId"]["imageDigest"]
        for tag in ("1", "2", "3")
    }
    assert len(set(digests.values())) == 3
    create_model(account, f"{REGISTRY}/{repository}@{digests['3']}")
    with pytest.raises(ClientError, match="has no annotation local-aws"):
        create_model(account, f"{REGISTRY}/{repository}@{digests['2']}")
    monkeypatch.setattr(account, "image_uri", f"{REGISTRY}/{repository}@{digests['1']}")
    name = account.create_endpoint(account.create_config(account.put_archive("by digest")))
    # What the model's own definition says would win.
    assert invoke(account, name)["color"] == "green"


def test_an_endpoint_outlives_its_image(
    serving_account: Any, image: str, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    account = serving_account
    monkeypatch.setattr(account, "image_uri", image)
    config = account.create_config(account.put_archive("orphan"), environment={"COLOR": "blue"})
    name = account.create_endpoint(config)
    repository = image.rpartition("/")[2].removesuffix(":1")
    account.gateway.own.client("ecr").delete_repository(repositoryName=repository, force=True)
    assert invoke(account, name)["color"] == "blue"
    with pytest.raises(ClientError):
        invoke(account, name, b"die")  # and is restarted

    def answers() -> bool:
        try:
            return bool(invoke(account, name))
        except ClientError:
            return False

    until(answers)
    # A new one can't be made.
    second = account.create_endpoint(config)
    assert (
        f"local_aws cannot run the image {image}: The repository with name '{repository}' does not "
        "exist"
    ) in account.sagemaker.describe_endpoint(EndpointName=second)["FailureReason"]


def test_requirements_in_the_archive_are_installed(
    serving_account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = serving_account
    wheel, info = tmp_path / "extra-1.0-py3-none-any.whl", "extra-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("extra.py", "")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        file.writestr(f"{info}/WHEEL", tags)
        file.writestr(f"{info}/RECORD", "")
    place = account.put_archive("requiring")
    archive = account.s3.get_object(Bucket=account.bucket, Key=place.rpartition("/")[2])["Body"]
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive.read())) as before,
        tarfile.open(fileobj=buffer, mode="w:gz") as after,
    ):
        script = before.extractfile("serve.py")
        assert script is not None
        texts = {
            "serve.py": b"import extra\n" + script.read(),
            "needs/all.txt": f"--no-index\n--find-links {tmp_path}\nextra\n".encode(),
        }
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            after.addfile(member, io.BytesIO(text))
    uri = put_image(
        account.gateway.own,
        f"image-{uuid.uuid4().hex[:12]}",
        command=["python3", "/opt/ml/model/serve.py", "{port}"],
        requirements="needs/all.txt",
    )
    monkeypatch.setattr(account, "image_uri", uri)
    url = account.put_object("requiring.tar.gz", buffer.getvalue())
    assert invoke(account, account.create_endpoint(account.create_config(url)))["length"] == 1


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (f"{REGISTRY}/none:1", "The repository with name 'none' does not exist"),
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com/none:1", "in its own registry"),
        (f"{REGISTRY}/sagemaker-scikit-learn:1.9-0", "has no model server"),
    ],
)
def test_other_images_are_refused_by_name(serving_account: Any, uri: str, reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        create_model(serving_account, uri)


def test_a_tag_that_is_not_there_is_refused_by_name(serving_account: Any, image: str) -> None:
    for uri in (image.removesuffix(":1"), image.replace(":1", ":2")):
        with pytest.raises(ClientError, match=f"image {uri}: Requested image not found"):
            create_model(serving_account, uri)
