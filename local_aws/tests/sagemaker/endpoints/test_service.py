"""Endpoints through boto3, served by a stand-in model server in real processes."""

from __future__ import annotations

import concurrent.futures
import io
import json
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from callers import stranger

from local_aws.gateway import Gateway
from local_aws.sagemaker.endpoints.service import Endpoints


def invoke(account: Any, name: str, body: bytes = b"x", **params: Any) -> dict[str, Any]:
    answer = account.runtime.invoke_endpoint(EndpointName=name, Body=body, **params)
    return json.loads(answer["Body"].read())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def served(serving_account: Any) -> str:
    """An endpoint that is in service, for tests that only read or invoke."""
    config = serving_account.create_config(
        serving_account.put_archive("shared"), environment={"COLOR": "red"}
    )
    return serving_account.create_endpoint(config)  # type: ignore[no-any-return]


def test_endpoint_serves_the_model_of_its_configuration(serving_account: Any, served: str) -> None:
    answer = serving_account.runtime.invoke_endpoint(
        EndpointName=served,
        Body=b'{"a": 1}',
        ContentType="application/json",
        Accept="text/csv",
        CustomAttributes="trace=7",
    )
    echo = json.loads(answer["Body"].read())

    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"] == "application/json"
    assert (echo["name"], echo["length"]) == ("shared", 8)
    assert echo["headers"]["Content-Type"] == "application/json"
    assert echo["headers"]["Accept"] == "text/csv"
    assert echo["headers"]["X-Amzn-SageMaker-Custom-Attributes"] == "trace=7"
    assert echo["color"] == "red"
    assert echo["role"] is True


def test_description_shows_configuration_variant_and_image(
    serving_account: Any, served: str
) -> None:
    endpoint = serving_account.sagemaker.describe_endpoint(EndpointName=served)

    assert endpoint["EndpointStatus"] == "InService"
    assert "FailureReason" not in endpoint
    (variant,) = endpoint["ProductionVariants"]
    assert variant["VariantName"] == "AllTraffic"
    assert variant["CurrentInstanceCount"] == 1
    assert variant["DeployedImages"][0]["SpecifiedImage"] == serving_account.image_uri


def test_list_endpoints_filters_by_name_and_status(serving_account: Any, served: str) -> None:
    listed = serving_account.sagemaker.list_endpoints(NameContains=served, StatusEquals="InService")
    assert [endpoint["EndpointName"] for endpoint in listed["Endpoints"]] == [served]

    listed = serving_account.sagemaker.list_endpoints(NameContains=served, StatusEquals="Failed")
    assert listed["Endpoints"] == []


def test_tags_of_an_endpoint_can_be_listed_added_and_deleted(
    serving_account: Any, served: str
) -> None:
    sagemaker = serving_account.sagemaker
    arn = sagemaker.describe_endpoint(EndpointName=served)["EndpointArn"]

    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []


@pytest.mark.parametrize(
    ("body", "side", "status", "original"),
    [(b"bad", "client", 400, "no such column"), (b"break", "server", 500, "division by zero")],
)
def test_an_error_of_the_model_is_a_model_error(
    serving_account: Any, served: str, body: bytes, side: str, status: int, original: str
) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(serving_account, served, body)

    response = caught.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert (response["OriginalStatusCode"], response["OriginalMessage"]) == (status, original)
    assert f"/aws/sagemaker/Endpoints/{served}" in response["LogStreamArn"]
    assert f'Received {side} error ({status}) from primary with message "{original}"' in str(
        caught.value
    )


def test_invoking_an_unknown_endpoint_is_a_validation_error(serving_account: Any) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(serving_account, "nobody")

    assert caught.value.response["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint nobody of account 123456789012 not found.",
    }


def test_a_body_over_six_megabytes_is_refused(serving_account: Any, served: str) -> None:
    with pytest.raises(ClientError, match="HTTP content length exceeded 6291456 bytes"):
        invoke(serving_account, served, b"x" * (6 * 1024 * 1024 + 1))

    assert invoke(serving_account, served, b"x" * 6 * 1024 * 1024)["length"] == 6 * 1024 * 1024


@pytest.mark.parametrize(
    "params", [{"TargetModel": "a"}, {"InferenceComponentName": "a"}, {"TargetVariant": "other"}]
)
def test_an_unsupported_way_to_invoke_is_refused_by_name(
    serving_account: Any, served: str, params: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match=r"TargetModel|InferenceComponentName|Variant other"):
        invoke(serving_account, served, **params)


def test_output_of_the_server_is_in_cloudwatch_logs(
    serving_account: Any, served: str, until: Callable[..., Any]
) -> None:
    logs = serving_account.gateway.own.client("logs")
    group = f"/aws/sagemaker/Endpoints/{served}"

    def messages() -> list[str]:
        groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        events = logs.filter_log_events(logGroupName=group)["events"] if groups else []
        return [event["message"] for event in events]

    assert until(messages) == ["starting shared"]


def test_an_update_switches_once_the_new_server_answers(serving_account: Any) -> None:
    account = serving_account
    name = account.create_endpoint(account.create_config(account.put_archive("old")))
    config = account.create_config(account.put_archive("new"))

    account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    seen = {invoke(account, name)["name"]}
    while account.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != "InService":
        seen.add(invoke(account, name)["name"])

    assert account.settled(name)["EndpointConfigName"] == config
    assert invoke(account, name)["name"] == "new"
    assert seen <= {"old", "new"}


def test_a_replaced_server_answers_what_it_was_asked_before_it_ends(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    account = serving_account
    name = account.create_endpoint(account.create_config(account.put_archive("patient")))
    (model,) = account.gateway.own.state_dir.glob(f"endpoints/{name}/*/opt/ml/model")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(invoke, account, name, b"hold")
        try:
            assert until((model / "held").exists)
            config = account.create_config(account.put_archive("next"))
            account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
            assert until(lambda: invoke(account, name)["name"] == "next")
            described = account.sagemaker.describe_endpoint(EndpointName=name)
            assert described["EndpointStatus"] == "Updating"
            assert not waiting.done()
        finally:
            (model / "go-on").touch()
        assert waiting.result()["name"] == "patient"
    assert account.settled(name)["EndpointConfigName"] == config


def test_a_failed_update_leaves_the_old_model_serving(serving_account: Any) -> None:
    account = serving_account
    old = account.create_config(account.put_archive("steady"))
    name = account.create_endpoint(old)
    broken = account.create_config(account.put_archive("broken", mode="crash"))

    account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=old)
    endpoint = account.settled(name)

    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", old)
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert "ValueError: the forest has no trees" in endpoint["FailureReason"]
    assert invoke(account, name)["name"] == "steady"


def test_a_server_that_cannot_start_fails_the_endpoint_with_its_cause(serving_account: Any) -> None:
    account = serving_account
    config = account.create_config(account.put_archive("hopeless", mode="crash"))
    name = account.create_endpoint(config)
    endpoint = account.sagemaker.describe_endpoint(EndpointName=name)

    assert endpoint["EndpointStatus"] == "Failed"
    assert endpoint["FailureReason"].startswith(
        "The primary container for production variant AllTraffic did not pass the ping health check"
    )
    assert "ValueError: the forest has no trees" in endpoint["FailureReason"]
    with pytest.raises(ClientError, match="not found"):
        invoke(account, name)
    with pytest.raises(ClientError, match="with status Failed"):
        account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)


def _archive(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b""))
    return buffer.getvalue()


def _link() -> tarfile.TarInfo:
    member = tarfile.TarInfo("model.pkl")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no archive", "valid tar.gz archive"),
        (_archive(_link()), "'model.pkl' is a link or a device"),
        (_archive(tarfile.TarInfo("../escape")), "'../escape' lies outside of the archive"),
        (_archive(tarfile.TarInfo("/tmp/escape")), "'/tmp/escape' lies outside of the archive"),
    ],
    # An archive holds the time it was made at: as part of the id, each process names another test.
    ids=["no archive", "link", "relative path outside", "absolute path"],
)
def test_an_archive_that_cannot_be_unpacked_fails_the_endpoint(
    serving_account: Any, body: bytes, why: str
) -> None:
    account = serving_account
    url = account.put_object(f"{uuid.uuid4().hex}.tar.gz", body)
    name = account.create_endpoint(account.create_config(url))
    endpoint = account.sagemaker.describe_endpoint(EndpointName=name)

    assert endpoint["EndpointStatus"] == "Failed"
    assert "Failed to extract model data archive" in endpoint["FailureReason"]
    assert why in endpoint["FailureReason"]


def test_an_archive_that_went_away_fails_the_endpoint(serving_account: Any) -> None:
    account = serving_account
    url = account.put_archive("vanished")
    config = account.create_config(url)
    account.s3.delete_object(Bucket=account.bucket, Key=url.rpartition("/")[2])
    name = account.create_endpoint(config)

    reason = account.sagemaker.describe_endpoint(EndpointName=name)["FailureReason"]
    assert f'from URL: "{url}". Please ensure that there is an object' in reason


def test_a_server_that_dies_is_restarted(serving_account: Any, until: Callable[..., Any]) -> None:
    account = serving_account
    name = account.create_endpoint(account.create_config(account.put_archive("phoenix")))

    with pytest.raises(ClientError, match="no answer from the model server"):
        invoke(account, name, b"die")

    def answered() -> dict[str, Any] | None:
        try:
            return invoke(account, name)
        except ClientError:
            return None

    assert until(answered)["name"] == "phoenix"
    assert account.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"


def test_a_server_that_cannot_be_restarted_fails_the_endpoint(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    account = serving_account
    url = account.put_archive("mortal", mode="crash-once-dead")
    name = account.create_endpoint(account.create_config(url))
    with pytest.raises(ClientError):
        invoke(account, name, b"die")

    def failed() -> dict[str, Any] | None:
        endpoint = account.sagemaker.describe_endpoint(EndpointName=name)
        return endpoint if endpoint["EndpointStatus"] == "Failed" else None

    assert "ValueError: dead for good" in until(failed)["FailureReason"]
    with pytest.raises(ClientError, match=r"(?s)has failed: .*dead for good"):
        invoke(account, name)

    config = account.create_config(account.put_archive("successor"))
    account.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    assert account.settled(name)["EndpointStatus"] == "InService"
    assert invoke(account, name)["name"] == "successor"


def test_deleting_ends_the_server(serving_account: Any, until: Callable[..., Any]) -> None:
    account = serving_account
    name = account.create_endpoint(account.create_config(account.put_archive("doomed")))
    account.sagemaker.delete_endpoint(EndpointName=name)

    def gone() -> bool:
        listed = account.sagemaker.list_endpoints(NameContains=name)
        return listed["Endpoints"] == []

    assert until(gone)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        account.sagemaker.describe_endpoint(EndpointName=name)
    assert "doomed" not in _served_models()


def test_deleting_gives_up_an_endpoint_that_is_being_made(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    account = serving_account
    name = f"e-{uuid.uuid4().hex[:12]}"
    config = account.create_config(account.put_archive("sickly", mode="sick"))
    account.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert account.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    account.sagemaker.delete_endpoint(EndpointName=name)

    assert until(lambda: not account.sagemaker.list_endpoints(NameContains=name)["Endpoints"])
    assert "sickly" not in _served_models()


def test_closing_the_gateway_leaves_no_server(serving_account: Any, tmp_path: Path) -> None:
    images = serving_account.gateway._services[0]._images
    gateway = Gateway(tmp_path, lambda own: [Endpoints(own, images)]).start()
    other = type(serving_account)(gateway, serving_account.clock)
    name = other.create_endpoint(other.create_config(other.put_archive("orphan")))
    assert other.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    assert "orphan" in _served_models()

    gateway.close()

    assert "orphan" not in _served_models()


def test_serverless_endpoint_serves_within_its_body_limit(serving_account: Any) -> None:
    account = serving_account
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    config = account.create_config(
        account.put_archive("serverless"), variant={"ServerlessConfig": serverless}
    )
    described = account.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    assert described["ProductionVariants"][0]["ServerlessConfig"] == serverless
    name = account.create_endpoint(config)

    (variant,) = account.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == serverless
    assert invoke(account, name)["name"] == "serverless"
    with pytest.raises(ClientError, match="exceeded 4194304 bytes"):
        invoke(account, name, b"x" * (4 * 1024 * 1024 + 1))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": {"EnableNetworkIsolation": True}}, "support EnableNetworkIsolation"),
        ({"variant": {"InstanceType": "ml.m5.huge", "InitialInstanceCount": 1}}, "ml.m5.huge"),
        ({"variant": {"InitialVariantWeight": 1}}, "either an InstanceType or a ServerlessConfig"),
        (
            {"variant": {"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}}},
            "Memory size 1500 MB is not supported",
        ),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/p"}}},
            "does not support AsyncInferenceConfig",
        ),
        (
            {"ShadowProductionVariants": [{"VariantName": "shadow", "ModelName": "m"}]},
            "does not support ShadowProductionVariants",
        ),
    ],
)
def test_a_definition_that_cannot_be_served_is_refused_by_name(
    serving_account: Any, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ClientError, match=problem):
        serving_account.create_config(serving_account.put_archive("refused"), **changes)


def test_two_variants_of_one_endpoint_are_refused(serving_account: Any) -> None:
    account = serving_account
    name = account.create_config(account.put_archive("both"))
    variants = [
        {"VariantName": v, "ModelName": name, "InstanceType": "ml.m5.large"} for v in ("a", "b")
    ]
    with pytest.raises(ClientError, match="does not support 2 production variants"):
        account.sagemaker.create_endpoint_config(
            EndpointConfigName=f"{name}-2", ProductionVariants=variants
        )


def test_definitions_are_described_as_given_and_not_overwritten(serving_account: Any) -> None:
    account = serving_account
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    name = account.create_config(
        account.put_archive("described"), model={"VpcConfig": vpc}, KmsKeyId="key-1"
    )
    model = account.sagemaker.describe_model(ModelName=name)
    assert (model["VpcConfig"], model["EnableNetworkIsolation"]) == (vpc, False)
    config = account.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert config["KmsKeyId"] == "key-1"
    assert name in {m["ModelName"] for m in account.sagemaker.list_models()["Models"]}
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        account.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=account.role_arn,
            PrimaryContainer={"Image": account.image_uri},
        )

    account.sagemaker.delete_endpoint_config(EndpointConfigName=name)
    account.sagemaker.delete_model(ModelName=name)
    with pytest.raises(ClientError, match=f'Could not find model ".*model/{name}"'):
        account.sagemaker.describe_model(ModelName=name)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ExecutionRoleArn": "arn:aws:iam::123456789012:role/nobody"}, "does not exist"),
        ({"PrimaryContainer": {"Image": "nginx"}}, "cannot run the image nginx"),
        ({"PrimaryContainer": {}}, "must have an Image"),
        ({"Containers": [{}, {}], "PrimaryContainer": None}, "inference pipelines"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused(
    serving_account: Any, changes: dict[str, Any], problem: str
) -> None:
    request = {
        "ModelName": f"m-{uuid.uuid4().hex[:12]}",
        "ExecutionRoleArn": serving_account.role_arn,
        "PrimaryContainer": {"Image": serving_account.image_uri},
        **changes,
    }
    with pytest.raises(ClientError, match=problem):
        serving_account.sagemaker.create_model(
            **{key: value for key, value in request.items() if value is not None}
        )


def test_captured_requests_and_answers_are_in_s3(
    serving_account: Any, until: Callable[..., Any]
) -> None:
    account = serving_account
    config = account.create_config(
        account.put_archive("captured"),
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{account.bucket}/captures",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        },
    )
    name = account.create_endpoint(config)
    described = account.sagemaker.describe_endpoint(EndpointName=name)["DataCaptureConfig"]
    assert described["CaptureStatus"] == "Started"
    invoke(account, name, b"1,2", ContentType="text/csv", InferenceId="row-1")

    prefix = f"captures/{name}/AllTraffic/"

    def objects() -> list[dict[str, Any]]:
        listed = account.s3.list_objects_v2(Bucket=account.bucket, Prefix=prefix)
        return listed.get("Contents", [])  # type: ignore[no-any-return]

    (written,) = until(objects)
    body = account.s3.get_object(Bucket=account.bucket, Key=written["Key"])["Body"].read()
    (line,) = body.decode().splitlines()
    captured = json.loads(line)
    assert captured["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "1,2",
        "encoding": "CSV",
    }
    assert captured["captureData"]["endpointOutput"]["encoding"] == "BASE64"
    assert captured["eventMetadata"]["inferenceId"] == "row-1"


def test_what_no_update_does_here_is_refused_by_name(serving_account: Any, served: str) -> None:
    account = serving_account
    config = account.create_config(account.put_archive("gradual"))
    update = {"EndpointName": served, "EndpointConfigName": config}
    batch = {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 1}
    with pytest.raises(ClientError, match="does not support RollingUpdatePolicy"):
        account.sagemaker.update_endpoint(**update, DeploymentConfig={"RollingUpdatePolicy": batch})
    with pytest.raises(ClientError, match="does not support RetainDeploymentConfig"):
        account.sagemaker.update_endpoint(**update, RetainDeploymentConfig=True)
    with pytest.raises(ClientError, match="UpdateEndpointWeightsAndCapacities"):
        account.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=served, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic"}]
        )


def test_any_boto3_session_can_invoke(serving_account: Any, served: str) -> None:
    client = stranger(serving_account.gateway, "sagemaker-runtime")
    answer = client.invoke_endpoint(EndpointName=served, Body=b"abc")
    assert json.loads(answer["Body"].read())["length"] == 3


def _served_models() -> str:
    """The command lines of processes that run a stand-in server, and the archives they serve."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"serve.py" in (folder / "cmdline").read_bytes():
                script = folder / "root/opt/ml/model/serve.py"
                found.append(script.read_text())
        except OSError:
            continue
    return "\n".join(found)
