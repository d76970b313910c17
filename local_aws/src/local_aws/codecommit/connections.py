"""CodeConnections, also under its former name CodeStar connections.

On AWS a connection is PENDING until a person has completed the handshake with GitHub, GitLab or
Bitbucket in the console. Here there is no provider to shake hands with: it is AVAILABLE at once.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of

SERVICES = ("codeconnections", "codestar-connections")
_PROVIDERS = ("Bitbucket", "GitHub", "GitLab", "AzureDevOps")
_TAG_LIMIT = 200


@dataclass
class Connection:
    """One connection; its tags are changed under the lock only."""

    name: str
    arn: str
    provider: str
    tags: dict[str, str] = field(default_factory=dict)


class Connections:
    """All connections of the account. Thread-safe."""

    def __init__(self, own: OwnAws) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._connections: dict[str, Connection] = {}

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """(service, operation) to handler, under both names of the service."""
        handlers: dict[str, Handler] = {
            "CreateConnection": self.create_connection,
            "GetConnection": self.get_connection,
            "ListConnections": self.list_connections,
            "DeleteConnection": self.delete_connection,
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
            "ListTagsForResource": self.list_tags_for_resource,
        }
        return {
            (service, name): handler for service in SERVICES for name, handler in handlers.items()
        }

    def create_connection(self, call: Call) -> Mapping[str, Any]:
        """A connection that is available at once."""
        params = call.params
        name, provider = params["ConnectionName"], params.get("ProviderType")
        if "HostArn" in params:
            raise AwsError(
                "ResourceNotFoundException",
                f"no host {params['HostArn']}: local_aws has no hosts. Pass ProviderType, one of "
                f"{', '.join(_PROVIDERS)}.",
            )
        if provider not in _PROVIDERS:
            raise AwsError(
                "ValidationException",
                f"ProviderType {provider!r} cannot be connected without a host; local_aws connects "
                f"{', '.join(_PROVIDERS)}.",
            )
        if len(name) > 32:
            raise AwsError("ValidationException", f"ConnectionName {name!r} is over 32 characters")
        arn = self._own.arn(call.service, f"connection/{uuid.uuid4()}")
        connection = Connection(name, arn, provider, _tags(params.get("Tags", [])))
        with self._lock:
            if any(other.name == name for other in self._connections.values()):
                raise AwsError(
                    "ResourceUnavailableException",
                    f"There is a connection {name!r} already; names are unique in an account.",
                )
            self._connections[arn] = connection
            return {"ConnectionArn": arn, "Tags": _listed(connection.tags)}

    def get_connection(self, call: Call) -> Mapping[str, Any]:
        """Name, provider, status."""
        with self._lock:
            return {"Connection": self._described(self._find(call.params["ConnectionArn"]))}

    def list_connections(self, call: Call) -> Mapping[str, Any]:
        """All of them, or those of a provider."""
        params = call.params
        with self._lock:
            found = [
                self._described(connection)
                for connection in self._connections.values()
                if params.get("ProviderTypeFilter") in (None, connection.provider)
                and "HostArnFilter" not in params
            ]
        page, more = page_of(found, lambda one: str(one["ConnectionArn"]), params)
        return {"Connections": page, **more}

    def delete_connection(self, call: Call) -> Mapping[str, Any]:
        """Forget it; the repositories behind it stay, as they do at the provider."""
        with self._lock:
            del self._connections[self._find(call.params["ConnectionArn"]).arn]
        return {}

    def tag_resource(self, call: Call) -> Mapping[str, Any]:
        """Add tags, or give them other values."""
        with self._lock:
            connection = self._find(call.params["ResourceArn"])
            together = {**connection.tags, **_tags(call.params["Tags"])}
            if len(together) > _TAG_LIMIT:
                raise AwsError("LimitExceededException", f"at most {_TAG_LIMIT} tags are allowed")
            connection.tags = together
        return {}

    def untag_resource(self, call: Call) -> Mapping[str, Any]:
        """Take tags away; keys that are not there are passed over."""
        with self._lock:
            connection = self._find(call.params["ResourceArn"])
            for key in call.params["TagKeys"]:
                connection.tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, call: Call) -> Mapping[str, Any]:
        """All tags."""
        with self._lock:
            return {"Tags": _listed(self._find(call.params["ResourceArn"]).tags)}

    def _find(self, arn: str) -> Connection:
        if arn not in self._connections:
            raise AwsError("ResourceNotFoundException", f"Connection {arn} not found")
        return self._connections[arn]

    def _described(self, connection: Connection) -> dict[str, Any]:
        return {
            "ConnectionName": connection.name,
            "ConnectionArn": connection.arn,
            "ProviderType": connection.provider,
            "OwnerAccountId": self._own.account,
            "ConnectionStatus": "AVAILABLE",
        }


def _tags(listed: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in listed}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
