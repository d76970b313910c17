"""Faults of local_aws itself in an endpoint's threads: the endpoint says so, and waiters end."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.containers.log_stream import LogStream
from local_aws.sagemaker.endpoints import data_capture, service


def _fault(*_: Any, **__: Any) -> None:
    raise KeyError("planted")


def _name() -> str:
    return f"e-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def in_the_way(serving_account: Any) -> Iterator[str]:
    """Name of an endpoint whose folder can't be made, because a file has its name."""
    name = _name()
    path = serving_account.gateway.own.state_dir / "endpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    yield name
    path.unlink()


def test_a_file_in_the_way_of_an_endpoints_folder_fails_it(
    serving_account: Any, in_the_way: str, caplog: pytest.LogCaptureFixture
) -> None:
    account = serving_account
    config = account.create_config(account.put_archive("blocked"))
    account.sagemaker.create_endpoint(EndpointName=in_the_way, EndpointConfigName=config)

    endpoint = account.settled(in_the_way)

    assert endpoint["EndpointStatus"] == "Failed"
    assert endpoint["FailureReason"].startswith("local_aws: NotADirectoryError: ")
    assert in_the_way in endpoint["FailureReason"]
    assert f"endpoint {in_the_way} failed inside local_aws" in caplog.text
    assert "Traceback" in caplog.text


def test_a_stack_whose_endpoint_meets_a_fault_rolls_back_and_says_why(
    serving_account: Any, in_the_way: str, until: Callable[..., Any]
) -> None:
    account = serving_account
    config = account.create_config(account.put_archive("blocked"))
    name = f"stack-{uuid.uuid4().hex[:12]}"
    endpoint = {
        "Type": "AWS::SageMaker::Endpoint",
        "Properties": {"EndpointName": in_the_way, "EndpointConfigName": config},
    }
    account.cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": {"Endpoint": endpoint}})
    )

    def settled() -> bool:
        (stack,) = account.cloudformation.describe_stacks(StackName=name)["Stacks"]
        return stack["StackStatus"] == "ROLLBACK_COMPLETE"

    assert until(settled)
    events = account.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    (reason,) = [
        e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"
    ]
    assert "local_aws: NotADirectoryError" in reason


def test_a_fault_during_an_update_leaves_the_old_model_serving(
    serving_account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = serving_account
    name = account.create_endpoint(account.create_config(account.put_archive("old")))
    new = account.create_config(account.put_archive("new"))
    monkeypatch.setattr(service.Endpoints, "_shift", _fault)

    account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=new)
    endpoint = account.settled(name)

    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["FailureReason"] == "local_aws: KeyError: 'planted'"
    answer = account.runtime.invoke_endpoint(EndpointName=name, Body=b"x")
    assert json.loads(answer["Body"].read())["name"] == "old"


def test_a_fault_while_it_takes_over_fails_the_endpoint(
    serving_account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = serving_account
    config = account.create_config(account.put_archive("nearly"))
    monkeypatch.setattr(service.DataCapture, "of", _fault)

    name = account.create_endpoint(config)

    endpoint = account.sagemaker.describe_endpoint(EndpointName=name)
    assert (endpoint["EndpointStatus"], endpoint["FailureReason"]) == (
        "Failed",
        "local_aws: KeyError: 'planted'",
    )


def test_a_fault_during_a_deletion_fails_the_endpoint_and_it_can_be_deleted_again(
    serving_account: Any, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    account = serving_account
    name = account.create_endpoint(account.create_config(account.put_archive("sticky")))

    with monkeypatch.context() as planted:
        planted.setattr(service, "deregister", _fault)
        account.sagemaker.delete_endpoint(EndpointName=name)
        endpoint = account.settled(name)
    assert (endpoint["EndpointStatus"], endpoint["FailureReason"]) == (
        "Failed",
        "local_aws: KeyError: 'planted'",
    )

    account.sagemaker.delete_endpoint(EndpointName=name)
    assert until(lambda: not account.sagemaker.list_endpoints(NameContains=name)["Endpoints"])


def test_a_stack_whose_endpoint_cannot_be_deleted_ends_in_delete_failed(
    serving_account: Any, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    account = serving_account
    config = account.create_config(account.put_archive("sticky"))
    name = f"stack-{uuid.uuid4().hex[:12]}"
    resources = {
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {"EndpointName": _name(), "EndpointConfigName": config},
        }
    }
    client = account.cloudformation
    client.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

    def status() -> str:
        return str(client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    until(lambda: status() == "CREATE_COMPLETE")
    with monkeypatch.context() as planted:
        planted.setattr(service, "deregister", _fault)
        client.delete_stack(StackName=name)
        until(lambda: status() == "DELETE_FAILED")

    reasons = [
        event.get("ResourceStatusReason", "")
        for event in client.describe_stack_events(StackName=name)["StackEvents"]
    ]
    assert any("local_aws: KeyError: 'planted'" in reason for reason in reasons)


def test_a_fault_in_what_watches_a_server_fails_the_endpoint(
    serving_account: Any, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    account = serving_account
    name = account.create_endpoint(account.create_config(account.put_archive("watched")))
    send = LogStream.send

    def planted(stream: LogStream, **options: Any) -> None:
        if stream._names["logGroupName"].endswith(name):
            _fault()
        send(stream, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LogStream, "send", planted)
        endpoint = until(
            lambda: (
                (found := account.sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"]
                == "Failed"
                and found
            )
        )

    assert endpoint["FailureReason"] == "local_aws: KeyError: 'planted'"
    with pytest.raises(ClientError, match="has failed: local_aws: KeyError: 'planted'"):
        account.runtime.invoke_endpoint(EndpointName=name, Body=b"x")


def test_a_fault_in_data_capture_stops_it_and_leaves_the_endpoint_serving(
    serving_account: Any, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Any]
) -> None:
    account = serving_account
    config = account.create_config(
        account.put_archive("captured"),
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{account.bucket}/captures",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
    )
    name = account.create_endpoint(config)
    monkeypatch.setattr(data_capture, "s3_location", _fault)
    account.runtime.invoke_endpoint(EndpointName=name, Body=b"x")

    def status() -> str:
        described = account.sagemaker.describe_endpoint(EndpointName=name)
        return str(described["DataCaptureConfig"]["CaptureStatus"])

    assert until(lambda: status() == "Stopped")
    answer = account.runtime.invoke_endpoint(EndpointName=name, Body=b"x")
    assert json.loads(answer["Body"].read())["name"] == "captured"
