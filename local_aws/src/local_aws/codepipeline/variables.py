"""Variables of a pipeline: `#{namespace.key}` in an action's configuration.

Namespaces are `variables` (the pipeline's own, V2), `codepipeline` (the execution's id) and those
that actions declare for what they output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PIPELINE_VARIABLES = "variables"
EXECUTION_VARIABLES = "codepipeline"

_REFERENCE = re.compile(r"#\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9@_-]+\.[A-Za-z0-9@_-]+")


class UnresolvedVariable(Exception):
    """A reference names something that no action gave; its text is the argument."""


def references(text: str) -> list[str]:
    """What stands between `#{` and `}`, in order: `SourceVariables.CommitId`."""
    return _REFERENCE.findall(text)


def is_well_formed(reference: str) -> bool:
    """Whether it is a namespace and a key separated by one period."""
    return _NAME.fullmatch(reference) is not None


def resolve(text: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """The text with each reference replaced; raises UnresolvedVariable.

    `values` is namespace -> key -> value.
    """

    def value_of(match: re.Match[str]) -> str:
        namespace, _, key = match[1].partition(".")
        if key not in values.get(namespace, {}):
            raise UnresolvedVariable(match[1])
        return values[namespace][key]

    return _REFERENCE.sub(value_of, text)
