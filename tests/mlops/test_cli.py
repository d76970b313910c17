"""The command as people call it: exit codes, and what is said to whom."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

from mlops.account import Account, explained, open_session
from mlops.arguments import SIZES
from mlops.cli import build_parser, main
from mlops.errors import AwsRefused, InputError
from mlops.platform.command_line import STACKS
from mlops.platform.stacks import PLATFORM, find_stack

_ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[int, str, str]]:
    """run("platform", "status", "--json"): exit code, stdout, stderr and what is logged."""

    def command(*arguments: str) -> tuple[int, str, str]:
        caplog.clear()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err + "".join(f"{each}\n" for each in caplog.messages)

    return command


def commands_of(parser: argparse.ArgumentParser, name: str = "mlops") -> Iterator[Any]:
    """Each command that does something: its words, its parser."""
    groups = [each for each in parser._actions if isinstance(each.choices, dict)]
    if not groups:
        yield name, parser
    for word, command in (groups[0].choices if groups else {}).items():
        yield from commands_of(command, f"{name} {word}")


def test_these_are_the_commands() -> None:
    names = [name.removeprefix("mlops ") for name, _ in commands_of(build_parser())]
    assert names == [
        *(f"platform {each}" for each in ("deploy", "doctor", "status", "teardown")),
        *("project deploy", "project env"),
        *("train", "push", "pipeline", "approve", "reject", "schedule", "logs", "invoke"),
        *("release", "status", "demo"),
    ]


@pytest.mark.parametrize(("name", "command"), list(commands_of(build_parser())))
def test_each_has_a_help_text_for_each_flag_and_the_same_few_everywhere(
    name: str, command: argparse.ArgumentParser
) -> None:
    assert command.description
    flags = {flag for action in command._actions for flag in action.option_strings}
    assert {"--json", "--region", "--profile", "--log-level"} <= flags
    for action in command._actions:
        assert action.help, f"{name}: {action.option_strings or action.dest}"
    assert command.get_default("interrupted"), name


def test_the_stacks_and_sizes_named_on_the_command_line_are_those_there_are() -> None:
    assert tuple(kind.key for kind in PLATFORM) == STACKS
    assert set(SIZES) == {"laptop", "single-user", "team"}


def test_help_and_version_need_no_library_that_takes_time() -> None:
    listed = "import sys, mlops.cli; mlops.cli.build_parser(doctor=False); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listed], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"boto3", "botocore", "mlflow", "sagemaker", "local_aws", "pandas", "rich"}


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert re.fullmatch(r"mlops \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_the_shell_completes_commands_and_flags() -> None:
    def completed(line: str) -> list[str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("mlops")],
            env={
                **os.environ,
                "_ARGCOMPLETE": "1",
                "_ARGCOMPLETE_SHELL": "bash",
                "_ARGCOMPLETE_IFS": "\n",
                "COMP_LINE": line,
                "COMP_POINT": str(len(line)),
                "COMP_TYPE": "63",
                "_ARGCOMPLETE_STDOUT_FILENAME": "/dev/stdout",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        return [word.strip() for word in done.stdout.split("\n")]

    assert completed("mlops appr") == ["approve"]
    assert completed("mlops platform deploy --siz") == ["--size"]
    assert completed("mlops platform deploy --size l") == ["laptop"]


def test_launch_role_s_change_set_is_real(local_account: Account) -> None:
    """launch-role.yml fits a request and needs no parameter of the store."""
    from mlops.platform.change_sets import ChangeRequest, computed_change_set
    from mlops.platform.templates import read_template

    request = ChangeRequest(
        stack_name="launch-role",
        template={"TemplateBody": read_template("platform/launch-role.yml").body},
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
    code, out, err = run("platform", "deploy", "--size", "single-user", "--dry-run")
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
    for command in (
        ("platform", "deploy", "--size", "team"),
        ("platform", "teardown"),
        ("project", "deploy", "one"),
        ("demo",),
        ("release", "prices"),
    ):
        code, _, err = run(*command)
        assert code == 2
        assert "there is no terminal to ask on" in err
        assert "--yes" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing is deployed in 123456789012, us-east-1 yet; say what to deploy by --size"),
        (("--size", "team", "--stack", "laptop"), "team.json has no stack laptop; add it there"),
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
    code, out, err = run("platform", "deploy", "--yes", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert find_stack(local_account.client("cloudformation"), "sagemaker-mlflow-images") is None


def test_status_and_an_empty_teardown(
    local_account: Account, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run("platform", "status", "--json")
    assert (code, json.loads(out)["region"]) == (0, "us-east-1")
    code, out, _ = run("platform", "teardown", "--yes")
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
    code, out, _ = run("platform", "teardown", "--dry-run")
    assert (code, "in the way: stack sagemaker-project-cli" in out) == (0, True)
    code, _, err = run("platform", "teardown", "--yes")
    assert code == 1
    assert "error: the platform is in use:\n  - stack sagemaker-project-cli" in err
    assert find_stack(cloudformation, "sagemaker-mlflow-network") is not None


def test_no_region_and_no_network_are_said_plainly(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)
    code, _, err = run("platform", "status", "--region", "eu-west-1")
    assert code == 3
    assert "error: nothing answers at 127.0.0.1:9 (AWS_ENDPOINT_URL), where a local-aws was" in err
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION")
    code, _, err = run("platform", "status")
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
            "`aws configure`, or log in by the AWS CLI 2 (aws sso login), and name a profile by "
            "--profile",
        ),
        (
            botocore.exceptions.ProfileNotFound(profile="mine"),
            InputError,
            "The config profile (mine) could not be found; ~/.aws/config and ~/.aws/credentials "
            "name those there are",
        ),
        (
            botocore.exceptions.WaiterError("StackDelete", "Max attempts exceeded", {}),
            AwsRefused,
            "AWS: Waiter StackDelete failed: Max attempts exceeded",
        ),
    ],
)
def test_what_aws_refuses_is_one_message(
    err: Any, kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    told = explained(err)
    assert (type(told), str(told)) == (kind, said)


def test_credentials_of_an_earlier_local_aws_are_told_with_the_line_to_type(
    local_account: Account,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEARLIER")
    code, _, err = run("status")
    assert code == 3
    assert "AWS on this machine refuses the credentials (" in err
    assert err.endswith('Type: eval "$(local-aws env)"\n')


def test_ctrl_c_ends_with_130(
    local_account: Account,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(boto3.session.Session, "__init__", interrupted)
    code, _, err = run("platform", "status")
    assert (code, err) == (130, "ended by Ctrl-C; nothing was changed\n")


def test_documented_commands_are_understood() -> None:
    documents = [
        *(_ROOT / "README.md", _ROOT / "CONTRIBUTING.md"),
        *_ROOT.glob("docs/**/*.md"),
        *_ROOT.glob("infra/**/*.md"),
    ]
    words = "|".join(sorted({name.split()[1] for name, _ in commands_of(build_parser())}))
    found = [
        (path.name, command)
        for path in documents
        for command in re.findall(
            rf"(?:^|[`$ ])mlops ((?:{words})\b[^`\n|#;>&]*)",
            path.read_text().replace("\\\n", " "),
            re.MULTILINE,
        )
    ]
    assert len(found) > 20
    parser = build_parser()
    for name, command in found:
        # In running text a command often stands without what it needs.
        if re.search(r"\b(is|the|and|shows|alone|puts)\b", command):
            continue
        with pytest.raises(SystemExit) as done:
            parser.parse_args([*shlex.split(command, comments=True), "--help"])
        assert done.value.code == 0, f"{name}: mlops {command}"
