"""The emulator knows nothing of this project: neither its source, nor its tests, nor its papers.

The names are read from the project's files, so a new one counts at once. A name that is a word of
everybody's (`Bucket`, `accuracy`) or of AWS's (`StageName`) says nothing and is left out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from model_build import parameters
from model_build.training_step import metrics

ROOT = Path(__file__).parents[2]
EMULATOR = ROOT / "local_aws"
READ = (".py", ".json", ".md", ".toml", ".in", ".yml", ".yaml", ".sh", "")
# What stands in no file in a form that is read below. Another one? Write it here.
MORE = (
    *("modelbuild", "modelBuild", "modeldeploy", "modelDeploy", "infra/", "docs/decisions"),
    *("serving.app", "mlflow-pyfunc", "sagemaker-project-"),
)
# What is not the project's alone, though its templates say it.
EVERYBODYS = frozenset({"BucketPolicy", "CodeCommit", "MLFLOW_TRACKING_URI"})
# Services whose names a template, and the emulator, may use as AWS means them.
SERVICES = (
    *("sagemaker", "codebuild", "codecommit", "codepipeline", "codeconnections", "events"),
    *("cloudformation", "scheduler", "cloudwatch", "logs", "iam", "s3", "kms", "ssm", "sns", "ecr"),
    *("sqs", "ec2", "application-autoscaling", "secretsmanager", "ecs", "rds", "elbv2"),
)


class _Loader(yaml.SafeLoader):
    """Reads a template; what its functions are given is of no interest."""


_Loader.add_multi_constructor("!", lambda *_: None)


def templates() -> Iterator[Path]:
    for pattern in ("infra/*/*.yml", "model_deploy/*-template.yml"):
        yield from ROOT.glob(pattern)


@functools.cache
def words_of_aws() -> frozenset[str]:
    """Names of shapes and of members in botocore's models."""
    loader = botocore.session.get_session().get_component("data_loader")
    found: set[str] = set()
    for service in SERVICES:
        for name, shape in loader.load_service_model(service, "service-2")["shapes"].items():
            found |= {name, *shape.get("members", ())}
    return frozenset(word.lower() for word in found)


def names_of_templates() -> Iterator[str]:
    """Parameters, resources and outputs of more than one word; SSM prefixes, variables, files."""
    for path in templates():
        text = path.read_text()
        template: dict[str, Any] = yaml.load(text, _Loader)
        for part in ("Parameters", "Resources", "Conditions", "Outputs"):
            for name in template.get(part) or ():
                if _is_own(name):
                    yield name
        for parameter in (template.get("Parameters") or {}).values():
            found = re.match(r"(/[a-z]+(-[a-z]+)+)/", str(parameter.get("Default", "")))
            if found:
                yield found[1]
        yield from re.findall(r"\bName: ([A-Z]+(?:_[A-Z]+)+)\b", text)
        if "-" in path.stem:
            yield path.name


@functools.cache
def names_of_the_project() -> frozenset[str]:
    declared = [*parameters._COMMON, *parameters.list_parameters()]
    setup = (ROOT / "setup.py").read_text()
    scripts = re.findall(r'"([a-z-]+) = ', setup)
    packages = re.findall(r'"(\w+)"', setup.partition("PACKAGES = (")[2].partition(")")[0])
    texts = (p.default for p in declared if isinstance(p.default, str))
    found = frozenset(
        [
            *MORE,
            *names_of_templates(),
            *(p.name for p in declared if _is_own(p.name)),
            *(text for text in texts if re.fullmatch(r"\w+([-:]\w+)+", text)),
            *(name for name in metrics.ALL if "_" in name),
            *scripts,
            *(name for name in packages if name not in ("serving", "infra")),
            *(f"requirements/{path.name}" for path in ROOT.glob("requirements/*.*")),
        ]
    )
    return found - EVERYBODYS


def _is_own(name: str) -> bool:
    return len(re.findall("[A-Z]", name)) > 1 and name.lower() not in words_of_aws()


def find_names(text: str, names: frozenset[str]) -> set[str]:
    """Those of the names that stand in the text, not as part of another word."""
    ends = (re.escape(name) + r"\b" * name[-1].isalnum() for name in sorted(names, reverse=True))
    return set(re.findall(rf"(?<![A-Za-z0-9])(?:{'|'.join(ends)})", text))


def _files() -> Iterator[Path]:
    for path in EMULATOR.rglob("*"):
        parts = path.relative_to(EMULATOR).parts
        ours = not {"__pycache__", "build"} & set(parts) and ".egg-info" not in str(path)
        if ours and path.is_file() and path.suffix in READ:
            yield path


def test_the_emulator_names_nothing_of_the_project() -> None:
    names = names_of_the_project()
    found = {
        str(path.relative_to(ROOT)): said
        for path in _files()
        if (said := find_names(path.read_text(), names))
    }
    assert found == {}


def test_the_emulator_imports_nothing_of_the_project_and_is_read_whole() -> None:
    files = {str(path.relative_to(EMULATOR)) for path in _files()}
    assert {"README.md", "src/local_aws/cli.py", "tests/conftest.py"} <= files


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("if parameter == 'NEstimators':", "NEstimators"),
        ("parameters.MLflowTrackingURI", "MLflowTrackingURI"),
        ('metrics["median_absolute_error"]', "median_absolute_error"),
        ("/sagemaker-mlflow/tracking-uri", "/sagemaker-mlflow"),
        ("os.environ['SAGEMAKER_PROJECT_NAME']", "SAGEMAKER_PROJECT_NAME"),
        ("from model_build.config import x", "model_build"),
        ("`mlops push` does it", "mlops"),
        ("infra/project/project.yml", "infra/"),
        ("the model sklearn-random-forest", "sklearn-random-forest"),
        ("ModelBuildRepository: x", "ModelBuildRepository"),
        ("requirements/dev.txt", "requirements/dev.txt"),
    ],
)
def test_a_name_of_the_project_is_seen(text: str, name: str) -> None:
    assert name in find_names(text, names_of_the_project())


@pytest.mark.parametrize(
    "text", ["StageName", "Bucket", "accuracy", "EndpointConfigName", "serving", "requirements.txt"]
)
def test_a_word_of_everybodys_is_not(text: str) -> None:
    assert find_names(text, names_of_the_project()) == set()
