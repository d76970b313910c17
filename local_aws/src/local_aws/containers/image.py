"""What is known of an image: read from the annotations of its manifest in the emulator's ECR.

    local-aws.command       JSON list: the command of its model server; {port} is replaced
    local-aws.python        absolute path of the Python whose packages are the image's
                            (default: the one that runs local_aws)
    local-aws.environment   JSON object: variables that its containers start with (default: none)
    local-aws.requirements  a requirements file below /opt/ml/model, installed first (default: none)

Layers are not looked at: an image is an environment that this machine has already.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from local_aws.errors import AwsError

_PREFIX = "local-aws."
_KNOWN = ("command", "python", "environment", "requirements")
_MODEL = PurePosixPath("/opt/ml/model")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image:
    """A container image.

    `python` is None for the job image, which is built when it is needed; `variables` are those its
    containers start with; `requirements` is the place of a file in its containers.
    """

    name: str
    python: Path | None = None
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    requirements: PurePosixPath | None = None

    def serve_command(self, port: int) -> list[str]:
        """What answers /ping and /invocations on 127.0.0.1 for the model in /opt/ml/model."""
        self.require_server()
        return [word.replace("{port}", str(port)) for word in self.command]

    def require_server(self) -> None:
        """Raise AwsError unless it serves models."""
        if not self.command:
            raise AwsError("ValidationException", f"The image {self.name} has no model server")


def read_annotations(uri: str, manifest: str) -> Image:
    """The image that a manifest describes; AwsError naming the annotation that is wrong."""
    given = json.loads(manifest).get("annotations")
    annotations: Mapping[str, Any] = given if isinstance(given, dict) else {}
    unknown = sorted(
        name
        for name in annotations
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in _KNOWN
    )
    if unknown:
        raise _wrong(uri, f"its annotation {unknown[0]} is unknown; there are {', '.join(_KNOWN)}")
    if f"{_PREFIX}command" not in annotations:
        raise _wrong(uri, "its manifest has no annotation local-aws.command (local_aws/README.md)")
    command = _json(uri, annotations, "command", list)
    if not command or not all(isinstance(word, str) for word in command):
        raise _wrong(uri, _but("command", annotations, "a JSON list of texts, the program first"))
    variables = _json(uri, annotations, "environment", dict)
    if not all(isinstance(value, str) for value in variables.values()):
        raise _wrong(uri, _but("environment", annotations, "a JSON object of texts"))
    return Image(
        name=uri,
        python=_python(uri, annotations),
        command=tuple(command),
        variables=variables,
        requirements=_requirements(uri, annotations),
    )


def _json(uri: str, annotations: Mapping[str, Any], name: str, kind: type) -> Any:
    wanted = "a JSON list" if kind is list else "a JSON object"
    try:
        value = json.loads(annotations.get(f"{_PREFIX}{name}", "{}"))
    except (TypeError, ValueError) as err:
        raise _wrong(uri, _but(name, annotations, f"{wanted} ({err})")) from err
    if not isinstance(value, kind):
        raise _wrong(uri, _but(name, annotations, wanted))
    return value


def _python(uri: str, annotations: Mapping[str, Any]) -> Path:
    python = Path(str(annotations.get(f"{_PREFIX}python", sys.executable)))
    if not python.is_absolute() or not python.is_file() or not os.access(python, os.X_OK):
        raise _wrong(uri, _but("python", annotations, "the absolute path of a program here"))
    return python


def _requirements(uri: str, annotations: Mapping[str, Any]) -> PurePosixPath | None:
    if f"{_PREFIX}requirements" not in annotations:
        return None
    place = _MODEL / str(annotations[f"{_PREFIX}requirements"])
    if not place.is_relative_to(_MODEL) or ".." in place.parts or place == _MODEL:
        raise _wrong(uri, _but("requirements", annotations, f"a file below {_MODEL}"))
    return place


def _but(name: str, annotations: Mapping[str, Any], wanted: str) -> str:
    return f"its annotation {_PREFIX}{name} is {annotations[_PREFIX + name]!r}, not {wanted}"


def _wrong(uri: str, what: str) -> AwsError:
    return AwsError("ValidationException", f"local_aws cannot run the image {uri}: {what}")
