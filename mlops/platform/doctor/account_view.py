"""The account as the checks see it: clients, parameters and stacks, each fetched once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import boto3
from botocore.config import Config

from mlops.account import open_session
from mlops.platform.stacks import DeployedStack, list_stacks

# A check ends before its time is over with an error that names the call, not with "no answer".
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=15,
    retries={"total_max_attempts": 3, "mode": "standard"},
    user_agent_extra="mlops-doctor",
)
PARAMETER_PREFIX = "/sagemaker-mlflow/"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a stack."""

    logical_id: str
    kind: str
    physical_id: str


class AccountView:
    """What several checks ask for, fetched when first asked for; checks may run side by side.

    Making one asks AWS nothing: also without credentials there is something to be said.
    """

    def __init__(
        self,
        region: str | None = None,
        profile: str | None = None,
        session: boto3.Session | None = None,
    ) -> None:
        self._names = (region, profile)
        self._lock = threading.RLock()  # boto3's sessions are not safe among threads
        self._session = session
        self._clients: dict[str, Any] = {}
        self._stacks = _Once(lambda: self._fetch_stacks())
        self._parameters = _Once(lambda: self._fetch_parameters())
        self._identity = _Once(lambda: self._fetch_identity())
        self._resources: dict[str, _Once[tuple[Resource, ...]]] = {}

    @property
    def region(self) -> str:
        """The session's region; empty if it has none."""
        with self._lock:
            return str(self._open().region_name or "")

    def client(self, service: str) -> Any:
        """A boto3 client with short timeouts."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._open().client(service, config=_CONFIG)
            return self._clients[service]

    def identity(self) -> Mapping[str, str]:
        """GetCallerIdentity."""
        return self._identity.get()

    def parameters(self) -> Mapping[str, str]:
        """The values under /sagemaker-mlflow/, by name below it."""
        return self._parameters.get()

    def stacks(self) -> Mapping[str, DeployedStack]:
        """All stacks, by name."""
        return self._stacks.get()

    def resources(self, stack_name: str) -> tuple[Resource, ...]:
        """The resources of a stack."""
        with self._lock:
            once = self._resources.setdefault(
                stack_name, _Once(lambda: self._fetch_resources(stack_name))
            )
        return once.get()

    def _open(self) -> boto3.Session:
        if self._session is None:
            region, profile = self._names
            self._session = open_session(region, profile)
        return self._session

    def _fetch_identity(self) -> Mapping[str, str]:
        return dict(self.client("sts").get_caller_identity())

    def _fetch_parameters(self) -> Mapping[str, str]:
        pages = self.client("ssm").get_paginator("get_parameters_by_path")
        return {
            str(parameter["Name"]).removeprefix(PARAMETER_PREFIX): str(parameter["Value"])
            for page in pages.paginate(Path=PARAMETER_PREFIX.rstrip("/"), Recursive=True)
            for parameter in page["Parameters"]
        }

    def _fetch_stacks(self) -> Mapping[str, DeployedStack]:
        return {stack.name: stack for stack in list_stacks(self.client("cloudformation"))}

    def _fetch_resources(self, stack_name: str) -> tuple[Resource, ...]:
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        return tuple(
            Resource(
                logical_id=str(resource["LogicalResourceId"]),
                kind=str(resource["ResourceType"]),
                physical_id=str(resource.get("PhysicalResourceId", "")),
            )
            for page in pages.paginate(StackName=stack_name)
            for resource in page["StackResourceSummaries"]
            if resource["ResourceStatus"] != "DELETE_COMPLETE"
        )


@dataclass
class _Once(Generic[T]):
    """A value that is fetched at most once; whoever asks again after a refusal gets the same."""

    fetch: Callable[[], T]
    lock: threading.Lock = field(default_factory=threading.Lock)
    fetched: list[T] = field(default_factory=list)
    refusal: Exception | None = None

    def get(self) -> T:
        with self.lock:
            if self.refusal is None and not self.fetched:
                try:
                    self.fetched.append(self.fetch())
                except Exception as err:
                    self.refusal = err
                    raise
        if self.refusal is not None:
            raise self.refusal
        return self.fetched[0]
