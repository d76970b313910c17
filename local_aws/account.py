"""What an AWS account holds before the project comes.

A bucket, roles and an image repository to work with at once, and the SSM parameters that
infra/project.yml asks for: MLflow, the network, the key and the image are other stacks' business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local_aws.mlflow_elsewhere import NO_SECRET
from local_aws.own_aws import OwnAws

PROJECT_NAME = "local"
PROJECT_ID = "p-local"
# Below it the stacks of an account find each other.
PARAMETER_PREFIX = "/sagemaker-mlflow"

_IMAGE_TAG = "3.17.2"
_IMAGE_MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 2,
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        },
        "layers": [],
    }
)


def furnish(own: OwnAws) -> dict[str, str]:
    """Create what needs no MLflow; returns the environment variables by which programs find it.

    The names are those that AWS's own project template gives to CodeBuild.
    """
    bucket = f"local-{own.account}-{own.region}"
    own.client("s3").create_bucket(Bucket=bucket)
    pipeline_role = _create_role(own, "local-pipeline-execution", "sagemaker.amazonaws.com")
    model_role = _create_role(own, "local-model-execution", "sagemaker.amazonaws.com")
    repository = own.client("ecr").create_repository(repositoryName="mlflow-pyfunc")["repository"]
    # Endpoints are processes: of their image only the name counts, and that ECR knows it.
    own.client("ecr").put_image(
        repositoryName="mlflow-pyfunc", imageTag=_IMAGE_TAG, imageManifest=_IMAGE_MANIFEST
    )
    return {
        "ARTIFACT_BUCKET": bucket,
        "SAGEMAKER_PROJECT_NAME": PROJECT_NAME,
        "SAGEMAKER_PROJECT_ID": PROJECT_ID,
        "SAGEMAKER_PIPELINE_ROLE_ARN": pipeline_role,
        "MODEL_EXECUTION_ROLE_ARN": model_role,
        "CONTAINER_IMAGE_URI": f"{repository['repositoryUri']}:{_IMAGE_TAG}",
    }


def publish_parameters(own: OwnAws, environment: Mapping[str, str]) -> None:
    """Put the SSM parameters of infra/project.yml, as the stacks of an account would.

    `environment` names MLflow, the secret of its login (if it asks for one) and the image. Subnets
    and security group are only names here: no job or build of local_aws is in a network of its own.
    """
    secret_arn = environment.get("MLFLOW_CREDENTIALS_SECRET", NO_SECRET)
    values = {
        "tracking-uri": environment["MLFLOW_TRACKING_URI"],
        "credentials-secret": secret_arn,
        "reader-policy-arn": _create_policy(own, "mlflow-reader", secret_arn),
        "writer-policy-arn": _create_policy(own, "mlflow-writer", secret_arn),
        "key-arn": own.client("kms").create_key(Description="project")["KeyMetadata"]["Arn"],
        "client-security-group-id": "sg-0123456789abcdef0",
        "images/inference": environment["CONTAINER_IMAGE_URI"],
        "network/vpc-id": "vpc-0123456789abcdef0",
        "network/private-subnet-ids": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    }
    ssm = own.client("ssm")
    for name, value in values.items():
        kind = "StringList" if "," in value else "String"
        ssm.put_parameter(Name=f"{PARAMETER_PREFIX}/{name}", Value=value, Type=kind)


def _create_role(own: OwnAws, name: str, principal: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"}
    role = own.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=_policy_document(trust)
    )
    return str(role["Role"]["Arn"])


def _create_policy(own: OwnAws, name: str, secret_arn: str) -> str:
    """Where MLflow asks nobody who he is, the policy need not allow anything real."""
    statement = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    if secret_arn != NO_SECRET:
        action = "secretsmanager:GetSecretValue"
        statement = {"Effect": "Allow", "Action": action, "Resource": secret_arn}
    policy = own.client("iam").create_policy(
        PolicyName=name, Path="/sagemaker-mlflow/", PolicyDocument=_policy_document(statement)
    )
    return str(policy["Policy"]["Arn"])


def _policy_document(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
