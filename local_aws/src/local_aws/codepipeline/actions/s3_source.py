"""Source from S3: a zip in a versioned bucket becomes the source artifact.

Source: "Amazon S3 source action reference" in the CodePipeline user guide.
"""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError

from local_aws.codepipeline.actions.action import ActionFailed, ActionJob, Outcome, Revision
from local_aws.codepipeline.definition import Action


@dataclass(frozen=True)
class S3Source:
    """Source/S3."""

    required: frozenset[str] = frozenset({"S3Bucket", "S3ObjectKey"})
    optional: frozenset[str] = frozenset({"PollForSourceChanges"})
    inputs: tuple[int, int] = (0, 0)
    outputs: tuple[int, int] = (1, 1)

    def problems(self, action: Action) -> list[str]:
        if action.configuration.get("PollForSourceChanges", "true").lower() == "false":
            return []
        return [
            "PollForSourceChanges must be false: local_aws does not look into buckets for new "
            "objects; start the pipeline, or let an EventBridge rule do it"
        ]

    def run(self, job: ActionJob) -> Outcome:
        """Copy the object's current version into the artifact store."""
        bucket, key = job.get("S3Bucket"), job.get("S3ObjectKey")
        try:
            answer = job.client("s3").get_object(Bucket=bucket, Key=key)
        except ClientError as err:
            raise ActionFailed(
                f"The object with key '{key}' in bucket '{bucket}' cannot be read: {err}",
                "ConfigurationError",
            ) from err
        version = answer.get("VersionId")
        if version is None:
            raise ActionFailed(
                f"Bucket '{bucket}' is not versioned. Turn on its versioning: a source action "
                "tells revisions apart by it.",
                "ConfigurationError",
            )
        etag = answer["ETag"].strip('"')
        artifact = job.action.outputs[0]
        return Outcome(
            artifacts={artifact: job.store.put(artifact, answer["Body"].read())},
            variables={
                "BucketName": bucket,
                "ObjectKey": key,
                "VersionId": version,
                "ETag": etag,
            },
            revision=Revision(
                id=version, summary=f"Amazon S3 version id: {version}", url=f"s3://{bucket}/{key}"
            ),
        )
