"""CodeCommit, CodeConnections, and the Git repositories of both, for the gateway.

    /v1/repos/<name>           CodeCommit's, made by CreateRepository; the path is AWS's
    /git/<owner>/<name>.git    those behind a connection, made by their first push

Both ask for the login that `aws codecommit credential-helper` makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from wsgiref.types import WSGIApplication

from local_aws.codecommit.bare_repository import BareRepository
from local_aws.codecommit.codecommit import CLONE_PATH, CodeCommitRepositories
from local_aws.codecommit.connection_repositories import CONNECTION_PATH, ConnectionRepositories
from local_aws.codecommit.connections import Connections
from local_aws.codecommit.smart_http import RepositoryNotFound, SmartHttp
from local_aws.errors import AwsError
from local_aws.event_bus import EventBus
from local_aws.gateway import Handler
from local_aws.login import git_caller
from local_aws.own_aws import OwnAws


class Repositories:
    """The service: what becomes of branches and tags is published on the bus."""

    kept = ("_codecommit._repositories", "_codecommit._tags._tags", "_connections._connections")

    def __init__(self, own: OwnAws, bus: EventBus) -> None:
        self._own = own
        self._codecommit = CodeCommitRepositories(own, bus)
        self._connections = Connections(own)
        self._connected = ConnectionRepositories(own, bus)

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """What the gateway hands to this service."""
        return {
            **{("codecommit", name): each for name, each in self._codecommit.handlers().items()},
            **self._connections.operations(),
        }

    def mounts(self) -> Mapping[str, WSGIApplication]:
        """Where git clones from and pushes to."""
        return {
            prefix: SmartHttp(
                prefix=prefix,
                find=find,
                caller=lambda environ, path: git_caller(environ, path, self._own),
            )
            for prefix, find in (
                (CLONE_PATH, self._find_codecommit),
                (CONNECTION_PATH, self._connected.find),
            )
        }

    def close(self) -> None:
        """Nothing runs between two requests."""

    def resume(self) -> list[str]:
        """What is kept of a repository is not its folder."""
        self._codecommit.reopen()
        return []

    def _find_codecommit(self, name: str, _pushes: bool) -> BareRepository:
        try:
            return self._codecommit.find(name).bare
        except AwsError as err:
            there = ", ".join(self._codecommit.names()) or "none"
            raise RepositoryNotFound(
                f"no CodeCommit repository {name!r}; there are: {there}. Make it: "
                f"`aws codecommit create-repository --repository-name {name}`"
            ) from err
