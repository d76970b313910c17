"""A gateway with repositories alone, what it told the bus, and git as a person runs it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pushed import git_in, push_commit

from local_aws.codecommit.service import Repositories
from local_aws.event_bus import EventBus
from local_aws.gateway import Gateway


class Hosting:
    """A running gateway and its clients."""

    def __init__(self, gateway: Gateway, told: list[dict[str, Any]]) -> None:
        self.gateway = gateway
        self.url = gateway.url
        self.codecommit = gateway.own.client("codecommit")
        self._told = told

    def create(self, **arguments: Any) -> str:
        """Name of a new CodeCommit repository."""
        name = f"r-{uuid.uuid4().hex[:12]}"
        self.codecommit.create_repository(repositoryName=name, **arguments)
        return name

    def clone_url(self, name: str) -> str:
        return f"{self.url}/v1/repos/{name}"

    def told(self, name: str) -> list[dict[str, Any]]:
        """The events about a repository, in their order."""
        keys = ("repositoryName", "fullRepositoryId")
        return [event for event in self._told if name in [event["detail"].get(k) for k in keys]]

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Id of a new commit on main, on top of its tip."""
        return push_commit(self.clone_url(name), files)


class WorkTree:
    """A clone, or a new repository, and git in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *arguments: str, fails: bool | None = False, **environment: str) -> str:
        """What git prints; on stderr as well if it may fail (None) or a variable is set."""
        done = git_in(self.path, *arguments, **environment)
        assert fails is None or (done.returncode != 0) == fails, done.stderr
        told = done.stderr if fails is not False or environment else ""
        return (done.stdout + told).strip()

    def commit(self, **files: str | bytes) -> str:
        """Id of a new commit with these files; `a__b` is the path a/b."""
        for name, text in files.items():
            path = self.path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self("add", "--all")
        self("commit", "--quiet", "--message", f"Change {', '.join(files)}")
        return self("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def hosting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosting]:
    """Shared by a module: names are unique."""
    told: list[dict[str, Any]] = []

    def services(own: Any) -> list[Repositories]:
        bus = EventBus(own)
        bus.subscribe(lambda event: told.append(dict(event.document)))
        return [Repositories(own, bus)]

    gateway = Gateway(tmp_path_factory.mktemp("hosting"), services).start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in gateway.own.credentials_environment(None).items():
            patch.setenv(name, value)
        yield Hosting(gateway, told)
    gateway.close()


@pytest.fixture
def work_tree(tmp_path: Path) -> WorkTree:
    """A new local repository on branch main, without commits."""
    path = tmp_path / "work"
    path.mkdir()
    tree = WorkTree(path)
    tree("init", "--quiet", "--initial-branch=main")
    return tree


@pytest.fixture
def clone(tmp_path: Path) -> Callable[[str], WorkTree]:
    """Clones a URL; each time into a new folder."""

    def cloned(url: str) -> WorkTree:
        path = tmp_path / uuid.uuid4().hex
        path.mkdir()
        tree = WorkTree(path)
        tree("clone", "--quiet", url, ".")
        return tree

    return cloned
