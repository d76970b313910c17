"""Which operation a REST request means: its method and path, compared with the service model's."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from urllib.parse import unquote

from moto.core.utils import get_service_model

_LABEL = re.compile(r"\\\{(\w+)(\\\+)?\\\}")


@dataclass(frozen=True)
class Route:
    """An operation and the parameters that stand in its path."""

    operation: str
    path_parameters: dict[str, str]


def find_route(service: str, method: str, path: str) -> Route | None:
    """The operation of that method whose path fits best; None if there is none.

    Source of the paths: `requestUri` in botocore's models, `/schedules/{Name}`, `{Key+}` for a
    label with slashes.
    """
    for operation, verb, pattern in _patterns(service):
        match = pattern.fullmatch(path)
        if verb == method and match:
            return Route(operation, {k: unquote(v) for k, v in match.groupdict().items()})
    return None


@functools.cache
def _patterns(service: str) -> list[tuple[str, str, re.Pattern[str]]]:
    model = get_service_model(service)
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        uri = http["requestUri"].partition("?")[0]
        pattern = _LABEL.sub(_group, re.escape(uri))
        # Literal paths before those with labels: /schedules before /schedules/{Name}.
        found.append((uri.count("{"), -len(uri), name, http["method"], re.compile(pattern)))
    found.sort(key=lambda row: row[:3])
    return [(name, method, pattern) for _, _, name, method, pattern in found]


def _group(label: re.Match[str]) -> str:
    return f"(?P<{label[1]}>{'.+' if label[2] else '[^/]+'})"
