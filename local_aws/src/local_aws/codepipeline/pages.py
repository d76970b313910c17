"""Lists in pages, under CodePipeline's names of the members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_aws.errors import AwsError
from local_aws.pagination import page_of


def page(
    member: str,
    items: Sequence[Mapping[str, Any]],
    key: Callable[[Mapping[str, Any]], str],
    params: Mapping[str, Any],
) -> dict[str, Any]:
    """The page that maxResults and nextToken ask for, as the answer of a List operation."""
    names = {"maxResults": "MaxResults", "nextToken": "NextToken"}
    request = {theirs: params[ours] for ours, theirs in names.items() if ours in params}
    try:
        found, more = page_of(items, key, request)
    except AwsError as err:
        raise AwsError("InvalidNextTokenException", err.message) from err
    answer: dict[str, Any] = {member: found}
    if more:
        answer["nextToken"] = more["NextToken"]
    return answer
