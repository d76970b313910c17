"""What SageMaker Studio needs to offer infra/project/project.yml as a project's template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from mlops.account import error_code
from mlops.platform.doctor.finding import Finding, failed, ok, skipped, warning
from mlops.platform.doctor.patient import Patient

LOCATION_TAG = "sagemaker:projectS3TemplatesLocation"
VISIBLE_TAG = "sagemaker:studio-visibility"
# Studio's own pages, at https://<domain>.studio.<region>.sagemaker.aws.
_STUDIO = "https://d-abc123.studio.eu-west-1.sagemaker.aws"
_CORS = (
    '{"CORSRules": [{"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": '
    '["https://*.sagemaker.aws"], "AllowedHeaders": ["*"]}]}'
)


def check(patient: Patient) -> Iterator[Finding]:
    """The domain names the templates' bucket, which lets Studio in, and a template is visible.

    Looks at `--domain` and `--template-bucket`, or at what it finds; skipped where no domain offers
    templates: projects can be made without Studio.
    """
    bucket = patient.choices.template_bucket
    domains = _find_domains(patient)
    locations = {location for _, location in domains if location}
    if not bucket and not locations:
        text = "no Studio domain" if not domains else f"no Studio domain has the tag {LOCATION_TAG}"
        yield skipped(f"{text}, and no --template-bucket: projects are made without Studio")
        return
    if bucket:
        for arn, location in domains:
            yield from judge_domain(arn, location, bucket)
        locations = {location for location in locations if _bucket_of(location) == bucket}
        locations = locations or {f"s3://{bucket}/"}
    for location in sorted(locations):
        yield from _look(patient, _bucket_of(location), location.split("/", 3)[3:])


def judge_domain(arn: str, location: str, bucket: str) -> list[Finding]:
    """Whether the domain names the bucket."""
    if _bucket_of(location) == bucket:
        return []
    domain = arn.rpartition("/")[2]
    names = f"names {location}" if location else f"lacks the tag {LOCATION_TAG}"
    return [
        failed(
            f"the domain {domain} {names}: Studio does not look into {bucket}",
            f"aws sagemaker add-tags --resource-arn {arn} "
            f"--tags Key={LOCATION_TAG},Value=s3://{bucket}/templates/",
        )
    ]


def judge_cors(bucket: str, rules: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Whether a browser that shows Studio may read the bucket."""
    for rule in rules:
        allowed = any(fnmatchcase(_STUDIO, origin) for origin in rule["AllowedOrigins"])
        if allowed and "GET" in rule["AllowedMethods"]:
            return []
    return [
        failed(
            f"the bucket {bucket} lets no page of Studio read it (CORS)",
            f"aws s3api put-bucket-cors --bucket {bucket} --cors-configuration '{_CORS}'",
        )
    ]


def judge_templates(bucket: str, prefix: str, visible: Mapping[str, bool]) -> list[Finding]:
    """Whether at least one of the templates may be shown."""
    if not visible:
        return [
            failed(
                f"no template in s3://{bucket}/{prefix}",
                f"`aws s3 cp infra/project/project.yml s3://{bucket}/{prefix}`; then its tag",
            )
        ]
    if not any(visible.values()):
        key = sorted(visible)[0]
        return [
            failed(
                f"s3://{bucket}/{key} lacks the tag {VISIBLE_TAG}=true: Studio hides it",
                f"aws s3api put-object-tagging --bucket {bucket} --key {key} "
                f"--tagging 'TagSet=[{{Key={VISIBLE_TAG},Value=true}}]'",
            )
        ]
    shown = ", ".join(sorted(key for key, seen in visible.items() if seen))
    return [ok(f"Studio shows {shown} of {bucket}")]


def _find_domains(patient: Patient) -> list[tuple[str, str]]:
    """(ARN, value of the tag) of the chosen domain, or of all."""
    sagemaker = patient.account.client("sagemaker")
    arns = [
        str(domain["DomainArn"])
        for page in sagemaker.get_paginator("list_domains").paginate()
        for domain in page["Domains"]
        if patient.choices.domain in ("", domain["DomainId"])
    ]
    found = []
    for arn in arns:
        tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
        found.append((arn, {tag["Key"]: tag["Value"] for tag in tags}.get(LOCATION_TAG, "")))
    return found


def _look(patient: Patient, bucket: str, rest: Sequence[str]) -> Iterator[Finding]:
    prefix = "".join(rest)
    s3 = patient.account.client("s3")
    try:
        yield from judge_cors(bucket, _cors_rules(s3, bucket))
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
    except ClientError as err:
        if error_code(err) != "NoSuchBucket":
            raise
        yield failed(f"the templates' bucket {bucket} does not exist", f"aws s3 mb s3://{bucket}")
        return
    keys = [item["Key"] for item in listed if item["Key"].endswith((".yml", ".yaml", ".json"))]
    if len(keys) > 20:
        yield warning(
            f"{len(keys)} templates in s3://{bucket}/{prefix}; the first 20 are looked at",
            f"let {LOCATION_TAG} name a folder of its own",
        )
    yield from judge_templates(
        bucket, prefix, {key: _is_visible(s3, bucket, key) for key in keys[:20]}
    )


def _cors_rules(s3: Any, bucket: str) -> Sequence[Mapping[str, Any]]:
    try:
        rules: Sequence[Mapping[str, Any]] = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    except ClientError as err:
        if error_code(err) != "NoSuchCORSConfiguration":
            raise
        return []
    return rules


def _is_visible(s3: Any, bucket: str, key: str) -> bool:
    tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    return {"Key": VISIBLE_TAG, "Value": "true"} in tags


def _bucket_of(location: str) -> str:
    return location.removeprefix("s3://").split("/", 1)[0]
