"""The schemas say what the strict readers say: what a schema refuses, its reader refuses too.

A schema can't say everything. What only the reader knows is listed here with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mlops.errors import MlopsError
from mlops.platform.settings import check_settings, read_settings
from mlops.platform.stacks import KINDS
from model_deploy.deploy_request import DeployRequest
from model_deploy.errors import ConfigError
from model_deploy.stage_config import StageConfig, find_problems, read_template_parameters
from tests.repo.schemas import PROJECT_DIR, schemas

SCHEMAS = schemas()
EDITED = {
    "model_deploy/deploy.json": "model_deploy/deploy.schema.json",
    "model_deploy/staging-config.json": "model_deploy/stage-config.schema.json",
    "model_deploy/prod-config.json": "model_deploy/stage-config.schema.json",
    "infra/platform/settings/laptop.json": "infra/platform/settings.schema.json",
    "infra/platform/settings/single-user.json": "infra/platform/settings.schema.json",
    "infra/platform/settings/team.json": "infra/platform/settings.schema.json",
}
_DECLARED = read_template_parameters(PROJECT_DIR / "model_deploy/endpoint-config-template.yml")


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_is_what_the_reader_goes_by(path: Path) -> None:
    text = json.dumps(SCHEMAS[path], indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text
    Draft202012Validator.check_schema(SCHEMAS[path])


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_every_setting_is_described(path: Path) -> None:
    def undescribed(schema: Any, name: str) -> list[str]:
        missing = [] if "description" in schema or name == "tags" else [name]
        return missing + [
            each
            for key, value in schema.get("properties", {}).items()
            for each in undescribed(value, key)
        ]

    assert undescribed(SCHEMAS[path], path.name) == []


@pytest.mark.parametrize(("path", "schema"), EDITED.items())
def test_a_file_names_its_schema_and_keeps_to_it(path: str, schema: str) -> None:
    document = json.loads((PROJECT_DIR / path).read_text())
    named = (PROJECT_DIR / path).parent / document["$schema"]
    assert named.resolve() == PROJECT_DIR / schema
    assert _accepts(PROJECT_DIR / schema, document)


@dataclass(frozen=True)
class Kind:
    """A schema, and the reader of its files: None, or what the reader says is wrong."""

    schema: str
    read: Callable[[Path], None]


def _read_deploy(path: Path) -> None:
    DeployRequest.from_json(path)


def _read_stage(path: Path) -> None:
    stage = StageConfig.from_json(path, "staging")
    defaults = {
        "ModelExecutionRoleArn": "arn:aws:iam::123456789012:role/m",
        "ContainerImageURI": "i",
    }
    built = {"SageMakerProjectName": "shop", "ModelDataLocation": "s3://b/model.tar.gz"}
    exported = stage.extended(defaults, built, {"mlflow:model-name": "housing"})
    problems = find_problems(exported, _DECLARED, "the template")
    if problems:
        raise ConfigError(str(path), problems)


def _read_settings(path: Path) -> None:
    read = read_settings(path)
    # What has no default may be kept from the stack.
    kept = {
        key: {
            name: ""
            for name, said in KINDS[key].template().parameters.items()
            if "Default" not in said
        }
        for key in read.stacks
    }
    check_settings(read, {key: KINDS[key].template() for key in read.stacks}, kept)


DEPLOY = Kind(
    "model_deploy/deploy.schema.json", lambda path: DeployRequest.from_json(path) and None
)
STAGE = Kind("model_deploy/stage-config.schema.json", _read_stage)
SETTINGS = Kind("infra/platform/settings.schema.json", _read_settings)


def _accepts(schema: Path, document: Any) -> bool:
    return Draft202012Validator(SCHEMAS[schema]).is_valid(document)


def _reader_s_problem(kind: Kind, folder: Path, document: Any) -> str | None:
    path = folder / "file.json"
    path.write_text(json.dumps(document))
    try:
        kind.read(path)
    except (ConfigError, MlopsError) as err:
        return str(err)
    return None


def _named(**more: Any) -> dict[str, Any]:
    return {"model_name": "prices", "model_version": "3", **more}


ACCEPTED = [
    (DEPLOY, _named()),
    (DEPLOY, _named(**{"$schema": "./deploy.schema.json"})),
    *((DEPLOY, _named(model_version=each)) for each in (1, 999_999_999, "17", "latest", "@a.b-1")),
    *((DEPLOY, _named(model_name=each)) for each in ("house prices", "Größe", "it's", "x" * 256)),
    (DEPLOY, _named(trusted_types={"a.b.C": "read in 1a2b3c"}, code_on_load="forbid")),
    (DEPLOY, _named(accept={"no_offline_comparison": "it answers by chance"})),
    (STAGE, {}),
    (STAGE, {"$schema": "./stage-config.schema.json", "Test": {"Requests": 100}}),
    (STAGE, {"Parameters": {"EndpointInstanceCount": 2, "DataCaptureUri": ""}, "Tags": {}}),
    (STAGE, {"Parameters": {"EndpointInstanceCount": "2", "KmsKeyArn": "arn:aws:kms:x"}}),
    (STAGE, {"Parameters": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}),
    (STAGE, {"Parameters": {"SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1"}}),
    (STAGE, {"Parameters": {"ServerlessMemoryInMB": 2048, "StageName": "staging"}}),
    (STAGE, {"Parameters": {"ServerlessMemoryInMB": "2048", "EndpointInstanceType": ""}}),
    (STAGE, {"Tags": {"team": "houses", "cost": 4711}, "Test": {"MaxP95LatencyInMs": ""}}),
    (SETTINGS, {"stacks": {"network": {}}, "region": None, "tags": {"a": "b"}}),
    (
        SETTINGS,
        {"$schema": "x", "stacks": {"network": {"Nat": "per-zone", "LogRetentionDays": 90}}},
    ),
    (SETTINGS, {"stacks": {"mlflow": {"BasicAuth": True, "MaxTasks": "2"}, "images": {}}}),
    (SETTINGS, {"stacks": {"mlflow": {"BasicAuth": "false"}}}),
]


@pytest.mark.parametrize(("kind", "document"), ACCEPTED)
def test_what_both_accept(tmp_path: Path, kind: Kind, document: Any) -> None:
    assert _reader_s_problem(kind, tmp_path, document) is None
    assert _accepts(PROJECT_DIR / kind.schema, document)


# From the readers' own tests.
REFUSED = [
    *((DEPLOY, each) for each in ([], "x", {}, {"model_name": "a"}, {"model_version": "1"})),
    *(
        (DEPLOY, _named(model_version=each))
        for each in (
            "0",
            "03",
            "-1",
            "3.0",
            "champion",
            "Latest",
            "@",
            "@a b",
            "9" * 20,
            "latest\n",
        )
    ),
    *((DEPLOY, _named(model_version=each)) for each in (0, -1, 10**9, 1.5, True, None, ["1"])),
    *(
        (DEPLOY, _named(model_name=each))
        for each in (
            "",
            " ",
            "a ",
            " a",
            "a/b",
            "a:b",
            ".",
            "..a",
            "x" * 257,
            "a\tb",
            "a\u202eb",
            3,
        )
    ),
    (DEPLOY, _named(stage="prod")),
    (DEPLOY, _named(code_on_load="allow")),
    (DEPLOY, _named(trusted_types=["a.B"])),
    (DEPLOY, _named(trusted_types={"nothing": "no module"})),
    (DEPLOY, _named(trusted_types={"os.system(1)": "no name"})),
    (DEPLOY, _named(trusted_types={"a.C": 1})),
    (DEPLOY, _named(accept=None)),
    (DEPLOY, _named(accept={"no_latency": "slow"})),
    *(
        (DEPLOY, _named(accept={"no_offline_comparison": each}))
        for each in ("", " ", "reason", "Placeholder", "<reason>", "tbd.", "...", "n/a", "ToDo!")
    ),
    (STAGE, []),
    (STAGE, {"Tag": {}}),
    (STAGE, {"Tags": []}),
    (STAGE, {"Parameters": {"KmsKeyArn": None}}),
    (STAGE, {"Parameters": {"EndpointInstanceCount": True}}),
    (STAGE, {"Parameters": {"EndpointInstanceCount": 0}}),
    (STAGE, {"Parameters": {"EndpointInstanceCount": "two"}}),
    (STAGE, {"Parameters": {"DataCapturePercentage": 101}}),
    (STAGE, {"Parameters": {"ServerlessMemoryInMB": 512}}),
    (STAGE, {"Parameters": {"DataCaptureUri": "http://x"}}),
    (STAGE, {"Parameters": {"Typo": 1}}),
    (STAGE, {"Parameters": {"ModelDataLocation": "s3://mine/model.tar.gz"}}),
    (STAGE, {"Parameters": {"StageName": "test"}}),
    (STAGE, {"Tags": {"odd": "a,b"}}),
    (STAGE, {"Tags": {"long": "v" * 257}}),
    (STAGE, {"Tags": {"aws:x": "1"}}),
    (STAGE, {"Tags": {"none": ""}}),
    (STAGE, {"Test": []}),
    *((STAGE, {"Test": {"Requests": each}}) for each in (0, 1.5, True, "90", 10_001, None)),
    (STAGE, {"Test": {"P95": 3}}),
    (SETTINGS, []),
    (SETTINGS, {"stacks": {}}),
    (SETTINGS, {"stacks": {"mlfow": {}}}),
    (SETTINGS, {"stacks": {"project": {}}}),
    (SETTINGS, {"stacks": {"network": []}}),
    (SETTINGS, {"stacks": {"network": {"Cidr": None}}}),
    (SETTINGS, {"stacks": {"network": {"Cidr": "10.0.0.0/8"}}}),
    (SETTINGS, {"stacks": {"network": {"Nats": 2}}}),
    (SETTINGS, {"stacks": {"network": {"LogRetentionDays": 5}}}),
    (SETTINGS, {"stacks": {"images": {"KeptImages": 1}}}),
    (SETTINGS, {"stacks": {"mlflow": {}, "mlflow-managed": {}}}),
    (SETTINGS, {"stacks": {"network": {}}, "tags": []}),
    (SETTINGS, {"stacks": {"network": {}}, "region": 1}),
    (SETTINGS, {"stacks": {"network": {}}, "Stack": 1}),
]


@pytest.mark.parametrize(("kind", "document"), REFUSED)
def test_what_both_refuse(tmp_path: Path, kind: Kind, document: Any) -> None:
    assert _reader_s_problem(kind, tmp_path, document) is not None
    assert not _accepts(PROJECT_DIR / kind.schema, document)


# What no schema says: arithmetic, one value against another, another file's contents.
ONLY_THE_READER = [
    # To JSON Schema 3.0 is a whole number.
    (DEPLOY, _named(model_version=3.0)),
    # As AWS's tags write it, it is too long.
    (DEPLOY, _named(model_name="ü'" * 100)),
    (STAGE, {"Parameters": {"StageName": "prod"}}),
    (STAGE, {"Parameters": {"SubnetIds": ["subnet-1"]}}),
    (STAGE, {"Parameters": {"DataCapturePercentage": "101"}}),
    (STAGE, {"Parameters": {"KmsKeyArn": 5}}),
    (STAGE, {"Tags": {"mlflow:model-name": "mine"}}),
    (STAGE, {"Test": {"Requests": 3, "ConcurrentRequests": 4}}),
    (SETTINGS, {"stacks": {"network": {"Nat": "none"}}}),
    (SETTINGS, {"stacks": {"mlflow": {"MinTasks": 2, "MaxTasks": 1}}}),
]


@pytest.mark.parametrize(("kind", "document"), ONLY_THE_READER)
def test_what_only_the_reader_refuses(tmp_path: Path, kind: Kind, document: Any) -> None:
    assert _reader_s_problem(kind, tmp_path, document) is not None
    assert _accepts(PROJECT_DIR / kind.schema, document)


_TEXTS = st.text("ab.@-_ :/ü\n1", max_size=6) | st.sampled_from(["latest", "ToDo", "tbd.", "3"])
_VALUES = st.none() | st.booleans() | st.integers(-2, 5) | st.floats(-2, 3) | _TEXTS


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    document=st.fixed_dictionaries(
        {},
        optional={
            "model_name": _VALUES,
            "model_version": _VALUES,
            "trusted_types": st.dictionaries(_TEXTS, _VALUES, max_size=2),
            "accept": st.dictionaries(st.just("no_offline_comparison"), _VALUES),
            "code_on_load": st.sampled_from(["tell", "forbid", "x", None]),
        },
    )
)
def test_a_deployment_is_judged_alike(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    """But for 1.0, which JSON Schema takes for 1."""
    problem = _reader_s_problem(DEPLOY, tmp_path_factory.getbasetemp(), document)
    accepted = _accepts(PROJECT_DIR / DEPLOY.schema, document)
    version = document.get("model_version")
    if not (isinstance(version, float) and version.is_integer()):
        assert accepted == (problem is None), problem


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(_DECLARED)),
    value=_VALUES | st.lists(_TEXTS, max_size=2),
    test=st.dictionaries(st.sampled_from(["Requests", "MaxP95LatencyInMs"]), _VALUES),
)
def test_a_stage_s_schema_refuses_nothing_that_the_reader_takes(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: Any, test: dict[str, Any]
) -> None:
    document = {"Parameters": {name: value}, "Test": test}
    # The reader makes a text of any list, of ["2"] a number; a schema need not.
    listed = isinstance(value, list) and not _DECLARED[name].is_list
    if not listed and _reader_s_problem(STAGE, tmp_path_factory.getbasetemp(), document) is None:
        assert _accepts(PROJECT_DIR / STAGE.schema, document)
