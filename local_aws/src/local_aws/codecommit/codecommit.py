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

CLONE_PATH = "/v1/repos/"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ARN = re.compile(r"arn:aws:codecommit:[^:]+:\d{12}:(?P<name>.+)")
_DESCRIPTION_LIMIT = 1000
_BATCH_LIMIT = 100
_TAG_LIMIT = 50


@dataclass
class Repository:
    """One repository; what can change is changed under the store's lock only."""

    name: str
    id: str
    description: str | None = None
    kms_key_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
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

    def handlers(self) -> Mapping[str, Handler]:
        """Operation name to handler."""
        return {
            "CreateRepository": self.create_repository,
            "GetRepository": self.get_repository,
            "BatchGetRepositories": self.batch_get_repositories,
            "ListRepositories": self.list_repositories,
            "UpdateRepositoryDescription": self.update_repository_description,
            "UpdateRepositoryName": self.update_repository_name,
            "DeleteRepository": self.delete_repository,
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
            "ListTagsForResource": self.list_tags_for_resource,
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
        _check_description(params.get("repositoryDescription"))
        _check_tags(tags, {})
        _require_git()
        with self._lock:
            self._require_free(name)
            repository = Repository(
                name=name,
                id=str(uuid.uuid4()),
                description=params.get("repositoryDescription"),
                kms_key_id=params.get("kmsKeyId"),
                tags=dict(tags),
            )
            repository.bare = self._bare(repository)
            repository.bare.create()
            self._repositories[name] = repository
            return {"repositoryMetadata": self._metadata(repository)}

    def get_repository(self, call: Call) -> Mapping[str, Any]:
        """Description, URL to clone from, default branch."""
        repository = self.find(call.params.get("repositoryName"))
        return {"repositoryMetadata": self._metadata(repository)}

    def batch_get_repositories(self, call: Call) -> Mapping[str, Any]:
        """The same of several, and the names of those that don't exist."""
        names = call.params["repositoryNames"]
        if len(names) > _BATCH_LIMIT:
            raise AwsError(
                "MaximumRepositoryNamesExceededException",
                f"{len(names)} names; at most {_BATCH_LIMIT} are allowed in one call",
            )
        found, missing = [], []
        for name in dict.fromkeys(names):
            try:
                found.append(self._metadata(self.find(name)))
            except AwsError as err:
                if err.code != "RepositoryDoesNotExistException":
                    raise
                missing.append(name)
        return {"repositories": found, "repositoriesNotFound": missing}

    def list_repositories(self, call: Call) -> Mapping[str, Any]:
        """Names and ids, by name unless asked otherwise."""
        params = call.params
        sort_by = params.get("sortBy", "repositoryName")
        if sort_by not in ("repositoryName", "lastModifiedDate"):
            raise AwsError("InvalidSortByException", f"sortBy {sort_by!r} is not valid")
        order = params.get("order", "ascending")
        if order not in ("ascending", "descending"):
            raise AwsError("InvalidOrderException", f"order {order!r} is not valid")
        with self._lock:
            repositories = sorted(self._repositories.values(), key=lambda one: one.name)
            if sort_by == "lastModifiedDate":
                repositories.sort(key=lambda one: one.modified)
        if order == "descending":
            repositories.reverse()
        pairs = [{"repositoryName": one.name, "repositoryId": one.id} for one in repositories]
        page, more = page_by_token(pairs, "repositoryId", params)
        return {"repositories": page, **more}

    def update_repository_description(self, call: Call) -> None:
        """Another description, or none."""
        repository = self.find(call.params["repositoryName"])
        description = call.params.get("repositoryDescription")
        _check_description(description)
        with self._lock:
            repository.description, repository.modified = description, datetime.now(UTC)

    def update_repository_name(self, call: Call) -> None:
        """Another name, ARN and URL for the same repository."""
        old, new = call.params["oldName"], call.params["newName"]
        _check_name(new)
        with self._lock:
            repository = self.find(old)
            self._require_free(new)
            del self._repositories[old]
            repository.name, repository.modified = new, datetime.now(UTC)
            self._repositories[new] = repository

    def delete_repository(self, call: Call) -> Mapping[str, Any]:
        """Remove it with all it holds; nothing happens if there is none, as on AWS."""
        name = call.params["repositoryName"]
        _check_name(name)
        with self._lock:
            repository = self._repositories.pop(name, None)
        if repository is None:
            return {}
        repository.bare.delete()
        return {"repositoryId": repository.id}

    def tag_resource(self, call: Call) -> None:
        """Add tags, or give them other values."""
        repository = self._find_by_arn(call.params["resourceArn"])
        with self._lock:
            _check_tags(call.params["tags"], repository.tags)
            repository.tags.update(call.params["tags"])

    def untag_resource(self, call: Call) -> None:
        """Take tags away; keys that are not there are passed over."""
        repository = self._find_by_arn(call.params["resourceArn"])
        with self._lock:
            for key in call.params["tagKeys"]:
                repository.tags.pop(key, None)

    def list_tags_for_resource(self, call: Call) -> Mapping[str, Any]:
        """All tags."""
        return {"tags": dict(self._find_by_arn(call.params["resourceArn"]).tags)}

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


def page_by_token(
    items: Sequence[Mapping[str, Any]], key: str, params: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """A page as CodeCommit gives it, whose members are `nextToken` and have no size to choose."""
    token = {"NextToken": params["nextToken"]} if params.get("nextToken") else {}
    try:
        page, more = page_of(items, lambda item: str(item[key]), token)
    except AwsError as err:
        raise AwsError("InvalidContinuationTokenException", err.message) from err
    return page, {"nextToken": more["NextToken"]} if more else {}


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


def _check_description(description: str | None) -> None:
    if description is not None and len(description) > _DESCRIPTION_LIMIT:
        raise AwsError(
            "InvalidRepositoryDescriptionException",
            f"the description has {len(description)} characters; at most {_DESCRIPTION_LIMIT} "
            "are allowed",
        )


def _check_tags(tags: Mapping[str, str], present: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise AwsError(
                "InvalidSystemTagUsageException", f"tag key {key!r}: 'aws:' is for AWS itself"
            )
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise AwsError(
                "InvalidTagsMapException",
                f"tag {key!r}: keys have 1 to 128 characters, values at most 256",
            )
    if len({*tags, *present}) > _TAG_LIMIT:
        raise AwsError("TooManyTagsException", f"a repository has at most {_TAG_LIMIT} tags")
