"""The command as people call it: exit codes, and what is said to whom."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

from mlops.account import Account, explained, open_session
from mlops.cli import build_parser, main
from mlops.errors import AwsRefused, InputError
from mlops.platform.stacks import find_stack

_ROOT = Path(__file__).parents[3]
PROJECT = {"SageMakerProjectName": "cli", "SageMakerProjectId": "p-cli"}


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[int, str, str]]:
    """run("status", "--json"): exit code, stdout, stderr with what is logged at its end."""

    def command(*arguments: str) -> tuple[int, str, str]:
        caplog.clear()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err + "".join(f"{each}\n" for each in caplog.messages)

    return command


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"stacks": {"project": PROJECT}}))
    return path


def test_each_flag_has_a_help_text_with_its_default() -> None:
    parser = build_parser()
    (commands,) = (each for each in parser._actions if each.choices and not each.option_strings)
    assert set(commands.choices) == {"deploy", "doctor", "status", "teardown"}
    for name, command in commands.choices.items():
        for action in command._actions:
            # The settings file is what one gives instead of --size, which tells the default.
            if action.dest not in ("help", "settings"):
                assert "default" in str(action.help), f"{name}: {action.option_strings}"


def test_it_runs_as_a_module_without_the_doctor_s_libraries() -> None:
    listed = "import sys, mlops.cli; mlops.cli.build_parser(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listed], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"mlflow", "sagemaker", "local_aws", "pandas"}


def test_a_dry_run_of_project_yml_leaves_nothing(
    local_account: Account, run: Callable[..., tuple[int, str, str]], settings: Path
) -> None:
    local_account.client("s3").create_bucket(Bucket="cli-templates")
    code, out, err = run(
        *("deploy", "--settings", str(settings), "--dry-run"),
        *("--template-bucket", "cli-templates"),
    )
    assert "account 123456789012, region us-east-1, as arn:" in err
    # What the account of local_aws lacks until `local-aws up` furnishes it.
    assert "no parameter /sagemaker-mlflow/tracking-uri yet" in out
    assert "ModelBuildPipeline" in out
    assert code == 0
    assert find_stack(local_account.client("cloudformation"), "sagemaker-project-cli") is None


def test_launch_role_s_change_set_is_real(local_account: Account) -> None:
    """launch-role.yml fits a request and needs no parameter of the store."""
    from mlops.platform.change_sets import ChangeRequest, computed_change_set
    from mlops.platform.templates import read_template

    request = ChangeRequest(
        stack_name="launch-role",
        template={"TemplateBody": read_template("launch-role.yml").body},
        parameters={
            "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
            "TemplateBucket": "templates",
        },
        tags={},
    )
    cloudformation = local_account.client("cloudformation")
    with computed_change_set(cloudformation, request, None, 0.05) as change_set:
        kinds = {change.resource_type for change in change_set.changes}
    assert kinds == {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}


def test_a_dry_run_goes_on_after_a_stack_that_is_refused(
    local_account: Account, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = run("deploy", "--size", "single-user", "--dry-run")
    assert "sagemaker-mlflow-network: no change set" in out  # local_aws has no EC2
    assert "error: AWS refused CreateChangeSet: ValidationError:" in err
    assert "sagemaker-mlflow-images: a new stack" in out
    assert "no parameter /sagemaker-mlflow/network/vpc-id yet; the stack " in out
    assert code == 3


def test_without_terminal_it_takes_yes_or_dry_run(
    local_account: Account,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for command in (("deploy", "--size", "team"), ("teardown",)):
        code, _, err = run(*command)
        assert code == 2
        assert "there is no terminal to ask on; " in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing is deployed in 123456789012, us-east-1 yet; say what to deploy by --size"),
        (("--size", "team", "--stack", "project"), "team.json has no stack project; add it there"),
        (("--settings", "none.json"), "can not read the settings none.json: No such file"),
        (("--size", "team", "--parameter", "network.Nat=two"), "network.Nat: 'two' is none of"),
        (("--size", "team", "--profile", "none"), "The config profile (none) could not be found"),
    ],
)
def test_wrong_input_is_exit_code_2_and_changes_nothing(
    local_account: Account,
    run: Callable[..., tuple[int, str, str]],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    code, out, err = run("deploy", "--yes", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert find_stack(local_account.client("cloudformation"), "sagemaker-mlflow-images") is None


def test_status_and_an_empty_teardown(
    local_account: Account, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run("status", "--json")
    assert (code, json.loads(out)["region"]) == (0, "us-east-1")
    code, out, _ = run("teardown", "--yes")
    assert (code, out) == (0, "none of the platform's stacks is there: nothing to take down\n")


def test_teardown_stops_at_a_project(
    local_account: Account, run: Callable[..., tuple[int, str, str]]
) -> None:
    cloudformation = local_account.client("cloudformation")
    for name in ("sagemaker-project-cli", "sagemaker-mlflow-network"):
        body = json.dumps({"Resources": {"One": {"Type": "AWS::SNS::Topic"}}})
        cloudformation.create_stack(StackName=name, TemplateBody=body)
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 0.05}
        )
    code, out, _ = run("teardown", "--dry-run")
    assert (code, "in the way: stack sagemaker-project-cli" in out) == (0, True)
    code, _, err = run("teardown", "--yes")
    assert code == 1
    assert "error: the platform is in use:\n  - stack sagemaker-project-cli" in err
    assert find_stack(cloudformation, "sagemaker-mlflow-network") is not None


def test_no_region_and_no_network_are_said_plainly(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    code, _, err = run("status", "--region", "eu-west-1")
    assert code == 3
    assert "error: AWS can not be reached: Could not connect to the endpoint URL" in err
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION")
    code, _, err = run("status")
    assert code == 2
    assert err.startswith("error: no AWS region is set; pass --region")


def test_the_region_is_that_of_aws_region_before_the_profile_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = us-west-2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert open_session(None, None).region_name == "eu-central-1"
    assert open_session("eu-west-1", None).region_name == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    assert open_session(None, None).region_name == "us-west-2"


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateChangeSet")


@pytest.mark.parametrize(
    ("err", "kind", "said"),
    [
        (
            refusal("ExpiredToken", "The security token included in the request is expired"),
            AwsRefused,
            "the AWS credentials have expired (The security token included in the request is "
            "expired); log in again",
        ),
        (
            refusal("InvalidClientTokenId", "The security token is invalid"),
            AwsRefused,
            "AWS does not know the credentials: InvalidClientTokenId: The security token is "
            "invalid; look at `aws sts get-caller-identity` and --profile",
        ),
        (
            refusal("AccessDenied", "User: x is not authorized to perform: iam:CreateRole on y"),
            AwsRefused,
            "AWS does not allow you iam:CreateRole: User: x is not authorized to perform: "
            "iam:CreateRole on y",
        ),
        (
            refusal("AccessDeniedException", "no"),
            AwsRefused,
            "AWS does not allow you CreateChangeSet: no",
        ),
        (
            refusal("Throttling", "Rate exceeded"),
            AwsRefused,
            "AWS refused CreateChangeSet: Throttling: Rate exceeded",
        ),
        (
            botocore.exceptions.NoCredentialsError(),
            AwsRefused,
            "no AWS credentials to sign requests with (Unable to locate credentials); run "
            "`aws sso login` or `aws configure`, and name a profile by --profile",
        ),
        (
            botocore.exceptions.ProfileNotFound(profile="mine"),
            InputError,
            "The config profile (mine) could not be found; `aws configure list-profiles` names "
            "those there are",
        ),
        (
            botocore.exceptions.WaiterError("StackDelete", "Max attempts exceeded", {}),
            AwsRefused,
            "AWS: Waiter StackDelete failed: Max attempts exceeded",
        ),
    ],
)
def test_what_aws_refuses_is_one_message(err: Any, kind: type[Exception], said: str) -> None:
    told = explained(err)
    assert (type(told), str(told)) == (kind, said)


def test_ctrl_c_ends_with_130(
    local_account: Account,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(boto3.session.Session, "__init__", interrupted)
    code, _, err = run("status")
    assert (code, err) == (130, "ended by Ctrl-C\n")


def test_documented_commands_are_understood() -> None:
    documents = [_ROOT / "README.md", *_ROOT.glob("docs/**/*.md"), *_ROOT.glob("infra/*.md")]
    found = [
        command
        for path in documents
        for command in re.findall(
            r"(?:mlops-infra|python -m infra) ((?:deploy|doctor|status|teardown)\b[^`\n|#;]*)",
            path.read_text().replace("\\\n", " "),
        )
    ]
    assert found
    parser = build_parser()
    for command in found:
        assert parser.parse_args(shlex.split(command)), command
