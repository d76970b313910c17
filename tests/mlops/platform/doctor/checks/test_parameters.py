from __future__ import annotations

import pytest

from mlops.platform.doctor.checks.parameters import check, judge

_VALUES = {
    "network/vpc-id": "vpc-0a",
    "network/private-subnet-ids": "subnet-0a,subnet-0b",
    "network/public-subnet-ids": "none",
    "images/server": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/server@sha256:0a",
    "images/inference": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/inference:1",
    "tracking-uri": "https://mlflow.example.com",
    "reader-policy-arn": "arn:aws:iam::123456789012:policy/reader",
    "writer-policy-arn": "arn:aws:iam::123456789012:policy/writer",
    "key-arn": "arn:aws:kms:eu-west-1:123456789012:key/0a",
    "client-security-group-id": "sg-0a",
    "credentials-secret": "none",
}


def test_all_there_is_one_line():
    [finding] = judge(_VALUES, {})
    assert (finding.status, finding.remedy) == ("ok", "")
    assert "all 11 parameters" in finding.message


@pytest.mark.parametrize(
    ("name", "publisher", "remedy"),
    [
        ("network/vpc-id", "sagemaker-mlflow-network", "mlops platform deploy --stack network"),
        ("images/inference", "sagemaker-mlflow-images", "mlops platform deploy --stack images"),
        (
            "tracking-uri",
            "sagemaker-mlflow-server or sagemaker-mlflow-managed",
            "mlops platform deploy --stack mlflow or mlops platform deploy --stack mlflow-managed",
        ),
    ],
)
def test_a_missing_one_names_the_stack_that_publishes_it(name, publisher, remedy):
    [finding] = judge({key: value for key, value in _VALUES.items() if key != name}, {})
    assert finding.status == "failed"
    assert finding.message == (
        f"/sagemaker-mlflow/{name} is missing; the stack {publisher} publishes it"
    )
    assert finding.remedy.replace("`", "").startswith(remedy)


def test_what_somebody_deleted_beside_its_stack_is_put_by_hand(stack):
    values = {key: value for key, value in _VALUES.items() if key != "tracking-uri"}
    server = stack(outputs={"TrackingUri": "https://mlflow.example.com"})
    [finding] = judge(values, {"sagemaker-mlflow-server": server})
    assert finding.remedy == (
        """aws ssm put-parameter --cli-input-json '{"Name": "/sagemaker-mlflow/tracking-uri", """
        """"Type": "String", "Overwrite": true, "Value": "https://mlflow.example.com"}'"""
    )


@pytest.mark.parametrize("output", ["mlflow.yml", "mlflow-managed.yml", "network.yml"])
def test_the_outputs_that_remedies_read_are_those_of_the_templates(output, render, stack):
    rendered = render(output, **({"BasicAuth": "true"} if output == "mlflow.yml" else {}))
    kind = {"mlflow.yml": "server", "mlflow-managed.yml": "managed", "network.yml": "network"}
    deployed = stack(outputs={key: str(value) for key, value in rendered.outputs.items()})
    published = {
        properties["Name"].removeprefix("/sagemaker-mlflow/"): properties
        for properties in rendered.of_type("AWS::SSM::Parameter").values()
    }
    missing = judge({}, {f"sagemaker-mlflow-{kind[output]}": deployed})
    by_name = {finding.message.split()[0]: finding.remedy for finding in missing}
    for name, properties in published.items():
        remedy = by_name.get(f"/sagemaker-mlflow/{name}", "")
        if name == "artifact-bucket":  # nothing reads it
            continue
        if name.endswith("-policy-arn"):
            assert "describe-stack-resources" in remedy
        else:
            assert f'"Type": "{properties["Type"]}"' in remedy, name
            assert "..." not in remedy, name


def test_a_value_of_another_form_is_shown():
    [finding] = judge(_VALUES | {"tracking-uri": "mlflow.example.com"}, {})
    assert finding.status == "failed"
    assert "/sagemaker-mlflow/tracking-uri holds 'mlflow.example.com'" in finding.message


def test_nothing_at_all_may_be_another_region(patient):
    [finding] = check(patient())
    assert finding.message == "nothing under /sagemaker-mlflow/ in eu-west-1"
    assert "AWS_REGION" in finding.remedy


def test_an_mlflow_that_somebody_else_runs_needs_no_image_of_its_server(patient, put_parameters):
    put_parameters(
        {
            name: value
            for name, value in _VALUES.items()
            if name not in ("images/server", "network/public-subnet-ids")
        }
    )
    assert [finding.status for finding in check(patient())] == ["ok"]


def test_an_mlflow_that_is_still_to_be_deployed_needs_it(patient, put_parameters):
    put_parameters({name: _VALUES[name] for name in ("network/vpc-id", "images/inference")})
    assert any("images/server is missing" in finding.message for finding in check(patient()))
