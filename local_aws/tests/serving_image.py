"""An image in the emulator's ECR, put there as anybody does."""

from __future__ import annotations

import json
from typing import Any


def put_image(own: Any, repository: str, **annotations: Any) -> str:
    """URI of a new image in the ECR that `own.client` reaches; values but texts become JSON."""
    ecr = own.client("ecr")
    uri = ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
    texts = {
        f"local-aws.{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in annotations.items()
    }
    ecr.put_image(
        repositoryName=repository,
        imageTag="1",
        imageManifestMediaType="application/vnd.oci.image.manifest.v1+json",
        imageManifest=json.dumps({"schemaVersion": 2, "annotations": texts}),
    )
    return f"{uri}:1"
