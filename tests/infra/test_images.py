"""images.yml as an account would have it."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from local_aws.errors import AwsError
from local_aws.events.patterns import parse_pattern
from mlops.platform.image_builds import build_images
from mlops.platform.image_sources import IMAGES, list_files

_ACCOUNT, _PLACE = "123456789012", "eu-west-1:123456789012"
_KEY = f"arn:aws:kms:{_PLACE}:key/0a"
_PARTS = {"server": "Server", "inference": "Inference"}


@pytest.fixture(scope="module")
def stack(render: Callable[..., Any]) -> Any:
    """With nothing but defaults."""
    return render("images.yml")


@pytest.fixture(scope="module")
def keyed(render: Callable[..., Any]) -> Any:
    """With a key of one's own."""
    return render("images.yml", KeyArn=_KEY, NotificationEmail="team@example.com")


def test_it_can_be_deployed_without_a_parameter(stack: Any) -> None:
    assert all("Default" in declared for declared in stack.template.parameters.values())


@pytest.mark.parametrize("word", _PARTS.values())
def test_a_tag_never_moves_and_each_push_is_scanned(stack: Any, word: str) -> None:
    repository = stack.resources[f"{word}Repository"]
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["EncryptionConfiguration"] == {"EncryptionType": "KMS"}
    declared = stack.template.resources[f"{word}Repository"]
    assert declared.retained_on_delete
    assert declared.retained_on_replace


@pytest.mark.parametrize("word", _PARTS.values())
def test_images_expire_by_nothing_but_their_number(
    render: Callable[..., Any], stack: Any, word: str
) -> None:
    for number, rendered in ((60, stack), (100, render("images.yml", KeptImages="100"))):
        text = rendered.resources[f"{word}Repository"]["LifecyclePolicy"]["LifecyclePolicyText"]
        (rule,) = json.loads(text)["rules"]
        assert rule["action"] == {"type": "expire"}
        assert rule["selection"] == {
            "tagStatus": "any",
            "countType": "imageCountMoreThan",
            "countNumber": number,
        }


def test_a_number_that_would_expire_images_in_use_is_refused(render: Callable[..., Any]) -> None:
    with pytest.raises(AwsError, match="KeptImages"):
        render("images.yml", KeptImages="11")


def test_sources_are_private_encrypted_and_versioned(stack: Any, keyed: Any) -> None:
    bucket = stack.resources["Sources"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert _encryption(stack) == {"SSEAlgorithm": "aws:kms"}, "under AWS's own key"
    assert _encryption(keyed) == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": _KEY}
    # Monthly builds need the newest as long as they run.
    (lifecycle,) = bucket["LifecycleConfiguration"]["Rules"]
    assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(lifecycle)
    (deny,) = stack.resources["SourcesPolicy"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
    arn = f"arn:aws:s3:::{bucket['BucketName']}"
    assert deny["Resource"] == [arn, f"{arn}/*"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def _encryption(stack: Any) -> Mapping[str, Any]:
    (rule,) = stack.resources["Sources"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return dict(rule["ServerSideEncryptionByDefault"])


def test_bucket_name_fits_in_the_longest_region(stack: Any) -> None:
    name = stack.resources["Sources"]["BucketName"].replace("eu-west-1", "ap-southeast-10")
    assert len(name) <= 63


@pytest.mark.parametrize("image", IMAGES)
def test_project_builds_the_uploaded_source_by_the_buildspec_in_it(stack: Any, image: str) -> None:
    project = stack.resources[f"{_PARTS[image]}Build"]
    bucket = stack.resources["Sources"]["BucketName"]
    assert project["Name"] == f"sagemaker-mlflow-{image}-image"
    assert project["Source"]["Type"] == "S3"
    assert project["Source"]["Location"] == f"{bucket}/images/{image}.zip"
    assert project["Source"]["BuildSpec"] in list_files(image)
    assert project["Environment"]["PrivilegedMode"] is True
    assert project["Environment"]["Type"] == "LINUX_CONTAINER", "x86-64, as the images"
    assert project["ConcurrentBuildLimit"] == 1
    assert "VpcConfig" not in project


@pytest.mark.parametrize("image", IMAGES)
def test_buildspec_has_each_variable_that_it_uses(stack: Any, image: str) -> None:
    project = stack.resources[f"{_PARTS[image]}Build"]
    buildspec = yaml.safe_load(list_files(image)[project["Source"]["BuildSpec"]].read_text())
    given = {variable["Name"] for variable in project["Environment"]["EnvironmentVariables"]}
    given |= set(buildspec["env"]["variables"]) | {"CODEBUILD_BUILD_NUMBER"}
    commands = "\n".join(
        command for phase in buildspec["phases"].values() for command in phase["commands"]
    )
    # `NAME=value` at a command's begin, and `read NAME`.
    given |= set(re.findall(r"^([A-Z_]+)=", commands, re.MULTILINE))
    given |= set(" ".join(re.findall(r"^read -r ([A-Z_ ]+)<", commands, re.MULTILINE)).split())
    used = set(re.findall(r"\$\{?([A-Z_]+)", commands))
    assert used <= given
    parameters = {
        variable["Value"]
        for variable in project["Environment"]["EnvironmentVariables"]
        if variable["Name"] == "PARAMETER"
    }
    assert parameters == {f"/sagemaker-mlflow/images/{image}"}


@pytest.mark.parametrize("image", IMAGES)
def test_buildspec_publishes_last_and_pushes_after_the_trial(image: str) -> None:
    buildspec = list_files(image)[f"infra/images/{image}/buildspec.yml"].read_text()
    order = ["docker run" if image == "server" else "serve_a_model.py", "docker push"]
    order += ["describe-images", "ssm put-parameter"]
    places = [buildspec.rindex(words) for words in order]
    assert places == sorted(places)
    # post_build would run after a failed build as well.
    assert "post_build" not in yaml.safe_load(buildspec)["phases"]


@pytest.mark.parametrize("image", IMAGES)
def test_a_build_touches_its_own_image_only(stack: Any, image: str) -> None:
    other = next(name for name in IMAGES if name != image)
    allowed = _allowed(stack, f"{_PARTS[image]}BuildRole")
    bucket = f"arn:aws:s3:::{stack.resources['Sources']['BucketName']}"
    parameter = f"arn:aws:ssm:{_PLACE}:parameter/sagemaker-mlflow/images"

    def may(action: str, resource: str) -> bool:
        return any(
            action == said and fnmatch.fnmatchcase(resource, pattern) for said, pattern in allowed
        )

    assert may("s3:GetObject", f"{bucket}/images/{image}.zip")
    assert may("ssm:PutParameter", f"{parameter}/{image}")
    assert may("logs:PutLogEvents", f"{_log_group(stack)}:log-stream:{image}/1")
    for action in ("s3:GetObject", "s3:PutObject"):
        assert not may(action, f"{bucket}/images/{other}.zip")
    assert not may("s3:PutObject", f"{bucket}/images/{image}.zip")
    assert not may("ssm:PutParameter", f"{parameter}/{other}")
    repositories = {resource for action, resource in allowed if action == "ecr:PutImage"}
    assert repositories == {f"arn:aws:ecr:{_PLACE}:repository/sagemaker-mlflow/{image}"}
    assert "ecr:BatchDeleteImage" not in {action for action, _ in allowed}


def _log_group(stack: Any) -> str:
    name = stack.resources["BuildLogs"]["LogGroupName"]
    return f"arn:aws:logs:{_PLACE}:log-group:{name}"


def _allowed(stack: Any, role: str) -> list[tuple[str, str]]:
    documents = [policy["PolicyDocument"] for policy in stack.resources[role]["Policies"]]
    documents.append(stack.resources["BuildPolicy"]["PolicyDocument"])
    return [
        (action, resource)
        for document in documents
        for statement in document["Statement"]
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    ]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_a_key_of_ones_own_is_used_throughout(stack: Any, keyed: Any) -> None:
    assert _KEY not in json.dumps(stack.resources)
    for word in _PARTS.values():
        encryption = keyed.resources[f"{word}Repository"]["EncryptionConfiguration"]
        assert encryption == {"EncryptionType": "KMS", "KmsKey": _KEY}
        assert keyed.resources[f"{word}Build"]["EncryptionKey"] == _KEY
        assert ("kms:Decrypt", _KEY) in _allowed(keyed, f"{word}BuildRole")
        assert not [pair for pair in _allowed(stack, f"{word}BuildRole") if "kms" in pair[0]]
    assert keyed.resources["BuildLogs"]["KmsKeyId"] == _KEY
    assert keyed.resources["Notifications"]["KmsMasterKeyId"] == _KEY


def test_both_are_built_anew_every_month(stack: Any) -> None:
    schedules = stack.of_type("AWS::Scheduler::Schedule")
    assert {schedule["Target"]["Arn"] for schedule in schedules.values()} == {
        f"arn:aws:codebuild:{_PLACE}:project/sagemaker-mlflow-{image}-image" for image in IMAGES
    }
    for schedule in schedules.values():
        assert schedule["ScheduleExpression"] == "cron(0 4 1 * ? *)"
        # A templated target: the project's ARN says what to call; no input to get wrong.
        assert "Input" not in schedule["Target"]
    (statement,) = stack.resources["RebuildRole"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "codebuild:StartBuild"
    assert set(statement["Resource"]) == {
        schedule["Target"]["Arn"] for schedule in schedules.values()
    }


def test_without_a_schedule_nothing_is_left_of_it(render: Callable[..., Any]) -> None:
    unscheduled = render("images.yml", RebuildSchedule="")
    assert not unscheduled.of_type("AWS::Scheduler::Schedule")
    assert "RebuildRole" not in unscheduled.resources


@pytest.mark.parametrize("expression", ["rate(30 days)", "monthly"])
def test_a_rate_is_refused_as_it_would_start_before_there_are_sources(
    render: Callable[..., Any], expression: str
) -> None:
    with pytest.raises(AwsError, match="a rate would start at once"):
        render("images.yml", RebuildSchedule=expression)


def _matches(rule: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    return bool(parse_pattern(json.dumps(rule["EventPattern"])).matches(event))


@pytest.mark.parametrize(
    ("project", "status", "told"),
    [
        ("sagemaker-mlflow-server-image", "FAILED", True),
        ("sagemaker-mlflow-inference-image", "TIMED_OUT", True),
        ("sagemaker-mlflow-inference-image", "SUCCEEDED", False),
        ("sagemaker-housing-p-housing-modelbuild", "FAILED", False),
    ],
)
def test_failed_builds_are_told_of(stack: Any, project: str, status: str, told: bool) -> None:
    event = {
        "source": "aws.codebuild",
        "detail-type": "CodeBuild Build State Change",
        "detail": {"project-name": project, "build-status": status},
    }
    assert _matches(stack.resources["FailedBuild"], event) == told


def _scan(repository: str, counts: Mapping[str, int], *, enhanced: bool = False) -> dict[str, Any]:
    # As the user guides of ECR and of Inspector ("initial scan complete") show them.
    return {
        "source": "aws.inspector2" if enhanced else "aws.ecr",
        "detail-type": "Inspector2 Scan" if enhanced else "ECR Image Scan",
        "detail": {
            "repository-name": repository,
            "finding-severity-counts": counts,
            "image-digest": f"sha256:{'0' * 64}",
        },
    }


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"CRITICAL": 1}, True),
        ({"HIGH": 2, "MEDIUM": 7}, True),
        ({"MEDIUM": 7}, False),
        ({"CRITICAL": 0, "HIGH": 0, "TOTAL": 0}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("enhanced", [False, True])
def test_severe_findings_are_told_of(
    stack: Any, counts: Mapping[str, int], told: bool, enhanced: bool
) -> None:
    rule = stack.resources["SevereFindings"]
    # By name, and by ARN.
    names = rule["EventPattern"]["detail"]["repository-name"]
    assert len(names) == 4
    for name in names:
        assert _matches(rule, _scan(name, counts, enhanced=enhanced)) == told
    assert not _matches(rule, _scan("another/repository", {"CRITICAL": 1}, enhanced=enhanced))


def test_mail_goes_to_whom_is_named_only(stack: Any, keyed: Any) -> None:
    assert "Subscription" not in stack.resources["Notifications"]
    assert keyed.resources["Notifications"]["Subscription"] == [
        {"Protocol": "email", "Endpoint": "team@example.com"}
    ]
    topic = f"arn:aws:sns:{_PLACE}:sagemaker-mlflow-images"
    for rule in stack.of_type("AWS::Events::Rule").values():
        assert [target["Arn"] for target in rule["Targets"]] == [topic]
    (allow,) = stack.resources["NotificationsPolicy"]["PolicyDocument"]["Statement"]
    assert allow["Principal"] == {"Service": "events.amazonaws.com"}
    assert (allow["Action"], allow["Resource"]) == ("sns:Publish", topic)


def test_roles_are_below_the_platforms_path_and_bounded_when_a_boundary_is_given(
    render: Callable[..., Any], stack: Any
) -> None:
    boundary = f"arn:aws:iam::{_ACCOUNT}:policy/boundary"
    bounded = render("images.yml", PermissionsBoundaryArn=boundary).of_type("AWS::IAM::Role")
    assert {role["PermissionsBoundary"] for role in bounded.values()} == {boundary}
    for role in stack.of_type("AWS::IAM::Role").values():
        assert role["Path"] == "/sagemaker-mlflow/"
        assert "PermissionsBoundary" not in role


def test_the_command_builds_what_the_template_has(stack: Any) -> None:
    assert build_images.__kwdefaults__["images"] == tuple(IMAGES)
    assert set(IMAGES) == set(_PARTS)
    assert stack.outputs["SourcesBucketName"] == stack.resources["Sources"]["BucketName"]
