from __future__ import annotations

import pytest

from local_aws.account import MLFLOW_PARAMETER, ROLE_NAME, furnish


def test_a_new_account_has_a_bucket_a_role_and_mlflows_address(gateway):
    own = gateway.own
    furnish(own, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})

    own.client("s3").head_bucket(Bucket=f"local-{own.account}-{own.region}")
    found = own.client("ssm").get_parameter(Name=MLFLOW_PARAMETER)["Parameter"]["Value"]
    assert found == "http://127.0.0.1:1"
    role = own.client("iam").get_role(RoleName=ROLE_NAME)["Role"]["Arn"]
    for service in ("sagemaker", "codebuild", "codepipeline"):
        assert own.credentials_environment(role, principal=f"{service}.amazonaws.com")


@pytest.mark.usefixtures("empty_account")
def test_without_mlflow_no_address_is_published(gateway):
    ssm = gateway.own.client("ssm")
    before = ssm.describe_parameters()["Parameters"]
    gateway.own.client("s3").delete_bucket(Bucket=f"local-{gateway.own.account}-us-east-1")
    gateway.own.client("iam").delete_role(RoleName=ROLE_NAME)

    furnish(gateway.own, {})

    assert ssm.describe_parameters()["Parameters"] == before
