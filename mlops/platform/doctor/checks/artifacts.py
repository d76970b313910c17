"""Where MLflow sends artifacts, and whether clients get there."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from mlops.account import error_code
from mlops.platform.doctor.finding import Finding, failed, ok, skipped
from mlops.platform.doctor.patient import CannotLook, Patient
from mlops.platform.doctor.refusal import is_denied
from mlops.platform.doctor.tracking import Login, read_login, real_client, require_uri

_ALLOW = (
    "attach the managed policy that `aws ssm get-parameter --name "
    "/sagemaker-mlflow/reader-policy-arn` names"
)


def check(patient: Patient) -> Iterator[Finding]:
    """New artifacts go to S3, and you reach the bucket, as clients do under their own roles."""
    uri = require_uri(patient)
    try:
        login = read_login(patient.account, patient.choices.environment)
    except CannotLook as err:
        raise CannotLook(skipped("no login for MLflow: see the check `mlflow`")) from err
    location = _newest_location(uri, login)
    finding = judge_location(location)
    if finding:
        yield finding
        return
    bucket = urlsplit(location).netloc
    try:
        patient.account.client("s3").head_bucket(Bucket=bucket)
    except ClientError as err:
        if error_code(err) not in ("404", "NoSuchBucket") and not is_denied(err):
            raise
        yield judge_refusal(bucket, missing=not is_denied(err))
        return
    yield ok(f"artifacts go to {location}, which you reach")


def _newest_location(uri: str, login: Login) -> str:
    """Where the newest experiment's artifacts go: the server's setting at that time."""
    with real_client(uri, login) as client:
        try:
            newest = client.search_experiments(max_results=1)
        except Exception as err:
            raise CannotLook(skipped("MLflow does not answer: see the check `mlflow`")) from err
    if not newest:
        raise CannotLook(skipped("MLflow shows no experiment that would name a location"))
    return str(newest[0].artifact_location)


def judge_location(location: str) -> Finding | None:
    """What is wrong with a location that is not in S3; None for one that is."""
    scheme = urlsplit(location).scheme
    if scheme == "s3":
        return None
    if scheme == "mlflow-artifacts":
        return skipped(f"artifacts go through MLflow itself ({location}): no bucket to reach")
    return failed(
        f"artifacts go to {location}: each client would write them on its own disk",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT=s3://... in the server's environment (`mlops platform deploy "
        "--stack mlflow`); experiments keep the location that they were made with",
    )


def judge_refusal(bucket: str, *, missing: bool) -> Finding:
    """HeadBucket says no more than "not there" and "not for you"."""
    if missing:
        return failed(
            f"MLflow sends artifacts to the bucket {bucket}, which does not exist",
            "`mlops platform deploy --stack mlflow`; what it held is lost unless it is restored",
        )
    return failed(f"you may not reach MLflow's artifacts in the bucket {bucket} (403)", _ALLOW)
