"""An empty account of moto's, and the doctor's view of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from mlops.platform.doctor.account_view import AccountView
from mlops.platform.doctor.patient import Choices, Patient
from mlops.platform.stacks import DeployedStack


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    """One for all tests: it reads the services' models, which takes most of a test's time."""
    from moto import mock_aws

    with mock_aws():  # a session that is older than moto would reach for the real AWS
        return boto3.Session(region_name="eu-west-1")


@pytest.fixture
def account(session: boto3.Session) -> Iterator[AccountView]:
    """Changed through its own clients; moto forgets it after the test."""
    from moto import mock_aws

    with mock_aws():
        yield AccountView(session=session)


@pytest.fixture
def patient(account: AccountView) -> Callable[..., Patient]:
    """patient(project="housing"): the account, looked at with these choices."""
    return lambda **choices: Patient(account=account, choices=Choices(**choices))


@pytest.fixture
def put_parameters(account: AccountView) -> Callable[..., None]:
    def put(values: dict[str, str]) -> None:
        for name, value in values.items():
            account.client("ssm").put_parameter(
                Name=f"/sagemaker-mlflow/{name}", Value=value, Type="String", Overwrite=True
            )

    return put


@pytest.fixture
def stack() -> Callable[..., DeployedStack]:
    """stack(status="CREATE_FAILED"): a stack as CloudFormation would describe it."""
    whole = DeployedStack(
        name="sagemaker-project-housing",
        id="arn:aws:cloudformation:eu-west-1:123456789012:stack/sagemaker-project-housing/0a",
        status="CREATE_COMPLETE",
        status_reason="",
        changed_at=datetime(2026, 11, 1, tzinfo=UTC),
        parameters={
            "SageMakerProjectName": "housing",
            "SageMakerProjectId": "p-housing",
            "Branch": "main",
        },
        outputs={"ArtifactBucketName": "artifacts"},
        tags={"sagemaker:project-name": "housing", "sagemaker:project-id": "p-housing"},
        termination_protection=False,
    )
    return lambda **changes: dataclasses.replace(whole, **changes)


@pytest.fixture
def deploy(account: AccountView) -> Callable[..., None]:
    """deploy("name", template, parameters, tags): a stack of moto's."""
    import json

    def create(
        name: str,
        template: dict[str, Any],
        parameters: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        account.client("cloudformation").create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in (parameters or {}).items()
            ],
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
            Capabilities=["CAPABILITY_IAM"],
        )

    return create
