"""The repositories behind Git connections: what GitHub, GitLab or Bitbucket would hold.

One comes to be by its first push, under the name that a source action gives as FullRepositoryId.
"""

from __future__ import annotations

import re
import threading

from local_aws.codecommit.bare_repository import BareRepository
from local_aws.codecommit.push_events import publish_connection
from local_aws.codecommit.smart_http import RepositoryNotFound
from local_aws.event_bus import EventBus
from local_aws.own_aws import OwnAws

CONNECTION_PATH = "/git/"
_PART = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class ConnectionRepositories:
    """All of them, by `<owner>/<name>` (GitLab: also with groups between). Thread-safe."""

    def __init__(self, own: OwnAws, bus: EventBus) -> None:
        self._own = own
        self._bus = bus
        self._folder = own.state_dir.absolute() / "repositories" / "connections"
        self._lock = threading.Lock()
        self._repositories: dict[str, BareRepository] = {}

    def find(self, path: str, pushes: bool) -> BareRepository:
        """The repository at `<owner>/<name>.git`; made if it is about to be pushed to.

        Raises RepositoryNotFound with what to do.
        """
        name = path.removesuffix(".git")
        _check_name(name, path)
        with self._lock:
            if name in self._repositories:
                return self._repositories[name]
            folder = self._folder / f"{name}.git"
            if not pushes and not folder.is_dir():
                raise RepositoryNotFound(
                    f"no repository {name!r} behind a connection. Its first push makes it: "
                    f"git push {self._own.url}{CONNECTION_PATH}{name}.git main"
                )
            bare = BareRepository(
                folder,
                lambda changes, _: publish_connection(
                    self._bus, changes, name=name, repository=bare
                ),
            )
            if not folder.is_dir():  # it may be a kept one
                bare.create()
            self._repositories[name] = bare
            return bare


def _check_name(name: str, path: str) -> None:
    parts = name.split("/")
    valid = all(
        _PART.fullmatch(part) and part not in (".", "..") and not part.endswith(".git")
        for part in parts
    )
    if not path.endswith(".git") or len(parts) < 2 or not valid:
        raise RepositoryNotFound(
            f"{CONNECTION_PATH}{path} is not the URL of a repository: it has the form "
            f"{CONNECTION_PATH}<owner>/<name>.git"
        )
