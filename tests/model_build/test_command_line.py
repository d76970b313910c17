"""Both commands: help without delay, input checked before anything is uploaded, real executions."""

from __future__ import annotations

import http.server
import inspect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from model_build import command_line, get_pipeline_definition, run_pipeline
from model_build.errors import ConfigError
from model_deploy import command_line as deploy_command_line

from .conftest import KEYWORDS

HEAVY = ("boto3", "botocore", "sagemaker", "mlflow", "pandas", "sklearn", "rich")


@pytest.mark.parametrize("module", ["run_pipeline", "get_pipeline_definition"])
def test_help_imports_nothing_heavy(module: str) -> None:
    script = (
        f"import sys\nfrom model_build import {module} as command\n"
        "try:\n    command.main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"
    assert "--module-name" in done.stdout


def test_every_flag_says_its_default() -> None:
    for parser in (run_pipeline.build_parser(), get_pipeline_definition.build_parser()):
        for action in parser._actions:
            if action.dest not in ("help", "no_wait"):
                assert "default:" in (action.help or ""), action.option_strings


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Git repository with one commit, whose model_build the package is taken to be."""
    for name in ("model_build/pipeline.py", "model_deploy/deploy.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1\n")
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    for words in (
        ("init", "--quiet"),
        ("add", "."),
        ("-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "--message=First"),
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(command_line, "__file__", str(tmp_path / "model_build" / "any.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("path", "dirty"),
    [
        (None, False),
        # Where the README has a table put, and what Python writes.
        ("prices.csv", False),
        ("model_build/pipeline.pyc", False),
        ("model_deploy/deploy.json", True),
        ("model_build/pipeline.py", True),
        ("model_build/steps.py", True),
    ],
)
def test_a_commit_is_dirty_by_what_the_pipeline_may_be_made_of(
    checkout: Path, path: str | None, dirty: bool
) -> None:
    if path:
        (checkout / path).write_text("2\n")

    commit = command_line.find_source_commit({}) or ""

    assert len(commit.removesuffix("-dirty")) == 40
    assert commit.endswith("-dirty") == dirty


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "__file__", str(tmp_path / "any.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert command_line.find_source_commit({}) is None


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Run:
    """run-pipeline with these words; its exit code and what it told."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.invalid")
    monkeypatch.setenv("SAGEMAKER_VALIDATE_ROLE", "false")

    def run_it(*words: str) -> tuple[int, str]:
        with caplog.at_level("INFO"):
            code = run_pipeline.main(list(words))
        return code, "\n".join(
            record.getMessage() for record in caplog.records if "model_build" in record.name
        )

    return run_it


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--kwargs", "{'role': 'x'}"], "--kwargs: not JSON: .*quotes must be double"),
        (["--kwargs", "[1]"], "--kwargs: .* is no JSON object"),
        (["--tags", '{"a": "b"}'], "--tags: .* is no list"),
        (["--parameters", "NEstimators"], "--parameters: 'NEstimators' is no NAME=VALUE"),
        (["--module-name", "model_build.nowhere"], "there is no module 'model_build.nowhere'"),
        (["--module-name", "model_build.errors"], "model_build.errors has no function get_p"),
        (["--kwargs", '{"buckets": "x"}'], r"get_pipeline\(\) has no keyword 'buckets'; it has"),
        ([], 'role is missing; pass --role-arn, put "role" into --kwargs, or set SAGEMAKER'),
        ([], 'bucket is missing; put "bucket" into --kwargs, or set ARTIFACT_BUCKET'),
    ],
)
def test_wrong_words_give_one_error(run: Run, words: list[str], expected: str) -> None:
    import re

    code, told = run(*words)
    assert code == 2
    assert re.search(expected, told), told


@pytest.mark.parametrize(
    ("keywords", "parameters", "expected"),
    [
        (
            {},
            ["NEstimators=abc", "Trees=5", "TestSize=2"],
            "3 problems\n.*NEstimators='abc' is no whole number\n.*no parameter 'Trees'; .*\n"
            ".*TestSize='2' won't do; give a fraction between 0 and 1",
        ),
        (
            {"subnets": "subnet-1", "kms_key": 5},
            [],
            "2 problems\n.*subnets without security_group_ids.*\n.*kms_key is 5",
        ),
        ({"mlflow_tracking_uri": "mlflow"}, [], "mlflow_tracking_uri is 'mlflow'"),
    ],
)
def test_wrong_values_are_found_before_anything_is_uploaded(
    run: Run, keywords: dict[str, Any], parameters: list[str], expected: str
) -> None:
    import re

    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="artifacts")
        words = ["--kwargs", json.dumps({**KEYWORDS, **keywords})]
        code, told = run(*words, *(["--parameters", *parameters] if parameters else []))
        assert s3.list_objects_v2(Bucket="artifacts")["KeyCount"] == 0
        assert boto3.client("sagemaker").list_pipelines()["PipelineSummaries"] == []
    assert code == 2
    assert re.search(expected, told), told


def test_both_units_tell_a_stale_shell_and_a_topic_in_the_same_way() -> None:
    for name in ("explain_stale_shell", "TopicHandler", "tell_topic"):
        here, there = (getattr(each, name) for each in (command_line, deploy_command_line))
        assert inspect.getsource(here) == inspect.getsource(there)


def test_credentials_of_an_earlier_local_aws_end_it_before_anything_is_compiled(run: Run) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", address)
            code, told = run("--kwargs", json.dumps(KEYWORDS))
        server.shutdown()
    assert code == 3
    assert "refuses the credentials (InvalidClientTokenId)" in told
    assert told.endswith('Type: eval "$(local-aws env)"')
    assert "compiling" not in told


class _Refuses(http.server.BaseHTTPRequestHandler):
    """As an AWS does that does not know who asks."""

    def do_POST(self) -> None:
        body = b"<R><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></R>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_stale_shell_ends_run_pipeline_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    code, told = run("--kwargs", json.dumps(KEYWORDS))
    assert code == 3
    assert "nothing answers at 127.0.0.1:9 (AWS_ENDPOINT_URL)" in told
    assert time.monotonic() - begun < 2


def test_missing_region_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    code, told = run()
    assert code == 2
    assert "AWS region: none is set; set AWS_REGION" in told


def test_missing_credentials_are_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, told = run("--kwargs", json.dumps(KEYWORDS))
    assert code == 3
    assert "no AWS credentials; set AWS_PROFILE or" in told


def test_bucket_that_is_not_there_is_an_error(run: Run) -> None:
    with mock_aws():
        code, told = run("--kwargs", json.dumps(KEYWORDS))
    assert code == 3
    assert "AWS refused to start the pipeline housing-build" in told
    assert "NoSuchBucket" in told


def test_a_login_that_cannot_be_had_is_an_error_before_anything_starts(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gone-a1b2c3"
    monkeypatch.setenv("MLFLOW_CREDENTIALS_SECRET", arn)
    with mock_aws():
        code, told = run("--kwargs", json.dumps(KEYWORDS))
        assert code == 3
        assert f"{arn} can't be read: ResourceNotFoundException" in told
        assert "passes --no-wait" in told
        assert not boto3.client("s3").list_buckets()["Buckets"]


def test_missing_tracking_uri_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with mock_aws():
        code, told = run("--kwargs", json.dumps(KEYWORDS))
    assert code == 2
    assert "MLflowTrackingURI has no value; set MLFLOW_TRACKING_URI or pass" in told


def test_definition_goes_to_a_file_without_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    monkeypatch.setenv("SAGEMAKER_PROJECT_NAME", "housing")
    monkeypatch.setenv("ARTIFACT_BUCKET", "artifacts")
    monkeypatch.setenv("SAGEMAKER_PIPELINE_ROLE_ARN", KEYWORDS["role"])
    monkeypatch.setenv("SAGEMAKER_JOB_ROLE_ARN", "arn:aws:iam::123456789012:role/TheirOwn")
    monkeypatch.setenv("SUBNET_IDS", "subnet-0a,subnet-0b")
    monkeypatch.setenv("SECURITY_GROUP_IDS", "sg-0c")
    monkeypatch.setenv("ARTIFACT_BUCKET_KMS_ID", "1234abcd-12ab-34cd-56ef-1234567890ab")
    monkeypatch.setenv("CODEBUILD_RESOLVED_SOURCE_VERSION", "0123abc")
    path = tmp_path / "definition.json"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK leaves a temporary folder behind
        assert get_pipeline_definition.main(["--file-name", str(path)]) == 0
        import gc

        gc.collect()
    text = path.read_text(encoding="utf-8")
    assert [step["Name"] for step in json.loads(text)["Steps"]] == [
        "PrepareData",
        "TrainEvaluateRegister",
    ]
    assert '"SOURCE_COMMIT": "0123abc"' in text
    for step in json.loads(text)["Steps"]:
        arguments = json.dumps(step["Arguments"])
        assert step["Arguments"]["RoleArn"] == "arn:aws:iam::123456789012:role/TheirOwn"
        assert '"Subnets": ["subnet-0a", "subnet-0b"]' in arguments
        assert '"SecurityGroupIds": ["sg-0c"]' in arguments
        assert "1234abcd-12ab-34cd-56ef-1234567890ab" in arguments
    assert "s3://artifacts/housing-build/code/" in text


def _keywords(environment: dict[str, str], **flags: str) -> dict[str, Any]:
    from argparse import Namespace

    def get_pipeline(role, subnets=(), security_group_ids=(), kms_key=None):  # type: ignore[no-untyped-def]
        raise AssertionError

    args = Namespace(module_name="m", kwargs=flags.pop("kwargs", "{}"), **flags)
    request = command_line.read_request(args, {"AWS_REGION": "us-east-1", **environment})
    return command_line.complete_keywords(request, get_pipeline)


def test_secret_of_the_login_comes_from_keywords_or_else_the_environment() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mlflow-client-a1b2c3"

    def secret(keywords: dict[str, Any], environment: dict[str, str]) -> str:
        request = command_line.BuildRequest(
            module_name="x",
            keywords=keywords,
            region="eu-west-1",
            environment=environment,
            role_arn=None,
            job_role_arn=None,
            tags=(),
        )
        return request.mlflow_credentials_secret

    assert secret({}, {"MLFLOW_CREDENTIALS_SECRET": arn}) == arn
    assert secret({"mlflow_credentials_secret": arn}, {"MLFLOW_CREDENTIALS_SECRET": "none"}) == arn
    assert secret({"mlflow_credentials_secret": "none"}, {"MLFLOW_CREDENTIALS_SECRET": arn}) == ""
    assert secret({}, {}) == ""


def test_jobs_have_the_pipelines_role_unless_theirs_is_named() -> None:
    both = {"SAGEMAKER_PIPELINE_ROLE_ARN": "pipeline", "SAGEMAKER_JOB_ROLE_ARN": "jobs"}
    assert _keywords(both)["role"] == "jobs"
    assert _keywords(both, role_arn="flag")["role"] == "jobs"
    assert _keywords(both, job_role_arn="flag")["role"] == "flag"
    assert _keywords(both, kwargs='{"role": "keyword"}')["role"] == "keyword"
    assert _keywords({"SAGEMAKER_PIPELINE_ROLE_ARN": "pipeline"})["role"] == "pipeline"
    assert _keywords({}, role_arn="flag")["role"] == "flag"


def test_network_and_key_come_from_the_environment_unless_they_are_empty() -> None:
    named = {
        "SAGEMAKER_PIPELINE_ROLE_ARN": "pipeline",
        "SUBNET_IDS": "subnet-1, subnet-2,",
        "SECURITY_GROUP_IDS": "sg-1",
        "ARTIFACT_BUCKET_KMS_ID": "key",
    }
    assert _keywords(named) == {
        "role": "pipeline",
        "subnets": ("subnet-1", "subnet-2"),
        "security_group_ids": ("sg-1",),
        "kms_key": "key",
    }
    empty = dict.fromkeys(named, "") | {"SAGEMAKER_PIPELINE_ROLE_ARN": "pipeline"}
    assert _keywords(empty) == {"role": "pipeline"}


def test_a_pipeline_does_not_run_under_its_jobs_role(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_JOB_ROLE_ARN", KEYWORDS["role"])
    code, told = run()
    assert code == 2
    assert "the pipeline has no role, only its jobs have (SAGEMAKER_JOB_ROLE_ARN); pass" in told


def test_definition_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "folder.json"
    with pytest.raises(ConfigError, match="No such file or directory") as caught:
        command_line.write_text(path, "{}", "--file-name")
    assert "--file-name" in str(caught.value)
    assert not list(tmp_path.iterdir())


MODULE = '''
"""A pipeline of one step that needs no job."""
import json
import boto3

class OneStep:
    name = "{name}"
    parameters = ()

    def upsert(self, role_arn, description, tags):
        definition = {{"Version": "2020-12-01", "Metadata": {{}}, "Parameters": []}}
        definition["Steps"] = {steps}
        boto3.client("sagemaker", region_name="us-east-1").create_pipeline(
            PipelineName=self.name, PipelineDefinition=json.dumps(definition), RoleArn=role_arn,
            ClientRequestToken="t" * 32,
        )

def get_pipeline(role):
    return OneStep()
'''


@pytest.fixture
def install_pipeline(
    gateway: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Make a module with such a pipeline; the words that run it."""
    for variable, value in gateway.own.credentials_environment(None).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it has the credentials of before
    monkeypatch.syspath_prepend(tmp_path)
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

    def install(name: str, steps: list[dict[str, Any]]) -> list[str]:
        iam = boto3.client("iam", region_name="us-east-1")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        module = MODULE.format(name=name, steps=repr(steps))
        (tmp_path / f"{name}_module.py").write_text(module, encoding="utf-8")
        return ["--module-name", f"{name}_module", "--role-arn", role["Arn"]]

    return install


def test_a_failed_execution_gives_its_reason_and_exit_code_1(
    run: Run, install_pipeline: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    fail = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "not today"}}
    code, told = run(*install_pipeline("fails", [fail]))
    assert code == 1
    assert "Stop failed: " in told
    assert "not today" in told
    assert capsys.readouterr().out == ""


def test_a_missed_gate_has_its_own_exit_code_and_is_written_to_the_file(
    run: Run,
    install_pipeline: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    told_by_job = "QualityGateNotMet: not good enough; nothing was registered; http://m/run"
    fail = {"Name": "Train", "Type": "Fail", "Arguments": {"ErrorMessage": told_by_job}}
    words = install_pipeline("misses", [fail])
    code, told = run(*words, "--output", str(tmp_path / "result.json"))
    assert code == 4
    assert "not registered: the quality gate was not met: not good enough\n" in told
    assert "http://m/run\n" in told
    assert capsys.readouterr().out == ""
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert ":pipeline/misses/execution/" in result.pop("pipeline_execution_arn")
    assert result == {
        "status": "GateNotMet",
        "reason": "not good enough",
        "run_url": "http://m/run",
    }


def test_each_exit_code_is_in_the_help() -> None:
    text = " ".join(run_pipeline.build_parser().format_help().split())
    assert "0 succeeded, 1 failed or stopped, 2 wrong input, 3 AWS or MLflow refused, 4 all" in text


def test_what_was_registered_starts_with_what_the_gate_compared() -> None:
    result = {
        "status": "Succeeded",
        "pipeline_execution_arn": "arn:execution",
        "model_name": "houses",
        "version": 3,
        "metrics": {"baseline_rmse": 61.25, "mean_absolute_error": 40.0, "rmse": 52.5},
        "gate_metric": "rmse",
        "gate_summary": "RMSE 52.5, R2 0.41; the mean alone 61.2",
        "data_warnings": ["3 rows are copies"],
        "url": "http://m/houses/3",
    }
    assert run_pipeline.describe_result(result) == [
        "Succeeded arn:execution",
        "registered houses version 3",
        "gate: RMSE 52.5, R2 0.41; the mean alone 61.2",
        "  rmse                           52.5",
        "  baseline_rmse                  61.25",
        "  mean_absolute_error            40",
        "  data: 3 rows are copies",
        "http://m/houses/3",
    ]


def test_an_error_is_marked_in_the_log_and_nothing_else_is() -> None:
    script = (
        "import logging\n"
        "from model_build import command_line\n"
        "command_line.set_up_logging()\n"
        "logging.getLogger('model_build.x').info('started')\n"
        "logging.getLogger('model_build.x').error('%s is wrong\\n  and more', 'this')\n"
        "logging.getLogger('other').warning('careful')\n"
        "logging.getLogger('other').info('never')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "started\nerror: this is wrong\n  and more\ncareful\n"


def test_a_succeeded_execution_is_reported_on_stdout_and_in_the_file(
    run: Run,
    install_pipeline: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    condition = {
        "Name": "Ask",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}],
            "IfSteps": [],
            "ElseSteps": [],
        },
    }
    words = install_pipeline("succeeds", [condition])
    code, told = run(*words, "--output", str(tmp_path / "result.json"))
    assert code == 0, told
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["status"] == "Succeeded"
    assert capsys.readouterr().out == f"Succeeded {result['pipeline_execution_arn']}\n"


def test_refusal_of_aws_gives_exit_code_3(
    run: Run, install_pipeline: Callable[..., list[str]]
) -> None:
    words = install_pipeline("refused", [{"Name": "x", "Type": "NoSuchType", "Arguments": {}}])
    code, told = run(*words)
    assert code == 3, told
    assert "AWS refused" in told
