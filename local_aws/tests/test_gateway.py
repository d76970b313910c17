"""The gateway, as a stranger with boto3 meets it."""

from __future__ import annotations

import json
import re
import threading

import pytest
import urllib3
from botocore.exceptions import ClientError
from callers import signed

from local_aws.aws_protocol import RawResponse
from local_aws.errors import AwsError, StartFailed
from local_aws.gateway import Gateway

_UUID = "01234567-89ab-cdef-0123-456789abcdef"


class Echo:
    """A service that answers, refuses or breaks, by the name it is asked for."""

    def __init__(self):
        self.closed = False

    def operations(self):
        return {
            ("sagemaker", "DescribeTrainingJob"): self._describe,
            ("sagemaker-runtime", "InvokeEndpoint"): self._invoke,
            ("cloudformation", "DescribeStacks"): self._stacks,
            ("codepipeline", "GetPipelineExecution"): self._execution,
            ("scheduler", "GetSchedule"): lambda call: {
                "Name": call.params["Name"],
                "Description": call.caller_arn,
            },
        }

    def mounts(self):
        return {"/plain/": self._plain}

    @staticmethod
    def _plain(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    def _execution(self, call):
        if call.params["pipelineName"] == "refused":
            raise AwsError("PipelineNotFoundException", "no such pipeline")
        return {
            "pipelineExecution": {
                "pipelineName": call.params["pipelineName"],
                "statusSummary": call.caller_arn,
                "_private": 1,
            }
        }

    def _describe(self, call):
        name = call.params["TrainingJobName"]
        if name == "refused":
            raise AwsError("ResourceNotFound", "Requested resource not found.")
        if name == "broken":
            raise ZeroDivisionError("a bug")
        return {"TrainingJobName": name, "TrainingJobStatus": "InProgress", "_private": 1}

    def _invoke(self, call):
        assert call.params["EndpointName"] == "mine"
        return RawResponse(200, {"Content-Type": "text/plain"}, call.body.upper())

    def _stacks(self, call):
        raise AwsError(
            "ValidationError", f"Stack with id {call.params['StackName']} does <not> exist"
        )

    def close(self):
        self.closed = True


@pytest.fixture
def echo(tmp_path):
    service = Echo()
    gateway = Gateway(tmp_path, lambda _: [service]).start()
    yield gateway
    gateway.close()
    assert service.closed


def _client(gateway, service):
    return gateway.own.client(service)


def test_an_own_operation_is_answered_without_what_the_model_does_not_know(echo):
    answer = _client(echo, "sagemaker").describe_training_job(TrainingJobName="mine")

    assert answer["TrainingJobName"] == "mine"
    assert "_private" not in answer


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [("refused", "ResourceNotFound", 400), ("broken", "InternalFailure", 500)],
)
def test_errors_arrive_as_aws_errors(echo, name, code, status):
    with pytest.raises(ClientError) as caught:
        _client(echo, "sagemaker").describe_training_job(TrainingJobName=name)

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_query_protocol_errors_are_xml_with_the_message_escaped(echo):
    with pytest.raises(ClientError, match="Stack with id x does <not> exist") as caught:
        _client(echo, "cloudformation").describe_stacks(StackName="x")

    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_services_that_have_more_than_one_protocol_answer_in_the_one_that_boto3_takes(echo):
    client = _client(echo, "codepipeline")
    assert len(client.meta.service_model.metadata["protocols"]) > 1

    execution = client.get_pipeline_execution(pipelineName="p", pipelineExecutionId=_UUID)

    assert execution["pipelineExecution"]["pipelineName"] == "p"
    with pytest.raises(client.exceptions.PipelineNotFoundException, match="no such pipeline"):
        client.get_pipeline_execution(pipelineName="refused", pipelineExecutionId=_UUID)


def test_rest_services_are_told_what_stands_in_the_path_and_who_calls(echo):
    person = echo.own.client("scheduler").get_schedule(Name="nightly")

    assert person["Name"] == "nightly"
    assert re.fullmatch(r"arn:aws:iam::\d{12}:user/[\w.-]+", person["Description"])


def test_a_call_under_a_role_is_told_apart_from_the_person(echo):
    trust = {"Statement": [{"Principal": {"Service": "events.amazonaws.com"}}]}
    role = echo.own.client("iam").create_role(
        RoleName="r", Path="/p/", AssumeRolePolicyDocument=json.dumps(trust)
    )["Role"]["Arn"]

    service = echo.own.client("scheduler", role, principal="events.amazonaws.com")

    assert service.get_schedule(Name="x")["Description"].endswith("assumed-role/r/events")


def test_what_a_service_mounts_answers_plain_http(echo):
    answer = urllib3.request("GET", f"{echo.url}/plain/repo/info")

    assert (answer.status, answer.data) == (200, b"/plain/repo/info")


def test_invoke_endpoint_passes_the_body_through(echo):
    answer = _client(echo, "sagemaker-runtime").invoke_endpoint(EndpointName="mine", Body=b"abc")

    assert answer["Body"].read() == b"ABC"
    assert answer["ContentType"] == "text/plain"


@pytest.mark.parametrize(
    ("service", "operation", "named"),
    [
        ("sagemaker", "list_transform_jobs", "sagemaker:ListTransformJobs"),
        ("dynamodb", "list_tables", "dynamodb:ListTables"),
        ("lambda", "list_functions", "lambda"),
        ("ec2", "describe_instances", "ec2:DescribeInstances"),
        ("rds", "describe_db_instances", "rds:DescribeDBInstances"),
        ("codepipeline", "list_webhooks", "codepipeline:ListWebhooks"),
        ("scheduler", "list_schedule_groups", "scheduler:ListScheduleGroups"),
        ("route53", "list_hosted_zones", "route53"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(echo, service, operation, named):
    with pytest.raises(ClientError, match=f"local_aws does not support {named}") as caught:
        getattr(_client(echo, service), operation)()

    assert caught.value.response["Error"]["Code"] == "UnsupportedOperation"


def test_alarms_and_scaling_are_kept_and_metrics_are_refused(echo):
    cloudwatch = echo.own.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="a", EvaluationPeriods=1, ComparisonOperator="LessThanThreshold"
    )
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["a"])["MetricAlarms"]
    assert alarm["AlarmName"] == "a"
    cloudwatch.delete_alarms(AlarmNames=["a"])
    with pytest.raises(ClientError, match="local_aws does not support monitoring:PutMetricData"):
        cloudwatch.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}])
    with pytest.raises(ClientError, match="monitoring:GetMetricStatistics"):
        cloudwatch.get_metric_statistics(
            Namespace="n", MetricName="m", StartTime=0, EndTime=1, Period=60
        )
    scaling = echo.own.client("application-autoscaling")
    with pytest.raises(ClientError, match="application-autoscaling:PutScheduledAction"):
        scaling.put_scheduled_action(
            ServiceNamespace="sagemaker",
            ScheduledActionName="night",
            ResourceId="endpoint/e/variant/v",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        )


def test_parameters_that_boto3_would_refuse_are_refused_by_the_gateway_too(echo):
    answer = signed(
        echo,
        "sagemaker",
        json.dumps({"TrainingJobName": 7}).encode(),
        headers={"X-Amz-Target": "SageMaker.DescribeTrainingJob"},
    )

    assert answer.status == 400
    assert answer.json()["__type"] == "SerializationException"
    assert "trainingJobName" in answer.json()["message"]


def test_an_unsigned_request_is_refused(echo):
    answer = urllib3.request("GET", echo.url)

    assert answer.status == 403
    assert answer.json()["__type"] == "MissingAuthenticationToken"


def test_s3_keeps_objects_and_serves_presigned_urls(gateway):
    s3 = _client(gateway, "s3")
    s3.create_bucket(Bucket="kept-by-moto")
    s3.put_object(Bucket="kept-by-moto", Key="a b/c", Body=b"x" * 70_000)

    url = s3.generate_presigned_url("get_object", Params={"Bucket": "kept-by-moto", "Key": "a b/c"})

    assert urllib3.request("GET", url).data == b"x" * 70_000


def test_the_gateway_acts_under_the_role_that_is_asked_for(gateway):
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = _client(gateway, "iam").create_role(
        RoleName="acting", AssumeRolePolicyDocument=json.dumps(trust)
    )["Role"]["Arn"]

    identity = gateway.own.client("sts", role).get_caller_identity()
    environment = gateway.own.credentials_environment(role)

    assert ":assumed-role/acting/" in identity["Arn"]
    assert environment["AWS_ENDPOINT_URL"] == gateway.url
    assert environment["AWS_SESSION_TOKEN"]


def test_a_role_that_is_missing_or_trusts_another_service_is_refused(gateway):
    with pytest.raises(AwsError, match="role/nobody does not exist"):
        gateway.own.client("s3", "arn:aws:iam::123456789012:role/nobody")

    role = _client(gateway, "iam").create_role(
        RoleName="for-lambda",
        AssumeRolePolicyDocument=json.dumps({"Principal": {"Service": "lambda.amazonaws.com"}}),
    )["Role"]["Arn"]
    with pytest.raises(AwsError, match=r"allows principal 'sagemaker.amazonaws.com'"):
        gateway.own.client("s3", role)


def test_requests_are_answered_in_parallel(tmp_path):
    both_in = threading.Barrier(2, timeout=10)

    class Meeting(Echo):
        def _describe(self, call):
            both_in.wait()
            return {}

    gateway = Gateway(tmp_path, lambda _: [Meeting()]).start()
    sagemaker = _client(gateway, "sagemaker")
    threads = [
        threading.Thread(target=sagemaker.describe_training_job, kwargs={"TrainingJobName": "x"})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gateway.close()

    assert not both_in.broken


def test_a_port_in_use_is_told_with_what_to_do(tmp_path):
    first = Gateway(tmp_path, lambda _: [])
    port = int(first.url.rpartition(":")[2])

    with pytest.raises(StartFailed, match=rf"cannot listen on 127.0.0.1:{port}: .*--port") as told:
        Gateway(tmp_path, lambda _: [], port=port)
    assert told.value.exit_code == 3
    first.start().close()


def test_a_fault_in_the_thread_that_listens_is_told_and_it_listens_again(tmp_path, caplog):
    gateway = Gateway(tmp_path, lambda _own: [Echo()])
    serve, faults = gateway._server.serve_forever, [KeyError("planted")]

    def planted(*arguments):
        if faults:
            raise faults.pop()
        serve(*arguments)

    gateway._server.serve_forever = planted
    gateway.start()
    answer = urllib3.request("GET", f"{gateway.url}/plain/x", timeout=10, retries=False)
    gateway.close()

    assert answer.data == b"/plain/x"
    assert "gateway failed inside local_aws" in caplog.text
