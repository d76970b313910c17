"""What an image's annotations say, and what of them is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from local_aws.containers.image import Image, read_annotations
from local_aws.errors import AwsError

COMMAND = {"local-aws.command": '["python3", "-m", "server", "{port}"]'}


def read(annotations: object) -> Image:
    return read_annotations("host/name:1", json.dumps({"annotations": annotations}))


def test_all_but_the_command_has_a_default() -> None:
    assert read({**COMMAND, "org.opencontainers.image.title": "mine"}) == Image(
        name="host/name:1",
        python=Path(sys.executable),
        command=("python3", "-m", "server", "{port}"),
        variables={},
        requirements=None,
    )


@pytest.mark.parametrize("place", ["requirements.txt", "/opt/ml/model/requirements.txt"])
def test_everything_can_be_said(place: str) -> None:
    image = read(
        {
            **COMMAND,
            "local-aws.python": "/bin/sh",
            "local-aws.environment": '{"COLOR": "red"}',
            "local-aws.requirements": place,
        }
    )
    assert image.python == Path("/bin/sh")
    assert image.variables == {"COLOR": "red"}
    assert image.requirements == PurePosixPath("/opt/ml/model/requirements.txt")


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        (None, "its manifest has no annotation local-aws.command (local_aws/README.md)"),
        ({"a": "b"}, "its manifest has no annotation local-aws.command (local_aws/README.md)"),
        (
            {"local-aws.command": "python3 serve.py"},
            "its annotation local-aws.command is 'python3 serve.py', not a JSON list "
            "(Expecting value: line 1 column 1 (char 0))",
        ),
        (
            {"local-aws.command": ["serve"]},
            "its annotation local-aws.command is ['serve'], not a JSON list "
            "(the JSON object must be str, bytes or bytearray, not list)",
        ),
        ({"local-aws.command": "{}"}, "its annotation local-aws.command is '{}', not a JSON list"),
        (
            {"local-aws.command": "[]"},
            "its annotation local-aws.command is '[]', not a JSON list of texts, the program first",
        ),
        (
            {"local-aws.command": "[1]"},
            "its annotation local-aws.command is '[1]', not a JSON list of texts, the program "
            "first",
        ),
        (
            {**COMMAND, "local-aws.environment": "[]"},
            "its annotation local-aws.environment is '[]', not a JSON object",
        ),
        (
            {**COMMAND, "local-aws.environment": '{"A": 1}'},
            "its annotation local-aws.environment is '{\"A\": 1}', not a JSON object of texts",
        ),
        (
            {**COMMAND, "local-aws.python": "python3"},
            "its annotation local-aws.python is 'python3', not the absolute path of a program here",
        ),
        (
            {**COMMAND, "local-aws.python": "/no/such/python"},
            "its annotation local-aws.python is '/no/such/python', not the absolute path of a "
            "program here",
        ),
        (
            {**COMMAND, "local-aws.requirements": "../requirements.txt"},
            "its annotation local-aws.requirements is '../requirements.txt', not a file below "
            "/opt/ml/model",
        ),
        (
            {**COMMAND, "local-aws.requirements": "/etc/passwd"},
            "its annotation local-aws.requirements is '/etc/passwd', not a file below "
            "/opt/ml/model",
        ),
        (
            {**COMMAND, "local-aws.enviroment": "{}"},
            "its annotation local-aws.enviroment is unknown; there are command, python, "
            "environment, requirements",
        ),
    ],
)
def test_a_wrong_annotation_is_refused_by_name(annotations: Any, reason: str) -> None:
    with pytest.raises(AwsError) as refused:
        read(annotations)
    assert refused.value.code == "ValidationException"
    assert str(refused.value) == f"local_aws cannot run the image host/name:1: {reason}"
