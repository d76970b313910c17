"""Lists in pages, as AWS's List operations give them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from local_aws.errors import AwsError

_MOST = 100
Item = TypeVar("Item")


def page_of(
    items: Sequence[Item],
    key: Callable[[Item], str],
    params: Mapping[str, Any],
    *,
    size: str = "MaxResults",
    following: str = "NextToken",
    refusal: str = "ValidationException",
) -> tuple[list[Item], dict[str, str]]:
    """The items that `params` ask for, and the member of the answer that leads to the next ones.

    `size` and `following` are what the service calls the two, `refusal` its error for a bad token.
    A token says after which item (by `key`) to go on, so that new items don't shift the pages.
    """
    first = 0
    if params.get(following):
        last = _decode(params[following])
        keys = [key(item) for item in items]
        if last not in keys:
            raise AwsError(refusal, f"Invalid {following} {params[following]!r}")
        first = keys.index(last) + 1
    most = min(int(params.get(size, _MOST)), _MOST)
    page = list(items[first : first + most])
    if first + most >= len(items):
        return page, {}
    return page, {following: base64.urlsafe_b64encode(key(page[-1]).encode()).decode()}


def _decode(token: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        return None
