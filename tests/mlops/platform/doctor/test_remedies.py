"""The commands that remedies name exist, with these flags."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from mlops.cli import build_parser

_SOURCES = sorted((Path(__file__).parents[4] / "mlops/platform/doctor").rglob("*.py"))
# The last one is the CLI's own name for the endpoint of `sns subscribe`.
_GLOBAL_FLAGS = {"--query", "--output", "--notification-endpoint"}
# `aws cloudformation deploy` and `aws s3` are the CLI's own.
_COMPOSED = {("cloudformation", "deploy"), ("s3", "cp"), ("s3", "mb"), ("logs", "tail")}
_SERVICE_OF_COMMAND = {"s3api": "s3"}


def _texts() -> Iterator[str]:
    """Every text in the doctor's code, with X for what it fills in."""
    for source in _SOURCES:
        tree = ast.parse(source.read_text())
        within = {
            id(value)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for value in node.values
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    value.value if isinstance(value, ast.Constant) else "X" for value in node.values
                )
            elif isinstance(getattr(node, "value", None), str) and id(node) not in within:
                yield node.value


_AWS = sorted({found for text in _texts() for found in re.findall(r"\baws [a-z][^;`)]+", text)})
_OWN = sorted({found for text in _texts() for found in re.findall(r"mlops [^;`),]+", text)})


def test_there_are_commands_to_look_at():
    assert len(_AWS) > 15, _AWS
    assert len(_OWN) > 5, _OWN


@pytest.mark.parametrize("command", _AWS)
def test_commands_of_the_aws_cli_exist_with_their_flags(command):
    _, service, operation, *_ = [*command.split(), ""]
    if (service, operation) in _COMPOSED or service in ("sso", "configure"):
        return
    model = botocore.session.get_session().get_service_model(
        _SERVICE_OF_COMMAND.get(service, service)
    )
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names, command
    of_operation = model.operation_model(names[operation])
    members = {f"--{xform_name(name, '-')}": name for name in of_operation.input_shape.members}
    flags = set(re.findall(r"--[a-z][a-z-]*", command))
    switches = {f"--no-{flag[2:]}" for flag in members}
    assert flags <= set(members) | switches | _GLOBAL_FLAGS, command
    if flags:  # a command that is begun in one text and goes on in another has none
        required = {
            f"--{xform_name(name, '-')}" for name in of_operation.input_shape.required_members
        }
        given = {f"--{xform_name(name, '-')}" for name in of_operation.idempotent_members}
        assert required - given <= flags, command


@pytest.mark.parametrize("command", _OWN)
def test_commands_of_ours_exist_with_their_flags(command, capsys):
    group, name, *_ = command.split()[1:]
    if name == "X":
        return
    with pytest.raises(SystemExit):
        build_parser().parse_args([group, name, "--help"])
    assert set(re.findall(r"--[a-z][a-z-]*", command)) <= set(
        re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)
    )
