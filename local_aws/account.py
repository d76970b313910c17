"""What an AWS account holds before the project comes: a bucket, roles, an image repository."""

from __future__ import annotations

import json

from local_aws.own_aws import OwnAws

PROJECT_NAME = "local"
PROJECT_ID = "p-local"


def furnish(own: OwnAws) -> dict[str, str]:
    """Create them; returns the environment variables by which the project's programs find them.

    The names are those that AWS's own project template gives to CodeBuild.
    """
    bucket = f"sagemaker-project-{PROJECT_ID}-{own.account}"
    own.client("s3").create_bucket(Bucket=bucket)
    pipeline_role = _create_role(own, "local-pipeline-execution", "sagemaker.amazonaws.com")
    model_role = _create_role(own, "local-model-execution", "sagemaker.amazonaws.com")
    repository = own.client("ecr").create_repository(repositoryName="mlflow-pyfunc")["repository"]
    return {
        "ARTIFACT_BUCKET": bucket,
        "SAGEMAKER_PROJECT_NAME": PROJECT_NAME,
        "SAGEMAKER_PROJECT_ID": PROJECT_ID,
        "SAGEMAKER_PIPELINE_ROLE_ARN": pipeline_role,
        "MODEL_EXECUTION_ROLE_ARN": model_role,
        "CONTAINER_IMAGE_URI": f"{repository['repositoryUri']}:3.17.2",
    }


def _create_role(own: OwnAws, name: str, principal: str) -> str:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"}
        ],
    }
    role = own.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return str(role["Role"]["Arn"])
