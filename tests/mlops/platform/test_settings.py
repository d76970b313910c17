"""What a settings file may say, and that both sizes are of use with the templates as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops.errors import InputError, SettingsError
from mlops.platform.settings import (
    SIZES,
    Settings,
    check_settings,
    keeping_settings,
    read_settings,
    size_file,
    with_parameters,
)
from mlops.platform.stacks import KINDS, MANAGED, MLFLOW, NETWORK, PROJECT
from mlops.platform.status import PARAMETER_NAMES
from mlops.platform.template_rules import broken_rules
from mlops.platform.templates import (
    is_from_parameter_store,
    parse_template,
    problem_of_value,
    read_template,
)


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def problems(stacks: dict[str, Any], tmp_path: Path) -> tuple[str, ...]:
    settings = read_settings(write(tmp_path, {"stacks": stacks}))
    templates = {key: KINDS[key].template() for key in settings.stacks}
    with pytest.raises(SettingsError) as refused:
        check_settings(settings, templates, {})
    return refused.value.problems


@pytest.mark.parametrize("size", SIZES)
def test_each_size_fits_each_template(size: str, render: Callable[..., Any]) -> None:
    settings = read_settings(size_file(size))
    if size == "laptop":  # the command finds out where MLflow is
        settings = with_parameters(settings, ["laptop.TrackingUri=http://127.0.0.1:5000"])
    check_settings(settings, {key: KINDS[key].template() for key in settings.stacks}, {})
    for key, parameters in settings.stacks.items():
        assert render(KINDS[key].template_name, **parameters).resources


def test_sizes_differ_in_what_a_team_pays_for(render: Callable[..., Any]) -> None:
    database = {}
    gateways = {}
    for size in ("single-user", "team"):
        stacks = read_settings(size_file(size)).stacks
        (instance,) = (
            render("mlflow.yml", **stacks["mlflow"]).of_type("AWS::RDS::DBInstance").values()
        )
        database[size] = str(instance["MultiAZ"]).lower()
        gateways[size] = len(
            render("network.yml", **stacks["network"]).of_type("AWS::EC2::NatGateway")
        )
    assert database == {"single-user": "false", "team": "true"}
    assert gateways == {"single-user": 1, "team": 2}


def test_stacks_come_in_their_order_whatever_the_file_s(tmp_path: Path) -> None:
    path = write(tmp_path, {"stacks": {"mlflow": {}, "network": {}, "images": {}}})
    assert list(read_settings(path).stacks) == ["network", "images", "mlflow"]


def test_values_become_what_cloudformation_takes(tmp_path: Path) -> None:
    given = {"Flag": True, "Count": 2, "Names": ["a", "b"], "Text": "x"}
    settings = read_settings(write(tmp_path, {"stacks": {"network": given}}))
    assert settings.stacks["network"] == {
        "Flag": "true",
        "Count": "2",
        "Names": "a,b",
        "Text": "x",
    }


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    said = problems(
        {
            "network": {"Cidr": "10.0.0.0/8", "Nats": 2, "LogRetentionDays": 5},
            "images": {"KeptImages": 1, "KeyArn": "key"},
            "laptop": {},
        },
        tmp_path,
    )
    assert [problem.split(":")[0] for problem in said] == [
        "network.Nats",
        "network.Cidr",
        "network.LogRetentionDays",
        "images.KeptImages",
        "images.KeyArn",
        "laptop.TrackingUri",
    ]
    assert "network.yml has no such parameter; it has Cidr, " in said[0]
    assert "'10.0.0.0/8' does not match ^" in said[1]
    assert "'5' is none of 7, 14, 30" in said[2]
    assert "'1' is less than 12" in said[3]
    assert "has no value" in said[5]


def test_rules_of_the_templates_are_asked_before_aws_is(tmp_path: Path) -> None:
    said = problems(
        {"network": {"Nat": "none"}, "mlflow": {"MinTasks": 2, "MaxTasks": 1}}, tmp_path
    )
    assert [problem.split(":")[0] for problem in said] == ["network", "mlflow"]
    assert "InterfaceEndpoints=true" in said[0]
    assert "MaxTasks must not be less than MinTasks" in said[1]


def test_what_only_aws_can_tell_breaks_no_rule() -> None:
    template = parse_template(
        """
        Parameters:
          VpcId: {Type: "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>", Default: /vpc}
          Zone: {Type: String, Default: a}
        Rules:
          Stored:
            Assertions: [{Assert: !Equals [!Ref VpcId, ""], AssertDescription: of the store}]
          Asked:
            Assertions: [{Assert: !Contains [!RefAll "AWS::EC2::VPC::Id", a], AssertDescription: x}]
          Known:
            Assertions:
            - Assert: !Or [!Contains [[b, c], !Ref Zone], !Equals [!Ref Zone, d]]
              AssertDescription: b to d
        Resources: {}
        """
    )
    assert broken_rules(template, {"VpcId": "/vpc", "Zone": "a"}) == ["b to d"]
    assert broken_rules(template, {"VpcId": "/vpc", "Zone": "c"}) == []


def test_both_kinds_of_mlflow_are_one_too_many(tmp_path: Path) -> None:
    (problem,) = problems({"mlflow": {}, "mlflow-managed": {}}, tmp_path)
    assert "'mlflow' and 'mlflow-managed' publish the same parameters; keep one" in problem


def test_a_value_that_must_not_be_seen_is_not_repeated() -> None:
    template = parse_template(
        "{Parameters: {Password: {Type: String, NoEcho: true, MinLength: 12}}, Resources: {}}"
    )
    settings = Settings(source="mine", stacks={"network": {"Password": "hunter2"}})
    with pytest.raises(SettingsError) as refused:
        check_settings(settings, {"network": template}, {})
    assert str(refused.value) == (
        "mine can not be used:\n  - network.Password: the value is shorter than 12 characters"
    )


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        ({"Type": "Number", "MaxValue": 3}, "4", "is more than 3"),
        ({"Type": "Number"}, "many", "is no number"),
        ({"Type": "String", "MaxLength": 2}, "abc", "is longer than 2 characters"),
        ({"Type": "String", "AllowedPattern": "[a-z]*"}, "a1", "does not match [a-z]*"),
        ({"Type": "String", "AllowedValues": [True, 7]}, "true", None),
    ],
)
def test_constraints_are_cloudformation_s(
    declared: dict[str, Any], value: str, problem: str | None
) -> None:
    assert problem_of_value(declared, value) == problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON"),
        ([], "is not an object"),
        ({"stacks": {}}, "stacks: names none; those there are: images, laptop, mlflow"),
        ({"stacks": {"mlfow": {}}}, "stacks: 'mlfow' is none of images, laptop, mlflow"),
        ({"stacks": {"project": {}}}, "stacks: 'project' is put up by `mlops project deploy`"),
        ({"stacks": {"network": []}}, "network: is not an object of parameters"),
        ({"stacks": {"network": {"Cidr": None}}}, "network.Cidr: is neither text"),
        ({"stacks": {"network": {}}, "tags": []}, "tags: is not an object"),
        ({"stacks": {"network": {}}, "region": 1}, "region: is neither a name nor null"),
        ({"stacks": {"network": {}}, "Stack": 1}, "'Stack' is none of region, stacks, tags"),
    ],
)
def test_what_is_no_settings_file_says_why(tmp_path: Path, content: Any, problem: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(SettingsError) as refused:
        read_settings(path)
    assert str(refused.value).startswith(f"{path} can not be used:\n  - {problem}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        read_settings(tmp_path / "none.json")


def test_the_command_line_comes_before_the_file(tmp_path: Path) -> None:
    settings = read_settings(write(tmp_path, {"stacks": {"network": {"Cidr": "10.1.0.0/20"}}}))
    assert with_parameters(settings, ["network.Cidr=10.2.0.0/20", "network.ZoneA="]).stacks == {
        "network": {"Cidr": "10.2.0.0/20", "ZoneA": ""}
    }


def test_parameters_of_the_command_line_are_all_checked() -> None:
    with pytest.raises(SettingsError) as refused:
        with_parameters(keeping_settings(["network"]), ["Cidr=1", "mlflow.Scheme=internal", "x"])
    assert refused.value.problems == (
        "--parameter Cidr=1: is not STACK.Name=value",
        "--parameter mlflow.Scheme=internal: 'mlflow' is none of network",
        "--parameter x: is not STACK.Name=value",
    )


def test_a_value_that_a_stack_keeps_is_not_missing() -> None:
    settings = keeping_settings(["project"])
    kept = {"SageMakerProjectName": "housing", "SageMakerProjectId": "p-housing"}
    check_settings(settings, {"project": PROJECT.template()}, {"project": kept})


def test_a_template_that_can_not_be_read_is_named() -> None:
    with pytest.raises(
        InputError, match=r"can not read the template .*nowhere\.yml: .*No such file"
    ):
        read_template("nowhere.yml")


def test_status_asks_for_every_parameter_that_a_template_makes(render: Callable[..., Any]) -> None:
    made = {
        properties["Name"]
        for kind in (NETWORK, MLFLOW, MANAGED)
        for properties in render(kind.template_name).of_type("AWS::SSM::Parameter").values()
    }
    read = {
        declared["Default"]
        for kind in KINDS.values()
        for declared in kind.template().parameters.values()
        if is_from_parameter_store(declared)
    }
    # A project's build reads it when it runs.
    at_run_time = {"/sagemaker-mlflow/images/inference"}
    assert made | read | at_run_time == set(PARAMETER_NAMES)
