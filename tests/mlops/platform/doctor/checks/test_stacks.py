from __future__ import annotations

import pytest

from mlops.platform.doctor.checks.stacks import check, judge_status, judge_tags
from mlops.platform.doctor.patient import read_project

_TEMPLATE = {
    "Parameters": {
        name: {"Type": "String"}
        for name in ("SageMakerProjectName", "SageMakerProjectId", "Branch")
    },
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
}
_PARAMETERS = {
    "SageMakerProjectName": "housing",
    "SageMakerProjectId": "p-housing",
    "Branch": "main",
}
_TAGS = {"sagemaker:project-name": "housing", "sagemaker:project-id": "p-housing"}


@pytest.mark.parametrize(
    ("status", "verdict", "remedy"),
    [
        ("CREATE_COMPLETE", None, ""),
        ("UPDATE_COMPLETE", None, ""),
        ("UPDATE_IN_PROGRESS", "warning", "wait"),
        ("UPDATE_ROLLBACK_COMPLETE", "warning", "describe-stack-events"),
        ("ROLLBACK_COMPLETE", "failed", "aws cloudformation delete-stack"),
        ("UPDATE_ROLLBACK_FAILED", "failed", "aws cloudformation continue-update-rollback"),
    ],
)
def test_a_stack_that_did_not_reach_its_end_is_told(stack, status, verdict, remedy):
    findings = judge_status(stack(status=status))
    assert [finding.status for finding in findings] == ([verdict] if verdict else [])
    for finding in findings:
        assert status in finding.message
        assert remedy in finding.remedy


def test_a_platform_s_stack_goes_by_teardown_which_takes_its_protection_off(stack):
    [finding] = judge_status(stack(name="sagemaker-mlflow-server", status="ROLLBACK_FAILED"))
    assert "`mlops platform teardown --stack mlflow`; deploy it again" in finding.remedy


def test_a_wrong_tag_is_told_with_its_value(stack):
    tags = {**_TAGS, "sagemaker:project-name": "other"}
    [finding] = judge_tags(read_project(stack(tags=tags)))
    assert "has the tag sagemaker:project-name=other, not housing" in finding.message


def test_a_project_is_known_by_its_parameters_whoever_made_its_stack(patient, deploy):
    deploy("SP-123-made-by-studio", _TEMPLATE, _PARAMETERS)
    deploy("something-else", {"Resources": _TEMPLATE["Resources"]})
    messages = [finding.message for finding in check(patient())]
    assert messages == [
        "the stack SP-123-made-by-studio lacks the tag sagemaker:project-name=housing",
        "the stack SP-123-made-by-studio lacks the tag sagemaker:project-id=p-housing",
    ]


def test_the_stacks_of_endpoints_carry_the_projects_name_too(patient, deploy):
    deploy("sagemaker-project-housing", _TEMPLATE, _PARAMETERS, _TAGS)
    deploy("sagemaker-housing-p-housing-deploy-prod", {"Resources": _TEMPLATE["Resources"]})
    [finding] = check(patient(project="housing"))
    assert finding.status == "failed"
    assert "sagemaker-housing-p-housing-deploy-prod lacks the tag" in finding.message
    assert "start-pipeline-execution" in finding.remedy


def test_a_project_that_is_not_there_fails_if_it_was_asked_for(patient, deploy):
    deploy("sagemaker-project-housing", _TEMPLATE, _PARAMETERS, _TAGS)
    assert [finding.status for finding in check(patient(project="housing"))] == ["ok"]
    [finding] = check(patient(project="prices"))
    assert (finding.status, finding.message) == ("failed", "no stack of project prices")


def test_an_empty_account_has_nothing_to_look_at(patient):
    [finding] = check(patient())
    assert finding.status == "skipped"
