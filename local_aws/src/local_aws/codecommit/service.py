"""CodeCommit, CodeConnections, and the Git repositories of both, for the gateway.

    /v1/repos/<name>           CodeCommit's, made by CreateRepository; the path is AWS's
    /git/<owner>/<name>.git    those behind a connection, made by their first push

Neither asks for credentials, so git needs no `aws codecommit credential-helper` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from wsgiref.types import WSGIApplication

from local_aws.codecommit.bare_repository import BareRepository
from local_aws.codecommit.branches import CodeCommitBranches
from local_aws.codecommit.codecommit import CLONE_PATH, CodeCommitRepositories
from local_aws.codecommit.connection_repositories import CONNECTION_PATH, ConnectionRepositories
from local_aws.codecommit.connections import Connections
from local_aws.codecommit.file_changes import CodeCommitFileChanges
from local_aws.codecommit.files import CodeCommitFiles
from local_aws.codecommit.smart_http import RepositoryNotFound, SmartHttp
from local_aws.errors import AwsError
from local_aws.event_bus import EventBus
from local_aws.gateway import Handler
from local_aws.own_aws import DEVELOPER_KEY, OwnAws


class Repositories:
    """The service: what becomes of branches and tags is published on the bus."""

    kept = ("_codecommit._repositories", "_connections._connections")

    def __init__(self, own: OwnAws, bus: EventBus) -> None:
        self._own = own
        self._codecommit = CodeCommitRepositories(own, bus)
        self._connections = Connections(own)
        self._connected = ConnectionRepositories(own, bus)

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """What the gateway hands to this service."""
        codecommit = {
            **self._codecommit.handlers(),
            **CodeCommitBranches(self._codecommit).handlers(),
            **CodeCommitFiles(self._codecommit).handlers(),
            **CodeCommitFileChanges(self._codecommit).handlers(),
        }
        return {
            **{("codecommit", name): handler for name, handler in codecommit.items()},
            **self._connections.operations(),
        }

    def mounts(self) -> Mapping[str, WSGIApplication]:
        """Where git clones from and pushes to."""
        return {
            CLONE_PATH: SmartHttp(
                prefix=CLONE_PATH, find=self._find_codecommit, pusher_arn=self._developer
            ),
            CONNECTION_PATH: SmartHttp(
                prefix=CONNECTION_PATH, find=self._connected.find, pusher_arn=self._developer
            ),
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
                f"aws codecommit create-repository --repository-name {name}"
            ) from err

    def _developer(self) -> str:
        return self._own.caller_arn(DEVELOPER_KEY)
