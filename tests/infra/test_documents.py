"""The documents on AWS say what the templates say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_DOCS = Path(__file__).parents[2] / "docs"
_ROLES = (_DOCS / "roles.md").read_text()
_AWS = (_DOCS / "aws.md").read_text()
_SERVER = (_DOCS / "mlflow-server.md").read_text()
_PLATFORM = (_DOCS.parent / "infra" / "README.md").read_text()
_SECTIONS = {
    "network.yml": "## The network",
    "images.yml": "## Images",
    "mlflow.yml": "## The server",
    "mlflow-managed.yml": "## Managed MLflow",
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _actions(documents: list[Any]) -> set[str]:
    return {
        action
        for document in documents
        for statement in document["Statement"]
        for action in _listed(statement["Action"])
    }


def _documented(subject: str) -> set[str]:
    """Actions that docs/roles.md gives to the role or policy.

    They are in its section; in the section of two roles, in the table of both or in that of "<role>
    alone:"; or in a row that begins with its name.
    """
    found: set[str] = set()
    for section in re.split(r"^## ", _ROLES, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for part in re.split(r"^(?=\w+ alone:)", body, flags=re.MULTILINE):
            alone = re.match(r"(\w+) alone:", part)
            owners = [alone[1]] if alone else heading.partition(":")[0].split(" and ")
            for line in part.splitlines():
                row = re.match(r"\| (\w+(?:Role|Policy)) \|", line)
                if subject in ([row[1]] if row else owners):
                    found |= set(re.findall(r"`([a-z0-9-]+:[A-Z]\w+)`", line))
    return found


def test_each_right_of_each_role_is_explained(project: Any, connected: Any) -> None:
    for name, properties in project.of_type("AWS::IAM::Role").items():
        documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
        others = connected.resources.get(name, {"Policies": []})["Policies"]
        documents += [policy["PolicyDocument"] for policy in others]
        assert _documented(name) == _actions(documents), name
    for name, properties in project.of_type("AWS::IAM::ManagedPolicy").items():
        assert _documented(name) == _actions([properties["PolicyDocument"]]), name


def test_each_parameter_and_output_is_explained(project: Any) -> None:
    for name in (*project.template.parameters, *project.template.outputs):
        assert f"`{name}`" in _AWS, name


@pytest.mark.parametrize("parameter", re.findall(r"put-parameter --name (\S+)", _AWS))
def test_parameters_are_put_where_the_project_reads_them(project: Any, parameter: str) -> None:
    defaults = {declared.get("Default") for declared in project.template.parameters.values()}
    assert parameter in defaults


def test_the_server_s_document_names_what_its_template_has(render: Callable[..., Any]) -> None:
    template = render("mlflow.yml").template
    overridden = set(re.findall(r"--parameter mlflow\.(\w+)=", _SERVER))
    assert len(overridden) > 5
    assert overridden <= set(template.parameters)
    assert set(re.findall(r"OutputKey=='(\w+)'", _SERVER)) <= set(template.outputs)
    fixed = {"sagemaker-mlflow", "mlflow", "/sagemaker-mlflow/server", "sagemaker-mlflow-1"}
    stack = render("mlflow.yml").resources
    assert fixed == {
        stack["Cluster"]["ClusterName"],
        stack["Service"]["ServiceName"],
        stack["ServerLogs"]["LogGroupName"],
        stack["Database"]["DBInstanceIdentifier"],
    }
    for alarm in render("mlflow.yml").of_type("AWS::CloudWatch::Alarm").values():
        name = alarm["AlarmName"].removeprefix("sagemaker-mlflow-database")
        assert f"{name}`" in _SERVER, name


@pytest.mark.parametrize("name", _SECTIONS)
def test_each_parameter_of_the_platform_is_explained_with_its_default(
    render: Callable[..., Any], name: str
) -> None:
    section = _PLATFORM.partition(f"\n{_SECTIONS[name]}")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]*) \|", section, re.MULTILINE))
    documented = {
        parameter: default
        for names, defaults in rows.items()
        for parameter, default in zip(
            re.findall(r"\w+", names), _defaults(names, defaults), strict=True
        )
    }
    declared = render(name).template.parameters
    assert set(documented) == set(declared)
    for parameter, default in documented.items():
        said = str(declared[parameter]["Default"])
        if said.startswith("/sagemaker-mlflow/"):
            assert default.endswith(("'s", "s'")), parameter  # of another stack, by its name
        elif parameter not in ("ZoneA", "ZoneB"):
            assert default.strip("`") == (said or "none"), parameter


def _defaults(names: str, defaults: str) -> list[str]:
    """One for each name: they are in one cell, one for all or one each."""
    count = names.count("`") // 2
    each = defaults.split(", ")
    return each if len(each) == count else [defaults] * count


def test_what_joins_the_stacks_is_listed(render: Callable[..., Any]) -> None:
    section = _PLATFORM.partition("\n## Parameters that join")[2].partition("\n## ")[0]
    listed = set()
    for cell in re.findall(r"^\| (`/sagemaker-mlflow/.*?) \|", section, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", cell)
        folder = first.rpartition("/")[0]
        shared = (
            "/sagemaker-mlflow" if folder.endswith("mlflow") or "/" in "".join(others) else folder
        )
        listed |= {first, *(f"{shared}/{other}" for other in others)}
    published = {
        properties["Name"]
        for name in _SECTIONS
        for properties in render(name).of_type("AWS::SSM::Parameter").values()
    }
    assert listed == published | {
        "/sagemaker-mlflow/images/server",
        "/sagemaker-mlflow/images/inference",
    }
