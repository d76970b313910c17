"""Tags of models, endpoint configurations and endpoints, kept where moto's AddTags, ListTags and
DeleteTags look for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from local_aws.own_aws import OwnAws


def keep_tags(own: OwnAws, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
    """Let the resource have these tags from now on."""
    kept, name = _place(own, arn)
    kept[name] = SimpleNamespace(tags=[dict(tag) for tag in tags])


def drop_tags(own: OwnAws, arn: str) -> None:
    """The resource is gone."""
    kept, name = _place(own, arn)
    kept.pop(name, None)


def _place(own: OwnAws, arn: str) -> tuple[dict[str, Any], str]:
    backend = sagemaker_backends[own.account][own.region]
    kind, name = arn.rsplit(":", 1)[-1].split("/")
    places: dict[str, dict[str, Any]] = {
        "model": backend._models,
        "endpoint-config": backend.endpoint_configs,
        "endpoint": backend.endpoints,
    }
    return places[kind], name
