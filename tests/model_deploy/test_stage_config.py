from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import model_deploy
from model_deploy.atomic_write import write_all_or_none
from model_deploy.endpoint_test_plan import Thresholds
from model_deploy.errors import ConfigError
from model_deploy.stage_config import (
    ExportedConfig,
    StageConfig,
    TemplateParameter,
    find_problems,
    read_template_parameters,
)

_TEMPLATE = Path(model_deploy.__file__).with_name("endpoint-config-template.yml")
_DEFAULTS = {
    "ModelExecutionRoleArn": "arn:aws:iam::123456789012:role/model",
    "ContainerImageURI": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.17.2",
    "EndpointInstanceType": "ml.m5.large",
    "EndpointInstanceCount": "1",
}
_BUILT = {
    "SageMakerProjectName": "shop",
    "ModelDataLocation": "s3://b/model-archives/housing/abc/model.tar.gz",
}
_TAGS = {"mlflow:model-name": "housing", "mlflow:model-version": "3"}


def _stage(**values: Any) -> StageConfig:
    return StageConfig(
        source="staging-config.json",
        stage="staging",
        parameters=values.get("parameters", {}),
        tags=values.get("tags", {}),
    )


def _problems(**parameters: str) -> list[str]:
    config = _stage(parameters=parameters).extended(_DEFAULTS, _BUILT, _TAGS)
    return find_problems(config, read_template_parameters(_TEMPLATE), "the template")


def test_a_stages_file_wins_over_defaults() -> None:
    stage = _stage(parameters={"EndpointInstanceType": "ml.c6i.large"})
    parameters = stage.extended(_DEFAULTS, _BUILT, _TAGS).parameters
    assert parameters["EndpointInstanceType"] == "ml.c6i.large"
    assert parameters["EndpointInstanceCount"] == "1"
    assert parameters["StageName"] == "staging"


def test_empty_values_leave_the_flags_value_or_the_templates_default() -> None:
    stage = _stage(parameters={"DataCaptureUri": "", "EndpointInstanceType": ""})
    flags = {**_DEFAULTS, "EndpointInstanceType": "ml.c6i.large"}
    parameters = stage.extended(flags, _BUILT, _TAGS).parameters
    assert "DataCaptureUri" not in parameters
    assert parameters["EndpointInstanceType"] == "ml.c6i.large"


def test_what_the_build_decides_can_not_be_overridden() -> None:
    stage = _stage(
        parameters={
            "ModelDataLocation": "s3://mine/model.tar.gz",
            "SageMakerProjectName": "mine",
            "StageName": "prod",
        },
        tags={"mlflow:model-version": "1", "team": "houses"},
    )
    with pytest.raises(ConfigError) as caught:
        stage.extended(_DEFAULTS, _BUILT, _TAGS)
    assert str(caught.value) == (
        "staging-config.json can not be used:\n"
        "  - SageMakerProjectName is decided by the build; remove it\n"
        "  - ModelDataLocation is decided by the build; remove it\n"
        "  - StageName is 'prod', but this is the file of 'staging'\n"
        "  - tag 'mlflow:model-version' is decided by the build; remove it"
    )
    assert caught.value.exit_code == 2


def test_numbers_and_lists_become_strings(tmp_path: Path) -> None:
    file = tmp_path / "staging-config.json"
    file.write_text('{"Parameters": {"EndpointInstanceCount": 2, "SubnetIds": ["a", "b"]}}')
    stage = StageConfig.from_json(file, "staging")
    assert stage.parameters == {"EndpointInstanceCount": "2", "SubnetIds": "a,b"}
    assert stage.tags == {}


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("[]", ['it holds no object with "Parameters" and "Tags"']),
        (
            '{"Parameters": {"A": null, "B": true}, "Tags": [], "Tag": {}}',
            [
                'unknown key \'Tag\'; it may hold "Parameters", "Tags" and "Test"',
                "Parameters.A is null; a string, number or list of strings fits",
                "Parameters.B is true; a string, number or list of strings fits",
                "Tags is not an object",
            ],
        ),
    ],
)
def test_malformed_files_are_refused_whole(
    tmp_path: Path, content: str, problems: list[str]
) -> None:
    file = tmp_path / "staging-config.json"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        StageConfig.from_json(file, "staging")
    assert list(caught.value.problems) == problems
    assert caught.value.source == str(file)


def _with_test(folder: Path, test: Any) -> StageConfig:
    file = folder / "staging-config.json"
    file.write_text(json.dumps({"Test": test}))
    return StageConfig.from_json(file, "staging")


def test_a_stage_is_judged_by_its_alarm_s_latency_unless_its_file_says(tmp_path: Path) -> None:
    default = _with_test(tmp_path, {"MaxP95LatencyInMs": ""}).thresholds(800)
    assert default == Thresholds(max_p95_ms=800, requests=90, concurrent=4)
    said = {"Requests": 200, "ConcurrentRequests": 8, "MaxP95LatencyInMs": 250}
    stage = _with_test(tmp_path, said)
    assert stage.thresholds(800) == Thresholds(max_p95_ms=250, requests=200, concurrent=8)
    few = _with_test(tmp_path, {"Requests": 2})
    assert few.thresholds(1000) == Thresholds(max_p95_ms=1000, requests=2, concurrent=2)


def test_how_a_stage_is_judged_is_never_told_to_cloudformation(tmp_path: Path) -> None:
    stage = _with_test(tmp_path, {"Requests": 90})
    document = json.loads(stage.extended(_DEFAULTS, _BUILT, _TAGS).to_json())
    assert sorted(document) == ["Parameters", "Tags"]


@pytest.mark.parametrize(
    ("test", "problems"),
    [
        ([], ["Test is not an object"]),
        (
            {"Requests": 0, "ConcurrentRequests": 1.5, "MaxP95LatencyInMs": True, "P95": 3},
            [
                "Test has no 'P95'; it may hold Requests, ConcurrentRequests, MaxP95LatencyInMs",
                "Test.Requests is 0; give a whole number from 1 to 10000",
                "Test.ConcurrentRequests is 1.5; give a whole number from 1 to 200",
                "Test.MaxP95LatencyInMs is true; give a whole number from 1 to 60000",
            ],
        ),
        (
            {"Requests": "90", "MaxP95LatencyInMs": 60_001},
            [
                'Test.Requests is "90"; give a whole number from 1 to 10000',
                "Test.MaxP95LatencyInMs is 60001; give a whole number from 1 to 60000",
            ],
        ),
        (
            {"Requests": 3, "ConcurrentRequests": 4},
            ["Test.ConcurrentRequests is 4, more than Requests, 3"],
        ),
    ],
)
def test_a_test_that_can_not_be_made_is_refused(
    tmp_path: Path, test: Any, problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        _with_test(tmp_path, test)
    assert list(caught.value.problems) == problems


@pytest.mark.parametrize(("requests", "told"), [(89, True), (90, False), (None, False)])
def test_too_few_requests_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, requests: int | None, told: bool
) -> None:
    _with_test(tmp_path, {} if requests is None else {"Requests": requests})
    assert bool(caplog.messages) == told
    if told:
        assert "fewer than 90 miss a failure rate of 5 %" in caplog.text


@pytest.mark.parametrize("stage", ["staging", "prod"])
def test_the_files_of_this_repository_name_each_setting_of_the_test(stage: str) -> None:
    file = Path(model_deploy.__file__).with_name(f"{stage}-config.json")
    assert list(json.loads(file.read_text())["Test"]) == [
        "Requests",
        "ConcurrentRequests",
        "MaxP95LatencyInMs",
    ]
    assert StageConfig.from_json(file, stage).thresholds(1000) == Thresholds()


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.json can not be used:\n  - it can not be read: N"
    ):
        StageConfig.from_json(tmp_path / "none.json", "staging")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match=r"bad\.json can not be used:\n  - it is not JSON: "):
        StageConfig.from_json(tmp_path / "bad.json", "staging")


def test_template_declares_exactly_the_agreed_parameters() -> None:
    declared = read_template_parameters(_TEMPLATE)
    assert sorted(declared) == sorted(
        [
            "SageMakerProjectName",
            "StageName",
            "ModelExecutionRoleArn",
            "ModelDataLocation",
            "ContainerImageURI",
            "EndpointInstanceType",
            "EndpointInstanceCount",
            "EndpointMaxInstanceCount",
            "InvocationsPerInstance",
            "ServerlessMemoryInMB",
            "ServerlessMaxConcurrency",
            "ServerlessProvisionedConcurrency",
            "DataCaptureUri",
            "DataCapturePercentage",
            "DeploymentType",
            "DeploymentStepPercentage",
            "DeploymentWaitInSeconds",
            "LatencyThresholdInMs",
            "AlarmTopicArn",
            "SubnetIds",
            "SecurityGroupIds",
            "KmsKeyArn",
        ]
    )
    assert sorted(name for name, parameter in declared.items() if parameter.required) == [
        "ContainerImageURI",
        "ModelDataLocation",
        "ModelExecutionRoleArn",
        "SageMakerProjectName",
        "StageName",
    ]


def test_defaults_fit_the_template() -> None:
    assert _problems() == []
    assert _problems(SubnetIds="subnet-1,subnet-2", SecurityGroupIds="sg-1") == []
    assert _problems(ServerlessMemoryInMB="2048", ServerlessProvisionedConcurrency="5") == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("EndpointInstanceCount", "0", "EndpointInstanceCount is '0'; the least is 1"),
        ("EndpointInstanceCount", "two", "EndpointInstanceCount is 'two', which is not a number"),
        ("DataCapturePercentage", "101", "DataCapturePercentage is '101'; the most is 100"),
        (
            "ServerlessMemoryInMB",
            "512",
            "ServerlessMemoryInMB is '512'; allowed are 0, 1024, 2048, 3072, 4096, 5120, 6144",
        ),
        (
            "DataCaptureUri",
            "http://x",
            "DataCaptureUri is 'http://x', which does not match (s3://.+)?",
        ),
        (
            "SubnetIds",
            "subnet-0a",
            "SubnetIds and SecurityGroupIds go together; give both or neither",
        ),
    ],
)
def test_what_cloudformation_would_refuse_is_found(name: str, value: str, problem: str) -> None:
    assert _problems(**{name: value}) == [problem]


def test_unknown_and_missing_parameters_are_found_together() -> None:
    declared = read_template_parameters(_TEMPLATE)
    config = ExportedConfig(source="x", parameters={"StageName": "prod", "Typo": "1"}, tags={})
    problems = find_problems(config, declared, "endpoint-config-template.yml")
    assert problems[0].startswith("endpoint-config-template.yml has no parameter 'Typo'; it has A")
    assert problems[1:] == [
        "SageMakerProjectName is missing",
        "ModelExecutionRoleArn is missing",
        "ModelDataLocation is missing",
        "ContainerImageURI is missing",
    ]


def test_lengths_are_checked() -> None:
    parameter = TemplateParameter(name="P", min_length=2, max_length=3)
    assert parameter.problem("a") == "P is 'a'; it needs at least 2 characters"
    assert parameter.problem("abcd") == "P is 'abcd'; it may have at most 3 characters"
    assert parameter.problem("abc") == ""


def test_endpoint_names_and_tags_keep_to_the_limits_of_aws() -> None:
    config = ExportedConfig(
        source="x",
        parameters={"SageMakerProjectName": "a_b", "StageName": "prod"},
        tags={"aws:x": "1", "odd": "a,b", "long": "v" * 257, "none": "", "fine": "a b/c=d+e-f@g"},
    )
    problems = find_problems(
        config, {name: TemplateParameter(name=name) for name in config.parameters}, "t"
    )
    assert problems == [
        "the endpoint's name would be 'a_b-prod'; SageMaker allows letters, digits and hyphens, "
        "at most 63",
        "tag 'aws:x': AWS keeps names that begin with aws: to itself",
        f"tag long = '{'v' * 257}' has 257 characters; 256 are allowed",
        "tag 'none' is empty; CloudFormation needs a value",
        "tag odd = 'a,b' has characters other than letters, digits, spaces and _ . : / = + - @",
    ]


def test_what_just_keeps_to_the_limits_is_let_through() -> None:
    project = "a" * (63 - len("-prod"))
    tags = {f"t{number}": "1" for number in range(48)}
    tags |= {"k" * 128: "v" * 256, "upper AWS: within": "1"}
    parameters = {"SageMakerProjectName": project, "StageName": "prod"}
    declared = {name: TemplateParameter(name=name) for name in parameters}
    config = ExportedConfig(source="x", parameters=parameters, tags=tags)
    assert find_problems(config, declared, "t") == []
    beyond = ExportedConfig(
        source="x",
        parameters={**parameters, "SageMakerProjectName": f"{project}a"},
        tags={**tags, "K" * 129: "1", "Aws:x": "1"},
    )
    assert find_problems(beyond, declared, "t") == [
        f"the endpoint's name would be '{project}a-prod'; SageMaker allows letters, digits and "
        "hyphens, at most 63",
        "52 tags; CloudFormation takes 50",
        "tag 'Aws:x': AWS keeps names that begin with aws: to itself",
        f"tag name '{'K' * 129}' has 129 characters; 128 are allowed",
    ]


def test_numbers_and_lengths_at_their_bounds_are_let_through() -> None:
    number = TemplateParameter(name="P", is_number=True, min_value=2, max_value=3.5)
    for value, problem in {
        "2": "",
        "3.5": "",
        "1.5": "P is '1.5'; the least is 2",
        "3.6": "P is '3.6'; the most is 3.5",
        "-2": "P is '-2'; the least is 2",
        "2.": "P is '2.', which is not a number",
        "two": "P is 'two', which is not a number",
    }.items():
        assert number.problem(value) == problem
    text = TemplateParameter(name="P", min_length=2, max_length=3)
    assert [text.problem("ab"), text.problem("abc")] == ["", ""]
    either = TemplateParameter(name="P", allowed=("a", "b"))
    assert [either.problem("a"), either.problem("c")] == ["", "P is 'c'; allowed are a, b"]


def test_each_item_of_a_list_must_match_and_a_text_matches_whole() -> None:
    listed = TemplateParameter(name="P", is_list=True, pattern="[a-z]+")
    assert listed.problem("a,bc") == ""
    assert listed.problem("a,B") == "P is 'a,B', which does not match [a-z]+"
    text = TemplateParameter(name="P", pattern="[a-z]+")
    assert text.problem("a,bc") == "P is 'a,bc', which does not match [a-z]+"


def test_a_templates_declarations_are_read_whole(tmp_path: Path) -> None:
    template = tmp_path / "t.yml"
    template.write_text(
        """
Parameters:
  Plain: {}
  Count: {Type: Number, Default: 2, MinValue: 1, MaxValue: 9}
  Ids: {Type: "List<AWS::EC2::Subnet::Id>", Default: ""}
  Names: {Type: CommaDelimitedList, AllowedPattern: "[a-z]*"}
  Kind: {Type: String, AllowedValues: [a, 1], MinLength: 1, MaxLength: 3}
Resources:
  R: {Type: !Sub "${Plain}"}
"""
    )
    assert read_template_parameters(template) == {
        "Plain": TemplateParameter(name="Plain", required=True),
        "Count": TemplateParameter(
            name="Count", is_number=True, default="2", min_value=1, max_value=9
        ),
        "Ids": TemplateParameter(name="Ids", is_list=True),
        "Names": TemplateParameter(name="Names", is_list=True, required=True, pattern="[a-z]*"),
        "Kind": TemplateParameter(
            name="Kind", required=True, allowed=("a", "1"), min_length=1, max_length=3
        ),
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "it can not be read: No such file or directory"),
        ("Resources: {}\n", "it declares no Parameters"),
        ("a: [", "it is not YAML: "),
    ],
)
def test_unusable_templates_are_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    template = tmp_path / "t.yml"
    if content is not None:
        template.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_template_parameters(template)
    assert caught.value.problems[0].startswith(problem)


def test_written_file_is_sorted_and_read_back_equal(tmp_path: Path) -> None:
    config = _stage(tags={"team": "é"}).extended(_DEFAULTS, _BUILT, _TAGS)
    path = tmp_path / "new" / "export.json"
    write_all_or_none({path: config.to_json()})
    text = path.read_text(encoding="utf-8")
    assert '"team": "é"' in text
    assert text.endswith("\n")
    document = json.loads(text)
    assert list(document) == ["Parameters", "Tags"]
    assert list(document["Parameters"]) == sorted(document["Parameters"])
    again = ExportedConfig.from_json(path)
    assert (again.parameters, again.tags) == (config.parameters, config.tags)
