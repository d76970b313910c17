from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import model_deploy
from model_deploy.stage_config import ExportedConfig, StageConfig, find_problems
from model_deploy.stage_config import read_template_parameters as read_parameters

_TEMPLATE = Path(model_deploy.__file__).with_name("endpoint-config-template.yml")
_GUIDE = (_TEMPLATE.parents[1] / "docs" / "deployment.md").read_text()
# What the build decides, or the environment it runs in.
_NOT_OF_A_STAGE = {
    "ContainerImageURI",
    "ModelDataLocation",
    "ModelExecutionRoleArn",
    "SageMakerProjectName",
}
_OF_FLAGS = {"EndpointInstanceCount", "EndpointInstanceType"}
_REQUIRED = {
    "ContainerImageURI": "image",
    "ModelDataLocation": "s3://bucket/model.tar.gz",
    "ModelExecutionRoleArn": "arn:aws:iam::111122223333:role/model",
    "SageMakerProjectName": "housing",
}


def test_cfn_lint_reports_nothing() -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    ended = subprocess.run(
        [str(linter), str(_TEMPLATE)], capture_output=True, text=True, check=False
    )
    assert ended.stdout == ""
    assert ended.returncode == 0


def test_template_fits_into_a_request() -> None:
    assert _TEMPLATE.stat().st_size < 51_200


@pytest.mark.parametrize("stage", ["staging", "prod"])
def test_a_stages_file_names_every_setting_with_its_default(stage: str) -> None:
    declared = read_parameters(_TEMPLATE)
    file = _TEMPLATE.with_name(f"{stage}-config.json")
    parameters = dict(StageConfig.from_json(file, stage).parameters)
    assert list(parameters) == [name for name in declared if name not in _NOT_OF_A_STAGE]
    assert parameters.pop("StageName") == stage
    for name, value in parameters.items():
        assert value == ("" if name in _OF_FLAGS else declared[name].default), name


def test_the_guides_example_can_be_deployed() -> None:
    (example,) = (
        json.loads(block)
        for block in re.findall(r"^```json\n(.*?)^```", _GUIDE, re.MULTILINE | re.DOTALL)
        if '"DeploymentType"' in block
    )
    parameters = {name: str(value) for name, value in example["Parameters"].items()}
    config = ExportedConfig(source="prod", parameters={**_REQUIRED, **parameters}, tags={})
    assert find_problems(config, read_parameters(_TEMPLATE), "t") == []


def test_each_parameter_is_described_and_constrained() -> None:
    text = _TEMPLATE.read_text().partition("\nRules:\n")[0]
    for name, parameter in read_parameters(_TEMPLATE).items():
        block = re.search(rf"^  {name}:\n(?:    .*\n)+", text, re.MULTILINE)
        assert block is not None
        assert "    Description: " in block[0], name
        constraints = ("AllowedPattern", "AllowedValues", "MinValue", "MinLength")
        assert parameter.is_list or any(f"    {c}: " in block[0] for c in constraints), name
