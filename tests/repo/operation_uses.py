"""Who uses each operation that local_aws answers itself, read from the sources.

python tests/repo/operation_uses.py      writes the column "used by" of local_aws/CONFORMANCE.md
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from botocore import xform_name

from local_aws.own_aws import OwnAws
from local_aws.services import all_services

PROJECT_DIR = Path(__file__).parents[2]
TABLE = PROJECT_DIR / "local_aws" / "CONFORMANCE.md"
TEMPLATES = (
    "infra/project/project.yml",
    "infra/platform",
    "model_deploy/endpoint-config-template.yml",
)
# What the SageMaker SDK calls for a method that the product calls.
SDK_METHODS = {"CreatePipeline": "upsert(", "UpdatePipeline": "upsert("}
# Parts of local_aws that call AWS for what a pipeline, a rule or a schedule of the product says.
ENGINES = (
    "codepipeline/actions",
    "events/targets.py",
    "sagemaker/pipelines/step_jobs.py",
    "sagemaker/pipelines/service.py",
)
# Connections have two names; what uses the one uses the other.
OLD_NAME, NEW_NAME = "codestar-connections", "codeconnections"
RESOURCE_TYPES = "local_aws/src/local_aws/cloudformation/resource_types"


def answered() -> list[tuple[str, str]]:
    """(service, operation) of all that local_aws answers itself."""
    with tempfile.TemporaryDirectory() as folder:
        services = all_services(OwnAws(Path(folder)))
        found = {key for each in services for key in each.operations()}
        for each in reversed(services):
            each.close()
    return sorted(found)


# The emulator's own table knows no folder of the project.
PARTS = {"model_build": "training", "model_deploy": "deployment", "mlops": "commands"}


def users(service: str, operation: str) -> list[str]:
    """Those who use it: parts of the project by folder, its templates, what they start, ..."""
    service = NEW_NAME if service == OLD_NAME else service
    command = re.compile(rf"aws {service} {xform_name(operation, '-')}\b")
    words = [
        word
        for part, word in PARTS.items()
        if any(
            _calls(text, service, operation) or command.search(text)  # of a remedy
            for text in _texts(part, ".py")
        )
    ]
    method = SDK_METHODS.get(operation)
    if method and service == "sagemaker" and any(method in t for t in _texts("model_build", ".py")):
        words.append(PARTS["model_build"])
    if _by_templates(service, operation):
        words.append("templates")
    if any(
        f".{xform_name(operation)}(" in text and _knows(text, service)
        for place in ENGINES
        for text in _texts(f"local_aws/src/local_aws/{place}", ".py")
    ):
        words.append("pipelines and rules")
    if any(f"{service}:{operation}" in text for text in _texts("infra", ".yml")):
        words.append("roles")
    if any(command.search(t) for place in ("docs", "README.md", "infra") for t in _prose(place)):
        words.append("documents")
    if any(
        command.search(text) or _calls(text, service, operation)
        for text in _texts("local_aws/README.md", ".md")
    ):
        words.append("quick start")
    if any(_calls(text, service, operation) for text in _texts("tests", ".py")):
        words.append("tests")
    return words


def _by_templates(service: str, operation: str) -> bool:
    kinds = {kind for place in TEMPLATES for t in _texts(place, ".yml") for kind in _types(t)}
    services = {kind.split("::")[1].lower() for kind in kinds}
    if service not in services:
        return False
    if operation in ("TagResource", "UntagResource"):
        return True
    return any(
        f'"{operation}"' in text and any(f'"{kind}"' in text for kind in kinds)
        for text in _texts(RESOURCE_TYPES, ".py")
    )


def _types(template: str) -> Iterator[str]:
    yield from re.findall(r"Type: (AWS::\w+::\w+)\b(?!::)", template)


def _calls(text: str, service: str, operation: str) -> bool:
    name = xform_name(operation)
    if re.search(rf"\.{name}\(|\"{name}\"", text) is None:
        return False
    return operation not in _names_of_several() or _knows(text, service)


@cache
def _names_of_several() -> set[str]:
    """Operations that two services have, such as CreatePipeline."""
    names = [operation for service, operation in answered() if service != OLD_NAME]
    return {name for name in names if names.count(name) > 1}


def _knows(text: str, service: str) -> bool:
    """Whether the text has a client of the service; several services have operations of a name."""
    return re.search(rf"[\"']{service}[\"']|\b{service.replace('-', '_')}\b", text) is not None


def _prose(place: str) -> Iterable[str]:
    return [*_texts(place, ".md"), *_texts(place, ".yml")]


@cache
def _texts(place: str, ending: str) -> list[str]:
    path = PROJECT_DIR / place
    files = [path] if path.is_file() else sorted(path.rglob(f"*{ending}"))
    return [
        file.read_text()
        for file in files
        if file.suffix == ending and file.name != Path(__file__).name and ".venv" not in file.parts
    ]


def with_users(table: str) -> str:
    """The table with its second column as the sources say it."""
    lines, service = [], ""
    for line in table.splitlines():
        if line.startswith("#"):
            service = "".join(re.findall(r"^### `([\w-]+)`", line))
        row = re.fullmatch(r"\| ([A-Z]\w+) \|[^|]*\|", line)
        if row and service:
            line = f"| {row[1]} | {', '.join(users(service, row[1]))} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(with_users(TABLE.read_text()))
