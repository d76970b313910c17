"""Lists in pages, as AWS's List operations give them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_aws.errors import AwsError

_MOST = 100


def page_of(
    items: Sequence[Mapping[str, Any]],
    key: Callable[[Mapping[str, Any]], str],
    params: Mapping[str, Any],
) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """The items that MaxResults and NextToken in `params` ask for, and a NextToken if more follow.

    The token says after which item (by `key`) to go on, so that new items don't shift the pages.
    """
    first = 0
    if "NextToken" in params:
        last = _decode(params["NextToken"])
        keys = [key(item) for item in items]
        if last not in keys:
            raise AwsError("ValidationException", f"Invalid NextToken {params['NextToken']!r}")
        first = keys.index(last) + 1
    size = min(int(params.get("MaxResults", _MOST)), _MOST)
    page = list(items[first : first + size])
    if first + size >= len(items):
        return page, {}
    return page, {"NextToken": base64.urlsafe_b64encode(key(page[-1]).encode()).decode()}


def _decode(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError) as err:
        raise AwsError("ValidationException", f"Invalid NextToken {token!r}") from err
