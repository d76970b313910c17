"""project.yml and launch-role.yml: valid, small enough, and of the right shape for each choice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_aws.cloudformation.rules import check_rules
from local_aws.errors import AwsError
from local_aws.events.patterns import parse_pattern
from local_aws.events.target_input import target_input

_ROOT = Path(__file__).parents[2]
_TEMPLATES = [
    *sorted((_ROOT / "infra").glob("*/*.yml")),
    _ROOT / "model_deploy" / "endpoint-config-template.yml",
]
_BODY_LIMIT = 51_200
_CONNECTION = "arn:aws:codeconnections:eu-west-1:123456789012:connection/0a"
# What a stack leaves behind when it is deleted, and what it takes along, of all that holds data.
_KEPT = {"AWS::CodeCommit::Repository", "AWS::S3::Bucket", "AWS::S3::BucketPolicy"}
_DELETED = {"AWS::Logs::LogGroup", "AWS::SQS::Queue"}


@pytest.mark.parametrize("path", _TEMPLATES, ids=lambda path: path.name)
def test_template_fits_into_a_request_or_goes_through_s3(path: Path) -> None:
    """The project's is the one that goes through S3: the guide's command names a bucket for it."""
    assert (len(path.read_bytes()) > _BODY_LIMIT) == (path.name == "project.yml")
    commands = (_ROOT / "docs" / "aws.md").read_text().replace("\\\n", " ").splitlines()
    named = [
        line for line in commands if "deploy --template-file infra/project/project.yml" in line
    ]
    assert named
    assert all("--s3-bucket" in line for line in named)


@pytest.mark.parametrize(
    "name",
    [
        *("project.yml", "launch-role.yml", "images.yml"),
        *("mlflow-managed.yml", "mlflow.yml", "network.yml", "endpoint-config-template.yml"),
    ],
)
def test_each_parameter_is_described_and_constrained(render: Callable[..., Any], name: str) -> None:
    for parameter, declared in render(name).template.parameters.items():
        assert declared["Description"], parameter
        # CloudFormation itself checks what lies behind a parameter of the parameter store.
        constraints = {"AllowedPattern", "AllowedValues", "MinLength", "MinValue"} & set(declared)
        assert constraints or declared["Type"].startswith("AWS::SSM::"), parameter


def test_a_project_needs_no_more_than_a_name_and_an_id(project: Any) -> None:
    required = {
        name for name, declared in project.template.parameters.items() if "Default" not in declared
    }
    assert required == {"SageMakerProjectName", "SageMakerProjectId"}


@pytest.mark.parametrize("name", ["Housing", "9lives", "a--", "a" * 31, ""])
def test_names_that_would_fail_later_are_refused_at_once(
    render: Callable[..., Any], name: str
) -> None:
    with pytest.raises(AwsError, match=r"lower-case letters, digits and hyphens"):
        render("project.yml", SageMakerProjectName=name)


def test_longest_names_fit_everywhere(render: Callable[..., Any]) -> None:
    longest = render(
        "project.yml",
        SageMakerProjectName="n" * 30,
        SageMakerProjectId="p" * 15,
        Schedule="rate(1 day)",
    )
    limits = {
        ("AWS::S3::Bucket", "BucketName"): 63,
        ("AWS::Scheduler::Schedule", "Name"): 64,
        ("AWS::SQS::Queue", "QueueName"): 80,
        ("AWS::Events::Rule", "Name"): 64,
        ("AWS::CodePipeline::Pipeline", "Name"): 100,
        ("AWS::CodeCommit::Repository", "RepositoryName"): 100,
        ("AWS::CodeBuild::Project", "Name"): 150,
    }
    for (kind, name), limit in limits.items():
        for properties in longest.of_type(kind).values():
            assert len(properties[name]) <= limit, (kind, properties[name])


def test_what_holds_data_says_what_becomes_of_it(project: Any) -> None:
    for name, declared in project.template.resources.items():
        if declared.type in _KEPT:
            assert declared.retained_on_delete, name
            assert declared.retained_on_replace, name
        text = (_ROOT / "infra/project/project.yml").read_text()
        block = re.search(rf"^  {name}:\n(?:    .*\n)+", text, re.MULTILINE)
        assert block is not None, name
        if declared.type in _KEPT | _DELETED:
            assert "    DeletionPolicy: " in block[0], name
            assert "    UpdateReplacePolicy: " in block[0], name


def test_bucket_is_private_encrypted_and_versioned(project: Any) -> None:
    bucket = project.resources["Bucket"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"].startswith("arn:aws:kms:")
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    # Nothing current ever expires: rolling back needs old artifacts, a person's question old data.
    (lifecycle,) = bucket["LifecycleConfiguration"]["Rules"]
    assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(lifecycle)


def test_logs_end_and_are_encrypted(render: Callable[..., Any]) -> None:
    groups = render("project.yml", LogRetentionDays="30").of_type("AWS::Logs::LogGroup").values()
    assert {group["LogGroupName"] for group in groups} == {
        "/aws/codebuild/sagemaker-housing-p-housing",
        "/aws/sagemaker/Endpoints/housing-staging",
        "/aws/sagemaker/Endpoints/housing-prod",
    }
    assert {str(group["RetentionInDays"]) for group in groups} == {"30"}
    assert all(group["KmsKeyId"].startswith("arn:aws:kms:") for group in groups)


def test_codecommit_repositories_start_pipelines_through_rules(project: Any) -> None:
    repositories = project.of_type("AWS::CodeCommit::Repository")
    assert {properties["RepositoryName"] for properties in repositories.values()} == {
        "sagemaker-housing-p-housing-modelbuild",
        "sagemaker-housing-p-housing-modeldeploy",
    }
    for unit in ("ModelBuild", "ModelDeploy"):
        name = f"sagemaker-housing-p-housing-{unit.lower()}"
        rule = project.resources[f"{unit}Pushed"]
        assert rule["EventPattern"]["resources"] == [
            f"arn:aws:codecommit:eu-west-1:123456789012:{name}"
        ]
        assert rule["EventPattern"]["detail"]["referenceName"] == ["main"]
        (target,) = rule["Targets"]
        assert target["Arn"] == f"arn:aws:codepipeline:eu-west-1:123456789012:{name}"
        pipeline = project.resources[f"{unit}Pipeline"]
        assert "Triggers" not in pipeline
        (source,) = pipeline["Stages"][0]["Actions"]
        assert source["ActionTypeId"]["Provider"] == "CodeCommit"
        # The rule starts it; polling besides would start it twice.
        assert source["Configuration"] == {
            "RepositoryName": name,
            "BranchName": "main",
            "PollForSourceChanges": "false",
        }
    assert {"ModelBuildCloneUrl", "ModelDeployCloneUrl"} <= set(project.outputs)


def test_a_connection_replaces_repositories_and_rules(connected: Any) -> None:
    assert connected.of_type("AWS::CodeCommit::Repository") == {}
    assert set(connected.of_type("AWS::Events::Rule")) == {
        "FailedPipeline",
        "FailedTraining",
        "MissedGate",
    }
    assert "EventsRole" not in connected.resources
    assert not {"ModelBuildCloneUrl", "ModelDeployCloneUrl"} & set(connected.outputs)
    for pipeline in connected.of_type("AWS::CodePipeline::Pipeline").values():
        (source,) = pipeline["Stages"][0]["Actions"]
        assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
        assert source["Configuration"] == {
            "ConnectionArn": _CONNECTION,
            "FullRepositoryId": "team/housing",
            "BranchName": "main",
        }
        (trigger,) = pipeline["Triggers"]
        assert trigger["ProviderType"] == "CodeStarSourceConnection"
        assert trigger["GitConfiguration"]["SourceActionName"] == source["Name"]


def test_two_repositories_behind_a_connection(render: Callable[..., Any]) -> None:
    stack = render(
        "project.yml",
        ConnectionArn=_CONNECTION,
        ModelBuildRepository="team/train",
        ModelDeployRepository="group/subgroup/serve",
    )
    sources = [
        pipeline["Stages"][0]["Actions"][0]["Configuration"]["FullRepositoryId"]
        for pipeline in stack.of_type("AWS::CodePipeline::Pipeline").values()
    ]
    assert sources == ["team/train", "group/subgroup/serve"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"ConnectionArn": _CONNECTION}, "ConnectionArn needs ModelBuildRepository"),
        (
            {"ConnectionArn": _CONNECTION, "ModelBuildRepository": "a/b"},
            "ConnectionArn needs ModelDeployRepository",
        ),
        (
            {
                "ConnectionArn": _CONNECTION,
                "ModelBuildRepository": "a/b",
                "ModelDeployRepository": "a/b",
                "SeedBucket": "seeds",
            },
            "with ConnectionArn leave it empty",
        ),
        ({"ModelDeployRepository": "a/b"}, "need ConnectionArn"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    project: Any, given: dict[str, str], problem: str
) -> None:
    defaults = {
        name: str(declared.get("Default", ""))
        for name, declared in project.template.parameters.items()
    }
    check_rules(project.template, defaults, {})
    with pytest.raises(AwsError, match=problem):
        check_rules(project.template, {**defaults, **given}, {})


def test_seeds_are_optional(project: Any, render: Callable[..., Any]) -> None:
    seeded = {
        name: properties["Code"]
        for name, properties in project.of_type("AWS::CodeCommit::Repository").items()
    }
    assert seeded == {
        "ModelBuildCode": {
            "BranchName": "main",
            "S3": {"Bucket": "seeds", "Key": "modelbuild.zip"},
        },
        "ModelDeployCode": {
            "BranchName": "main",
            "S3": {"Bucket": "seeds", "Key": "modeldeploy.zip"},
        },
    }
    for properties in render("project.yml").of_type("AWS::CodeCommit::Repository").values():
        assert "Code" not in properties


def test_a_schedule_starts_the_training_in_its_timezone(render: Callable[..., Any]) -> None:
    stack = render("project.yml", Schedule="cron(0 3 ? * MON *)", ScheduleTimezone="Europe/Berlin")
    schedule = stack.resources["ScheduledTraining"]
    assert schedule["ScheduleExpression"] == "cron(0 3 ? * MON *)"
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    target = schedule["Target"]
    assert target["Arn"] == "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/housing-build"
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    queue = stack.resources["ScheduleFailures"]
    assert target["DeadLetterConfig"]["Arn"].endswith(f":{queue['QueueName']}")
    assert queue["SqsManagedSseEnabled"] is True
    assert stack.outputs["ScheduleName"] == "sagemaker-housing-p-housing"


def test_without_a_schedule_there_is_nothing_of_it(render: Callable[..., Any]) -> None:
    stack = render("project.yml")
    assert not {"ScheduledTraining", "ScheduleFailures", "SchedulerRole"} & set(stack.resources)
    assert not {"ScheduleName", "ScheduleFailuresQueueUrl"} & set(stack.outputs)


@pytest.mark.parametrize("expression", ["every monday", "cron()", "rate(1 day", "0 3 * * *"])
def test_what_is_no_schedule_is_refused(render: Callable[..., Any], expression: str) -> None:
    with pytest.raises(AwsError, match="Schedule"):
        render("project.yml", Schedule=expression)


def test_mail_is_optional(project: Any, render: Callable[..., Any]) -> None:
    assert project.resources["Notifications"]["Subscription"] == [
        {"Protocol": "email", "Endpoint": "team@example.com"}
    ]
    assert "Subscription" not in render("project.yml").resources["Notifications"]


def test_failures_are_told_in_words(project: Any) -> None:
    for rule in ("FailedPipeline", "FailedTraining", "MissedGate"):
        (target,) = project.resources[rule]["Targets"]
        transformer = target["InputTransformer"]
        text = json.loads(transformer["InputTemplate"])
        assert set(re.findall(r"<(\w+)>", text)) == set(transformer["InputPathsMap"])
    pattern = project.resources["FailedPipeline"]["EventPattern"]
    assert pattern["detail-type"] == ["CodePipeline Action Execution State Change"]
    told = pattern["detail"]["pipeline"]
    assert told == [
        pipeline["Name"] for pipeline in project.of_type("AWS::CodePipeline::Pipeline").values()
    ]
    for rule in ("FailedTraining", "MissedGate"):
        trained = project.resources[rule]["EventPattern"]["detail"]["pipelineArn"]
        assert trained == ["arn:aws:sagemaker:eu-west-1:123456789012:pipeline/housing-build"]


_TRAINING = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/housing-build"


def _step_event(**detail: str) -> dict[str, Any]:
    """As in SageMaker's developer guide, "Pipeline step state change"."""
    return {
        "version": "0",
        "detail-type": "SageMaker Model Building Pipeline Execution Step Status Change",
        "source": "aws.sagemaker",
        "account": "123456789012",
        "region": "eu-west-1",
        "resources": [_TRAINING, f"{_TRAINING}/execution/abc"],
        "detail": {
            "stepName": "TrainEvaluateRegister",
            "stepType": "Training",
            "previousStepStatus": "Executing",
            "currentStepStatus": "Failed",
            "pipelineArn": _TRAINING,
            "pipelineExecutionArn": f"{_TRAINING}/execution/abc",
            **detail,
        },
    }


def _told(project: Any, event: dict[str, Any]) -> list[str]:
    """The messages of all rules to which the event belongs."""
    return [
        json.loads(target_input(target, event, rule_name=name, rule_arn=""))
        for name, rule in project.of_type("AWS::Events::Rule").items()
        if parse_pattern(json.dumps(rule["EventPattern"])).matches(event)
        for target in rule["Targets"]
    ]


@pytest.mark.parametrize("awss_word", ["", "ClientError: "])
def test_a_missed_gate_is_told_once_with_its_reason(project: Any, awss_word: str) -> None:
    reason = (
        f'{awss_word}AlgorithmError: QualityGateNotMet: RMSE 60.1 is not better than "it\'s"; '
        "nothing was registered; http://mlflow/#/runs/1, exit code: 1"
    )
    assert _told(project, _step_event(failureReason=reason)) == [
        f"Not registered: the model did not meet the quality gate. {reason}"
    ]


def test_any_other_failed_step_is_told_once_with_its_reason(project: Any) -> None:
    event = _step_event(stepName="PrepareData", failureReason="AlgorithmError: no column 'price'")
    assert _told(project, event) == [
        "Training failed at PrepareData: AlgorithmError: no column 'price'. More: aws sagemaker "
        f"list-pipeline-execution-steps --pipeline-execution-arn {_TRAINING}/execution/abc"
    ]


def test_a_failed_step_without_a_reason_is_told_too(project: Any) -> None:
    (told,) = _told(project, _step_event())
    assert told.startswith("Training failed at TrainEvaluateRegister: . More: aws sagemaker list-")


@pytest.mark.parametrize(
    "detail",
    [
        {"currentStepStatus": "Succeeded"},
        {"currentStepStatus": "Failed", "failureReason": "x", "pipelineArn": f"{_TRAINING}-2"},
        {
            "currentStepStatus": "Failed",
            "failureReason": "QualityGateNotMet: x",
            "pipelineArn": "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/other-build",
        },
    ],
)
def test_what_did_not_fail_and_other_projects_trainings_are_not_told(
    project: Any, detail: dict[str, str]
) -> None:
    assert _told(project, _step_event(**detail)) == []


def test_only_production_goes_back_by_itself(project: Any) -> None:
    stages = project.resources["ModelDeployPipeline"]["Stages"]
    assert {stage["Name"]: stage.get("OnFailure") for stage in stages} == {
        "Source": None,
        "Build": None,
        "DeployStaging": None,
        "DeployProd": {"Result": "ROLLBACK"},
        "SettleRegistry": None,
    }


def test_both_pipelines_are_v2_and_superseded(project: Any) -> None:
    for pipeline in project.of_type("AWS::CodePipeline::Pipeline").values():
        assert (pipeline["PipelineType"], pipeline["ExecutionMode"]) == ("V2", "SUPERSEDED")
