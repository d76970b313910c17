from __future__ import annotations

import json
from fnmatch import fnmatchcase
from urllib.parse import quote

import pytest
from botocore.stub import ANY, Stubber

from mlops.platform.doctor.checks.roles import (
    SERVICES,
    EssentialAction,
    Place,
    check,
    find_essential_actions,
    judge_simulation,
    judge_trust,
)

_PROJECT_PARAMETERS = {
    "SageMakerProjectName": "housing",
    "SageMakerProjectId": "p-housing",
    "Branch": "main",
}
_DEED = EssentialAction(role="JobRole", action="s3:PutObject", resource="arn:aws:s3:::b/housing/x")


def _trust(service):
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        ],
    }


def _listed(value):
    return [value] if isinstance(value, str) else value


def _as_sent(role):
    """boto3 decodes the document that IAM sends."""
    return {**role, "AssumeRolePolicyDocument": quote(json.dumps(role["AssumeRolePolicyDocument"]))}


def _template(*roles, service="sagemaker.amazonaws.com"):
    return {
        "Parameters": {name: {"Type": "String"} for name in _PROJECT_PARAMETERS},
        "Resources": {
            role: {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": _trust(service)},
            }
            for role in roles
        },
    }


def test_roles_and_services_are_those_of_the_template(project):
    roles = project.of_type("AWS::IAM::Role")
    assert set(SERVICES) == set(roles)
    for role, properties in roles.items():
        assert judge_trust(role, properties["AssumeRolePolicyDocument"], "redeploy") == []


def test_the_template_allows_each_essential_action(project):
    roles = {role: f"arn:aws:iam::123456789012:role/sagemaker-projects/{role}" for role in SERVICES}
    place = Place(
        partition="aws",
        region="eu-west-1",
        account="123456789012",
        project="housing",
        bucket=project.outputs["ArtifactBucketName"],
        roles=roles,
        repository="sagemaker-mlflow/inference",
    )
    actions = find_essential_actions(place)
    assert len(actions) == 8
    for action in actions:
        granted = [
            pattern
            for policy in project.resources[action.role]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            if action.action in _listed(statement["Action"])
            for pattern in _listed(statement["Resource"])
        ]
        assert any(fnmatchcase(action.resource, pattern) for pattern in granted), (action, granted)


def test_a_secret_is_read_by_whoever_logs_in():
    place = Place(
        partition="aws",
        region="eu-west-1",
        account="123456789012",
        project="housing",
        bucket="b",
        roles={"JobRole": "arn:job", "ModelRole": "arn:model"},
        secret="arn:aws:secretsmanager:eu-west-1:123456789012:secret:client",
    )
    actions = [(action.role, action.action) for action in find_essential_actions(place)]
    assert ("JobRole", "secretsmanager:GetSecretValue") in actions
    assert ("ModelRole", "secretsmanager:GetSecretValue") not in actions
    assert not [role for role, _ in actions if role not in place.roles]


def test_a_role_of_another_service_cannot_be_taken_on():
    [finding] = judge_trust("JobRole", _trust("lambda.amazonaws.com"), "redeploy")
    assert finding.message == (
        "JobRole does not trust sagemaker.amazonaws.com, which cannot take it on"
    )


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ({}, "redeploy"),
        (
            {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False}},
            "Boundary",
        ),
        ({"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}, "organization"),
    ],
)
def test_what_forbids_it_names_who_can_allow_it(more, remedy):
    [finding] = judge_simulation(_DEED, {"EvalDecision": "implicitDeny", **more}, "redeploy")
    assert finding.status == "failed"
    assert "JobRole may not s3:PutObject on arn:aws:s3:::b/housing/x (implicit" in finding.message
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("decision", "statuses"), [("allowed", ["ok", "ok"]), ("implicitDeny", ["ok", "failed"])]
)
def test_the_simulator_is_asked_for_each_deed(patient, account, deploy, decision, statuses):
    deploy("sagemaker-project-housing", _template("JobRole", "PipelineRole"), _PROJECT_PARAMETERS)
    roles = account.client("iam").list_roles()["Roles"]
    with Stubber(account.client("iam")) as iam:
        for role in sorted(roles, key=lambda role: "Pipeline" in role["RoleName"]):
            iam.add_response("get_role", {"Role": _as_sent(role)}, {"RoleName": ANY})
        iam.add_response(
            "simulate_principal_policy",
            {"EvaluationResults": [{"EvalActionName": "iam:PassRole", "EvalDecision": decision}]},
            {
                "PolicySourceArn": ANY,
                "ActionNames": ["iam:PassRole"],
                "ResourceArns": ANY,
                "ContextEntries": [
                    {
                        "ContextKeyName": "iam:PassedToService",
                        "ContextKeyValues": ["sagemaker.amazonaws.com"],
                        "ContextKeyType": "string",
                    }
                ],
            },
        )
        iam.add_response(
            "simulate_principal_policy",
            {"EvaluationResults": [{"EvalActionName": "s3:PutObject", "EvalDecision": "allowed"}]},
        )
        findings = list(check(patient()))
        iam.assert_no_pending_responses()
    assert [finding.status for finding in findings] == statuses


def test_who_may_not_simulate_still_hears_of_the_trust(patient, account, deploy):
    deploy("sagemaker-project-housing", _template("JobRole"), _PROJECT_PARAMETERS)
    [role] = account.client("iam").list_roles()["Roles"]
    with Stubber(account.client("iam")) as iam:
        iam.add_response("get_role", {"Role": _as_sent(role)})
        iam.add_client_error("simulate_principal_policy", "AccessDenied", "not authorized")
        there, refused = check(patient())
    assert there.status == "ok"
    assert refused.status == "warning"
    assert "not allowed to call SimulatePrincipalPolicy" in refused.message


def test_a_role_that_somebody_deleted_is_gone(patient, account, deploy):
    deploy("sagemaker-project-housing", _template("JobRole"), _PROJECT_PARAMETERS)
    [role] = account.client("iam").list_roles()["Roles"]
    account.client("iam").delete_role(RoleName=role["RoleName"])
    finding = next(iter(check(patient())))
    assert finding.status == "failed"
    assert f"JobRole of sagemaker-project-housing ({role['RoleName']}) is gone" in finding.message
    assert "aws cloudformation deploy" in finding.remedy


def test_without_projects_there_are_no_roles(patient):
    [finding] = check(patient())
    assert (finding.status, finding.message) == ("skipped", "no project has been deployed")
