"""CodeConnections, as boto3 meets it under both of its names."""

from __future__ import annotations

import uuid

import pytest
from botocore.exceptions import ClientError


@pytest.fixture(params=["codeconnections", "codestar-connections"])
def client(hosting, request):
    return hosting.gateway.own.client(request.param)


def _create(client, **arguments):
    name = f"c-{uuid.uuid4().hex[:12]}"
    answer = client.create_connection(
        ConnectionName=name, **{"ProviderType": "GitHub", **arguments}
    )
    return name, answer["ConnectionArn"]


def _refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_connection_is_available_at_once(client):
    name, arn = _create(client)

    service = client.meta.service_model.signing_name
    assert arn.startswith(f"arn:aws:{service}:us-east-1:123456789012:connection/")
    assert client.get_connection(ConnectionArn=arn)["Connection"] == {
        "ConnectionName": name,
        "ConnectionArn": arn,
        "ProviderType": "GitHub",
        "OwnerAccountId": "123456789012",
        "ConnectionStatus": "AVAILABLE",
    }


def test_connections_are_listed_by_provider_in_pages(client):
    arns = [_create(client, ProviderType="Bitbucket")[1] for _ in range(3)]
    _, other = _create(client, ProviderType="GitLab")

    listed, token = [], {}
    while True:
        page = client.list_connections(ProviderTypeFilter="Bitbucket", MaxResults=2, **token)
        listed += [one["ConnectionArn"] for one in page["Connections"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}

    assert [arn for arn in listed if arn in arns] == arns
    assert other not in listed


def test_what_needs_a_host_is_refused(client):
    code, message = _refused(
        client.create_connection, ConnectionName="c", ProviderType="GitHubEnterpriseServer"
    )
    assert code == "ValidationException"
    assert "'GitHubEnterpriseServer' cannot be connected without a host" in message

    host = f"arn:aws:{client.meta.service_model.signing_name}:us-east-1:123456789012:host/h"
    code, message = _refused(client.create_connection, ConnectionName="c", HostArn=host)
    assert code == "ResourceNotFoundException"
    assert "local_aws has no hosts" in message


def test_a_name_is_taken_once(client):
    name, _ = _create(client)

    code, _ = _refused(client.create_connection, ConnectionName=name, ProviderType="GitHub")

    assert code == "ResourceUnavailableException"
