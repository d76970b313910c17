"""boto3 clients of the local_aws that runs, one for each service that is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.remote import client_of


class Clients:
    """`clients("codepipeline")` is a client as a program gets after `eval "$(local-aws env)"`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = client_of(self.environment, service)
        return self._clients[service]
