from __future__ import annotations

import pytest

from mlops.platform.doctor.checks.studio import check, judge_cors

_TAG = "sagemaker:projectS3TemplatesLocation"


@pytest.fixture
def studio(account):
    """studio(...): a domain and a bucket as docs/aws.md makes them, but for what is left out."""

    def make(*, domain_tag=True, cors=True, template=True, visible="true"):
        sagemaker, s3 = account.client("sagemaker"), account.client("s3")
        location = {"Key": _TAG, "Value": "s3://templates-bucket/templates/"}
        arn = sagemaker.create_domain(
            DomainName="team",
            AuthMode="IAM",
            DefaultUserSettings={"ExecutionRole": "arn:aws:iam::123456789012:role/studio"},
            SubnetIds=["subnet-0a"],
            VpcId="vpc-0a",
            Tags=[location] if domain_tag else [],
        )["DomainArn"]
        s3.create_bucket(
            Bucket="templates-bucket",
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        )
        if cors:
            rule = {
                "AllowedMethods": ["GET", "HEAD"],
                "AllowedOrigins": ["https://*.sagemaker.aws"],
                "AllowedHeaders": ["*"],
            }
            s3.put_bucket_cors(Bucket="templates-bucket", CORSConfiguration={"CORSRules": [rule]})
        if template:
            s3.put_object(
                Bucket="templates-bucket",
                Key="templates/mlflow-project.yml",
                Body=b"Resources: {}",
                Tagging=f"sagemaker:studio-visibility={visible}",
            )
        return arn

    return make


def test_what_the_documentation_makes_is_well(patient, studio):
    studio()
    [finding] = check(patient())
    assert (finding.status, finding.message) == (
        "ok",
        "Studio shows templates/mlflow-project.yml of templates-bucket",
    )


@pytest.mark.parametrize(
    ("fault", "words", "remedy"),
    [
        ({"cors": False}, "(CORS)", "aws s3api put-bucket-cors --bucket templates-bucket"),
        (
            {"visible": "false"},
            "lacks the tag sagemaker:studio-visibility=true",
            "aws s3api put-object-tagging --bucket templates-bucket "
            "--key templates/mlflow-project.yml",
        ),
        ({"template": False}, "no template in s3://templates-bucket/templates/", "aws s3 cp"),
    ],
)
def test_each_thing_that_is_missing_is_told(patient, studio, fault, words, remedy):
    studio(**fault)
    [finding] = [finding for finding in check(patient()) if finding.status == "failed"]
    assert words in finding.message
    assert remedy in finding.remedy


def test_a_domain_that_does_not_name_the_bucket_is_told(patient, studio):
    arn = studio(domain_tag=False)
    finding, shown = check(patient(template_bucket="templates-bucket"))
    assert finding.status == "failed"
    assert f"lacks the tag {_TAG}" in finding.message
    assert f"aws sagemaker add-tags --resource-arn {arn}" in finding.remedy
    assert shown.status == "ok"


def test_a_bucket_that_does_not_exist_is_told(patient):
    [finding] = check(patient(template_bucket="nowhere-bucket"))
    assert (finding.status, finding.remedy) == ("failed", "aws s3 mb s3://nowhere-bucket")


def test_without_studio_there_is_nothing_to_look_at(patient):
    [finding] = check(patient())
    assert finding.status == "skipped"
    assert "no Studio domain" in finding.message


@pytest.mark.parametrize(
    ("origin", "lets_in"),
    [
        ("*", True),
        ("https://*.sagemaker.aws", True),
        ("https://*.studio.eu-west-1.sagemaker.aws", True),
        ("https://example.com", False),
    ],
)
def test_origins_match_as_s3_matches_them(origin, lets_in):
    rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": [origin]}]
    assert bool(judge_cors("b", rules)) is not lets_in


def test_the_remedies_are_the_commands_of_the_documentation(patient, studio):
    from pathlib import Path

    document = " ".join((Path(__file__).parents[5] / "docs/aws.md").read_text().split())
    studio(cors=False, visible="false")
    for finding in check(patient()):
        documented = finding.remedy.replace("templates-bucket", "my-template-bucket")
        assert documented.replace(" \\ ", " ") in document.replace(" \\ ", " ")
