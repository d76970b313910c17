"""What a new account holds: a bucket and a role to begin with, and where MLflow answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

from local_aws.own_aws import OwnAws

ROLE_NAME = "local-execution"
# As AWS publishes its own facts below /aws/service.
MLFLOW_PARAMETER = "/local-aws/mlflow-tracking-uri"
_TRUSTED = ("sagemaker.amazonaws.com", "codebuild.amazonaws.com", "codepipeline.amazonaws.com")


def furnish(own: OwnAws, environment: Mapping[str, str]) -> None:
    """Create the bucket `local-<account>-<region>`, the role, and the parameter that names the
    tracking server of `environment`, if there is one."""
    own.client("s3").create_bucket(Bucket=f"local-{own.account}-{own.region}")
    trust = {"Effect": "Allow", "Principal": {"Service": _TRUSTED}, "Action": "sts:AssumeRole"}
    iam = own.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):  # it was kept
        iam.create_role(
            RoleName=ROLE_NAME,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
    if "MLFLOW_TRACKING_URI" in environment:
        own.client("ssm").put_parameter(
            Name=MLFLOW_PARAMETER,
            Value=environment["MLFLOW_TRACKING_URI"],
            Type="String",
            Overwrite=True,
        )
