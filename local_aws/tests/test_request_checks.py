"""What AWS refuses for a request's form alone is refused, in AWS's words."""

from __future__ import annotations

import json
import re
import time
import uuid

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, StructureShape
from callers import stranger
from moto.core.utils import get_service_model

from local_aws.errors import AwsError
from local_aws.request_checks import check_request, compiled

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0"
FAIL = {"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}
ROLE = "arn:aws:iam::123456789012:role/r"
TEMPLATE = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})


@pytest.fixture(scope="module")
def call(gateway):
    """Calls an operation as a client does that checks nothing itself."""

    def called(service, operation, **params):
        client = stranger(gateway, service, config=Config(parameter_validation=False))
        return getattr(client, operation)(**params)

    return called


@pytest.fixture(scope="module")
def role(gateway):
    principals = ["sagemaker.amazonaws.com", "codebuild.amazonaws.com"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": principals},
        "Action": "sts:AssumeRole",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = gateway.own.client("iam")
    return iam.create_role(RoleName="forms", AssumeRolePolicyDocument=policy)["Role"]["Arn"]


def refused(call, *arguments, **params):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def definition(*steps, **members):
    return json.dumps({"Version": "2020-12-01", "Steps": steps or [FAIL], **members})


def pipeline(name="p", text=None, **members):
    return {
        "PipelineName": name,
        "PipelineDefinition": text or definition(),
        "RoleArn": ROLE,
        "ClientRequestToken": uuid.uuid4().hex,
        **members,
    }


def tags(count, prefix="k"):
    return [{"Key": f"{prefix}{number}", "Value": "v"} for number in range(count)]


def model(name, **members):
    return {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": {}, **members}


VARIANT = {
    "VariantName": "v",
    "ModelName": "m",
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 201},
}
PATTERN = "Member must satisfy regular expression pattern: "


@pytest.mark.parametrize(
    ("service", "operation", "params", "code", "said"),
    [
        ("sagemaker", "create_model", model("abc-"), None, f"'abc-' at 'modelName' .*: {PATTERN}"),
        ("sagemaker", "create_model", model("a.b"), None, f"'a.b' at 'modelName' .*: {PATTERN}"),
        ("sagemaker", "create_model", model("a" * 64), None, "length less than or equal to 63"),
        ("sagemaker", "create_pipeline", pipeline("a_b"), None, "'a_b' at 'pipelineName' .*"),
        (
            "sagemaker",
            "create_pipeline",
            pipeline(text=definition() + " " * 1_100_000),
            None,
            "at 'pipelineDefinition' .* length less than or equal to 1048576",
        ),
        (
            "sagemaker",
            "create_endpoint_config",
            {"EndpointConfigName": "c", "ProductionVariants": [VARIANT]},
            None,
            "'201' at 'productionVariants.1.member.serverlessConfig.maxConcurrency' failed to "
            "satisfy constraint: Member must have value less than or equal to 200",
        ),
        ("sagemaker", "create_model", {}, None, "Value null at 'modelName' .* must not be null"),
        ("iam", "create_role", {"RoleName": "r" * 65}, "ValidationError", "2 validation errors"),
        (
            "sts",
            "assume_role",
            {"RoleArn": ROLE, "RoleSessionName": "abc", "DurationSeconds": 10},
            "ValidationError",
            "value greater than or equal to 900",
        ),
        (
            "cloudformation",
            "create_stack",
            {"StackName": "s", "TemplateBody": TEMPLATE, "OnFailure": "MAYBE"},
            "ValidationError",
            r"enum value set: \[DO_NOTHING, ROLLBACK, DELETE\]",
        ),
        (
            "cloudformation",
            "create_stack",
            {"StackName": "s", "TemplateBody": TEMPLATE, "Tags": tags(51)},
            "ValidationError",
            "at 'tags' .* length less than or equal to 50",
        ),
        (
            "codecommit",
            "create_repository",
            {"repositoryName": "a b"},
            "InvalidRepositoryNameException",
            PATTERN,
        ),
        ("codecommit", "create_repository", {}, "RepositoryNameRequiredException", "null"),
        ("ssm", "put_parameter", {"Name": "x" * 2049, "Value": "v"}, None, "equal to 2048"),
        ("secretsmanager", "create_secret", {"Name": "x" * 513}, None, "equal to 512"),
        ("logs", "create_log_group", {"logGroupName": "a b"}, "InvalidParameterException", PATTERN),
        ("events", "put_rule", {"Name": "a b"}, None, PATTERN),
        ("scheduler", "get_schedule", {"Name": "a b"}, None, PATTERN),
        ("codebuild", "create_project", {"name": "p", "timeoutInMinutes": 3}, None, "equal to 5"),
        ("codebuild", "create_project", {"name": "a b"}, None, f"'a b' at 'name' .*{PATTERN}"),
        (
            "codepipeline",
            "start_pipeline_execution",
            {"name": "a b"},
            None,
            f"'a b' at 'name' .*{PATTERN}",
        ),
    ],
)
def test_a_constraint_of_the_model_holds(call, service, operation, params, code, said):
    found, message = refused(call, service, operation, **params)

    assert found == (code or "ValidationException")
    assert "validation error" in message
    assert re.search(said, message), message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (tags(51), "less than or equal to 50"),
        (tags(1, "aws:"), "Keys may not begin with aws:"),
        (tags(1, "AWS:x"), "Keys may not begin with aws:"),
        (tags(1) + tags(1), "Tag keys must be unique"),
        ([{"Key": "k" * 129, "Value": ""}], "length less than or equal to 128"),
        ([{"Key": "k", "Value": "v" * 257}], "length less than or equal to 256"),
        ([{"Key": "", "Value": "v"}], "length greater than or equal to 1"),
        ([{"Key": "a,b", "Value": "v"}], PATTERN),
    ],
)
def test_tags_have_their_rules(call, given, said):
    _, message = refused(call, "sagemaker", "create_model", **model("tagged", Tags=given))
    assert said in message


@pytest.mark.parametrize(
    ("service", "operation", "params", "member"),
    [
        ("iam", "tag_role", {"RoleName": "r"}, "Tags"),
        ("sns", "create_topic", {"Name": "t"}, "Tags"),
        ("secretsmanager", "create_secret", {"Name": "t", "SecretString": "x"}, "Tags"),
        ("events", "put_rule", {"Name": "r", "ScheduleExpression": "rate(1 day)"}, "Tags"),
        ("kms", "create_key", {}, "Tags"),
    ],
)
def test_services_whose_model_says_nothing_of_tags_have_the_same_rules(
    call, service, operation, params, member
):
    names = ("TagKey", "TagValue") if service == "kms" else ("Key", "Value")
    twice = [dict(zip(names, ("k", "v"), strict=True))] * 2
    _, message = refused(call, service, operation, **{**params, member: twice})
    assert "Tag keys must be unique" in message


def test_maps_of_tags_have_them_too(call):
    params = {"repositoryName": "tagged", "tags": {f"k{number}": "v" for number in range(51)}}
    _, message = refused(call, "codecommit", "create_repository", **params)
    assert "at most 50 tags" in message


def test_what_lies_in_s3_has_the_same_limit(gateway, call):
    s3 = gateway.own.client("s3")
    s3.create_bucket(Bucket="definitions")
    s3.put_object(Bucket="definitions", Key="d", Body=(definition() + " " * 1_100_000).encode())
    params = pipeline("from-s3")
    del params["PipelineDefinition"]
    where = {"Bucket": "definitions", "ObjectKey": "d"}
    _, message = refused(
        call, "sagemaker", "create_pipeline", **params, PipelineDefinitionS3Location=where
    )
    assert "1048576 are allowed" in message


def processing(arguments, name="P"):
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": IMAGE, "ContainerArguments": arguments},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": {"Get": "Parameters.Size"},
                }
            },
            "RoleArn": ROLE,
        },
    }


def declared(kind, default):
    return [
        {"Name": "Size", "Type": "Integer", "DefaultValue": 10},
        {"Name": "Given", "Type": kind, "DefaultValue": default},
    ]


GIVEN = {"Get": "Parameters.Given"}
VOLUME = "Steps.P.ProcessingResources.ClusterConfig.VolumeSizeInGB"


@pytest.mark.parametrize("change", ["create_pipeline", "update_pipeline"])
@pytest.mark.parametrize(("kind", "default"), [("Integer", 1), ("Float", 0.5), ("Boolean", True)])
def test_a_number_is_no_argument_where_a_text_is_due(call, change, kind, default):
    text = definition(processing(["-k", GIVEN]), Parameters=declared(kind, default))
    params = pipeline("typed", text)
    if change == "update_pipeline":
        del params["ClientRequestToken"]
    code, message = refused(call, "sagemaker", change, **params)

    assert code == "ValidationException"
    assert message == (
        "Cannot assign property reference [Parameters.Given] to argument of type [String]."
    )


@pytest.mark.parametrize(
    ("step", "reference", "kind"),
    [
        (processing([{"Get": VOLUME}], name="Q"), VOLUME, "String"),
        (
            {
                **processing([], name="Q"),
                "Arguments": {"StoppingCondition": {"MaxRuntimeInSeconds": GIVEN}},
            },
            "Parameters.Given",
            "Integer",
        ),
        (
            {**processing([], name="Q"), "Arguments": {"Environment": {"A": {"Get": VOLUME}}}},
            VOLUME,
            "String",
        ),
        (
            {
                "Name": "T",
                "Type": "Training",
                "Arguments": {"HyperParameters": {"n": {"Get": "Parameters.Size"}}},
            },
            "Parameters.Size",
            "String",
        ),
        (
            {
                "Name": "T",
                "Type": "Training",
                "Arguments": {
                    "ResourceConfig": {"InstanceCount": {"Std:Join": {"On": "", "Values": [1]}}}
                },
            },
            "Std:Join",
            "Integer",
        ),
    ],
)
def test_types_are_compared_wherever_they_are_known(call, step, reference, kind):
    text = definition(processing([]), step, Parameters=declared("String", "x"))
    _, message = refused(call, "sagemaker", "create_pipeline", **pipeline("typed", text))
    assert message == (
        f"Cannot assign property reference [{reference}] to argument of type [{kind}]."
    )


def test_what_has_the_right_type_is_taken(call, role):
    joined = {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Size"}]}}
    steps = [
        processing([GIVEN, joined, {"Get": "Execution.PipelineName"}]),
        processing([{"Get": "Steps.P.ProcessingJobArn"}, {"Get": "Steps.P.Nowhere.x"}], name="Q"),
    ]
    text = definition(*steps, Parameters=declared("String", "x"))
    params = pipeline("right", text, RoleArn=role)
    assert call("sagemaker", "create_pipeline", **params)["PipelineArn"]


def test_a_value_that_is_secret_is_not_repeated(call):
    params = {"Name": "s", "SecretString": "hush" * 20_000}
    _, message = refused(call, "secretsmanager", "create_secret", **params)
    assert "at 'secretString'" in message
    assert "hush" not in message


@pytest.mark.parametrize(
    ("operation", "params", "said"),
    [
        ("ListModels", {"MaxResults": "x"}, "maxResults: str can not be converted to integer"),
        ("ListModels", {"MaxResults": True}, "maxResults: bool can not be converted to integer"),
        ("CreateModel", {"ModelName": 7}, "modelName: int can not be converted to string"),
        ("CreateModel", {"ModelName": "m", "Tags": {}}, "tags: dict can not be converted to list"),
    ],
)
def test_another_type_is_refused_as_such(operation, params, said):
    with pytest.raises(AwsError) as caught:
        check_request(get_service_model("sagemaker").operation_model(operation), params)
    assert caught.value.code == "SerializationException"
    assert caught.value.message == said


def test_of_a_union_one_member_is_given():
    operation = get_service_model("bedrock-runtime").operation_model("Converse")
    content = [{"text": "a", "image": {"format": "png", "source": {"bytes": b"x"}}}]
    messages = [{"role": "user", "content": content}]
    with pytest.raises(AwsError, match="must have exactly one of its members"):
        check_request(operation, {"modelId": "amazon.m", "messages": messages})


# Patterns that even `regex` can't say: what they ask is not checked.
NOT_CHECKED = {"sagemaker": {"AthenaCatalog"}}


def test_patterns_that_are_not_checked_are_known(gateway):
    kept = ("iam", "sts", "ecr", "logs", "secretsmanager", "kms", "ssm", "sns", "sqs")
    operations = {
        *((service, name) for service, name in gateway._handlers if service != "sagemaker-runtime"),
        *((name, one) for name in kept for one in get_service_model(name).operation_names),
    }
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()

    def walk(service, shape):
        if (service, shape.name) in seen:
            return
        seen.add((service, shape.name))
        if "pattern" in shape.metadata and compiled(shape.metadata["pattern"]) is None:
            found.setdefault(service, set()).add(shape.name)
        if isinstance(shape, StructureShape):
            for member in shape.members.values():
                walk(service, member)
        elif isinstance(shape, ListShape):
            walk(service, shape.member)
        elif isinstance(shape, MapShape):
            walk(service, shape.key)
            walk(service, shape.value)

    for service, name in operations:
        shape = get_service_model(service).operation_model(name).input_shape
        if shape is not None:
            walk(service, shape)
    assert found == NOT_CHECKED


def test_a_pattern_that_would_take_for_ever_is_given_up():
    operation = get_service_model("sagemaker").operation_model("CreateComputeQuota")
    target = {"TeamName": "a" * 39 + "!"}
    started = time.monotonic()
    with pytest.raises(AwsError, match="teamName"):
        check_request(operation, {"ComputeQuotaTarget": target})
    assert time.monotonic() - started < 30
