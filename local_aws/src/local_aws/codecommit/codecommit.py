"""CodeCommit's repositories: made, described, renamed, tagged and deleted by name."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local_aws.aws_protocol import Call
from local_aws.codecommit.bare_repository import BareRepository, RefChange
from local_aws.codecommit.git import GitNotFound, find_git
from local_aws.codecommit.push_events import publish_codecommit
from local_aws.errors import AwsError
from local_aws.event_bus import EventBus
from local_aws.gateway import Handler
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.tags import Tags

CLONE_PATH = "/v1/repos/"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ARN = re.compile(r"arn:aws:codecommit:[^:]+:\d{12}:(?P<name>.+)")


@dataclass
class Repository:
    """One repository; what can change is changed under the store's lock only."""

    name: str
    id: str
    description: str | None = None
    kms_key_id: str | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    bare: BareRepository = field(init=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "bare"}


class CodeCommitRepositories:
    """All repositories of the account, and the operations on them. Thread-safe."""

    def __init__(self, own: OwnAws, bus: EventBus) -> None:
        self._own = own
        self._bus = bus
        self._folder = own.state_dir.absolute() / "repositories" / "codecommit"
        self._lock = threading.RLock()
        self._repositories: dict[str, Repository] = {}
        self._tags = Tags(
            self._find_by_arn,
            None,
            too_many="TooManyTagsException",
            reserved="InvalidSystemTagUsageException",
            invalid="InvalidTagsMapException",
        )

    def handlers(self) -> Mapping[str, Handler]:
        """Operation name to handler."""
        return {
            "CreateRepository": self.create_repository,
            "GetRepository": self.get_repository,
            "ListRepositories": self.list_repositories,
            "UpdateRepositoryDescription": self.update_repository_description,
            "DeleteRepository": self.delete_repository,
            "GetBranch": self.get_branch,
            **self._tags.handlers(),
        }

    def reopen(self) -> None:
        """Give the repositories that were kept their folders."""
        for repository in self._repositories.values():
            repository.bare = self._bare(repository)

    def find(self, name: str | None) -> Repository:
        """The repository of that name; AwsError if there is none."""
        if not name:
            raise AwsError("RepositoryNameRequiredException", "A repository name is required.")
        _check_name(name)
        with self._lock:
            if name not in self._repositories:
                raise AwsError("RepositoryDoesNotExistException", f"{name} does not exist")
            return self._repositories[name]

    def names(self) -> list[str]:
        """The names of all repositories."""
        with self._lock:
            return sorted(self._repositories)

    def create_repository(self, call: Call) -> Mapping[str, Any]:
        """Make an empty repository, ready to be pushed to."""
        params = call.params
        name, tags = params["repositoryName"], params.get("tags", {})
        _check_name(name)
        arn = self._own.arn("codecommit", name)
        self._tags.check(arn, tags)
        _require_git()
        with self._lock:
            self._require_free(name)
            repository = Repository(
                name=name,
                id=str(uuid.uuid4()),
                description=params.get("repositoryDescription"),
                kms_key_id=params.get("kmsKeyId"),
            )
            repository.bare = self._bare(repository)
            repository.bare.create()
            self._repositories[name] = repository
            self._tags.set(arn, tags)
            return {"repositoryMetadata": self._metadata(repository)}

    def get_repository(self, call: Call) -> Mapping[str, Any]:
        """Description, URL to clone from, default branch."""
        repository = self.find(call.params.get("repositoryName"))
        return {"repositoryMetadata": self._metadata(repository)}

    def list_repositories(self, call: Call) -> Mapping[str, Any]:
        """Names and ids, by name."""
        params = call.params
        for member in ("sortBy", "order"):
            if member in params:
                raise AwsError("InvalidParameterException", f"local_aws does not support {member}")
        with self._lock:
            repositories = sorted(self._repositories.values(), key=lambda one: one.name)
        pairs = [{"repositoryName": one.name, "repositoryId": one.id} for one in repositories]
        page, more = page_of(
            pairs,
            lambda pair: str(pair["repositoryId"]),
            params,
            following="nextToken",
            refusal="InvalidContinuationTokenException",
        )
        return {"repositories": page, **more}

    def update_repository_description(self, call: Call) -> None:
        """Another description, or none."""
        repository = self.find(call.params["repositoryName"])
        description = call.params.get("repositoryDescription")
        with self._lock:
            repository.description, repository.modified = description, datetime.now(UTC)

    def delete_repository(self, call: Call) -> Mapping[str, Any]:
        """Remove it with all it holds; nothing happens if there is none, as on AWS."""
        name = call.params["repositoryName"]
        _check_name(name)
        with self._lock:
            repository = self._repositories.pop(name, None)
        if repository is None:
            return {}
        self._tags.forget(self._own.arn("codecommit", name))
        repository.bare.delete()
        return {"repositoryId": repository.id}

    def get_branch(self, call: Call) -> Mapping[str, Any]:
        """The commit at its tip."""
        bare = self.find(call.params.get("repositoryName")).bare
        name = call.params.get("branchName")
        if not name:
            raise AwsError("BranchNameRequiredException", "A branch name is required.")
        branches = bare.branches()
        if name not in branches:
            raise AwsError("BranchDoesNotExistException", f"Branch {name} does not exist")
        return {"branch": {"branchName": name, "commitId": branches[name]}}

    def _bare(self, repository: Repository) -> BareRepository:
        return BareRepository(
            self._folder / f"{repository.id}.git",
            lambda changes, caller_arn: self._tell(repository, changes, caller_arn),
        )

    def _find_by_arn(self, arn: str) -> Repository:
        match = _ARN.fullmatch(arn)
        if match is None:
            raise AwsError(
                "InvalidResourceArnException", f"{arn!r} is not the ARN of a CodeCommit repository"
            )
        return self.find(match["name"])

    def _require_free(self, name: str) -> None:
        if name in self._repositories:
            raise AwsError(
                "RepositoryNameExistsException", f"Repository named {name} already exists"
            )

    def _metadata(self, repository: Repository) -> dict[str, Any]:
        described = {
            "accountId": self._own.account,
            "repositoryId": repository.id,
            "repositoryName": repository.name,
            "repositoryDescription": repository.description,
            "defaultBranch": repository.bare.default_branch(),
            "lastModifiedDate": repository.modified,
            "creationDate": repository.created,
            "cloneUrlHttp": f"{self._own.url}{CLONE_PATH}{repository.name}",
            "Arn": self._own.arn("codecommit", repository.name),
            "kmsKeyId": repository.kms_key_id,
        }
        return {name: value for name, value in described.items() if value is not None}

    def _tell(self, repository: Repository, changes: Sequence[RefChange], caller_arn: str) -> None:
        with self._lock:
            repository.modified, name = datetime.now(UTC), repository.name
        publish_codecommit(
            self._bus,
            changes,
            arn=self._own.arn("codecommit", name),
            name=name,
            repository_id=repository.id,
            caller_arn=caller_arn,
        )


def _require_git() -> None:
    try:
        find_git()
    except GitNotFound as err:
        raise AwsError("OperationNotAllowedException", str(err)) from err


def _check_name(name: str) -> None:
    """Raise AwsError unless CodeCommit would take the name (user guide, "Quotas")."""
    if _NAME.fullmatch(name) and not name.endswith(".git") and name not in (".", ".."):
        return
    raise AwsError(
        "InvalidRepositoryNameException",
        f"{name!r} is not a valid repository name: 1 to 100 letters, digits, '.', '_' or '-', "
        "not ending in '.git'",
    )
