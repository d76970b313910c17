from __future__ import annotations

from local_aws.account import PARAMETER_PREFIX, furnish, publish_parameters


def test_the_account_has_what_the_project_template_asks_for(gateway):
    environment = {**furnish(gateway.own), "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    publish_parameters(gateway.own, environment)

    ssm = gateway.own.client("ssm")
    found = ssm.get_parameters_by_path(Path=PARAMETER_PREFIX, Recursive=True)["Parameters"]
    values = {row["Name"].removeprefix(f"{PARAMETER_PREFIX}/"): row["Value"] for row in found}
    assert values["tracking-uri"] == "http://127.0.0.1:1"
    assert values["credentials-secret"] == "none"
    assert values["images/inference"] == environment["CONTAINER_IMAGE_URI"]
    assert len(values["network/private-subnet-ids"].split(",")) == 2
    for policy in ("reader-policy-arn", "writer-policy-arn"):
        gateway.own.client("iam").get_policy(PolicyArn=values[policy])
    assert gateway.own.client("kms").describe_key(KeyId=values["key-arn"])
    gateway.own.client("s3").head_bucket(Bucket=environment["ARTIFACT_BUCKET"])
    repository, tag = values["images/inference"].partition("/")[2].split(":")
    assert gateway.own.client("ecr").describe_images(
        repositoryName=repository, imageIds=[{"imageTag": tag}]
    )["imageDetails"]
