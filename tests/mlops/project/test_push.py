"""The working tree's unit, pushed by git itself to repositories that are served."""

from __future__ import annotations

import subprocess
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local_aws.codecommit.service import Repositories
from local_aws.event_bus import EventBus
from local_aws.gateway import Gateway
from mlops.errors import CommandFailed, InputError
from mlops.platform.stacks import DeployedStack
from mlops.project.git import Git, login_settings
from mlops.project.project_stack import ProjectStack
from mlops.project.push import push_unit, remote_url
from tests.mlops.conftest import account_of

PROJECT_DIR = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    served = Gateway(
        tmp_path_factory.mktemp("repositories"), lambda own: [Repositories(own, EventBus(own))]
    ).start()
    yield served
    served.close()


@pytest.fixture(scope="module")
def account(repositories):
    with account_of(repositories) as account:
        yield account


def project_of(parameters, outputs):
    """A project's stack as CloudFormation would describe it."""
    return ProjectStack(
        stack=DeployedStack(
            name="sagemaker-project-local",
            id="arn",
            status="CREATE_COMPLETE",
            status_reason="",
            changed_at=datetime.now(UTC),
            parameters={"SageMakerProjectName": "local", **parameters},
            outputs=outputs,
            tags={},
            termination_protection=False,
        )
    )


@pytest.fixture
def stack(account):
    codecommit = account.client("codecommit")
    urls = [
        codecommit.create_repository(repositoryName=f"{unit}-{uuid.uuid4().hex[:8]}")
        for unit in ("modelbuild", "modeldeploy")
    ]
    build, deploy = (url["repositoryMetadata"]["cloneUrlHttp"] for url in urls)
    return project_of({}, {"ModelBuildCloneUrl": build, "ModelDeployCloneUrl": deploy})


@pytest.fixture
def cloned(account, tmp_path):
    """cloned(url): a folder with the repository, fetched with the account's credentials."""

    def clone(url):
        folder = tmp_path / f"clone-{uuid.uuid4().hex[:8]}"
        Git(tmp_path, login_settings(account, url)).run("clone", "--quiet", url, str(folder))
        return folder

    return clone


def _git(*arguments, cwd=None):
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_first_push_is_the_unit_as_it_is_in_the_working_tree(account, stack, cloned):
    pushed = push_unit(account, stack, "deploy", PROJECT_DIR, "Deploy version 3")

    clone = cloned(stack.outputs["ModelDeployCloneUrl"])
    assert pushed.new
    assert _git("log", "--format=%H %s", cwd=clone) == f"{pushed.commit} Deploy version 3"
    assert (clone / "model_deploy/buildspec.yml").is_file()
    assert not (clone / "model_build").exists()


def test_an_unchanged_tree_is_not_committed_again(account, stack):
    first = push_unit(account, stack, "build", PROJECT_DIR)

    again = push_unit(account, stack, "build", PROJECT_DIR, "unused")

    assert not again.new
    assert (again.commit, again.message) == (
        first.commit,
        "Update modelbuild from the working tree",
    )


def test_what_is_gone_from_the_tree_is_gone_from_the_next_commit(account, stack, cloned):
    def add(folder):
        (folder / "left-over.txt").write_text("x")

    push_unit(account, stack, "deploy", PROJECT_DIR, "one", edit=add)
    push_unit(account, stack, "deploy", PROJECT_DIR, "two")

    clone = cloned(stack.outputs["ModelDeployCloneUrl"])
    assert not (clone / "left-over.txt").exists()
    assert _git("log", "--format=%s", cwd=clone).splitlines() == ["two", "one"]


@pytest.fixture
def tree(tmp_path):
    """A working tree of the project that has no commit and no remote yet."""
    folder = tmp_path / "project"
    folder.mkdir()
    _git("init", "--quiet", cwd=folder)
    for name in ("infra", "model_build", "model_deploy"):
        (folder / name).mkdir()
        (folder / name / "one.py").write_text("1\n")
    return folder


def test_behind_a_connection_the_remote_of_the_working_tree_is_pushed_to(account, tree, cloned):
    name = f"team/{uuid.uuid4().hex[:8]}"
    shared = project_of(
        {
            "ConnectionArn": "arn:aws:codeconnections:us-east-1:123456789012:connection/x",
            "ModelBuildRepository": name,
            "ModelDeployRepository": name,
        },
        {},
    )
    with pytest.raises(InputError, match=f"is {name}, .* Add it: git remote add modelbuild URL"):
        push_unit(account, shared, "build", tree)

    url = f"{account.endpoint}/git/{name}.git"
    _git("remote", "add", "team", url, cwd=tree)
    push_unit(account, shared, "build", tree)
    push_unit(account, shared, "deploy", tree)

    clone = cloned(url)
    assert (clone / "model_build").is_dir()
    assert (clone / "model_deploy").is_dir()


@pytest.mark.parametrize(
    "url", ["git@example.com:team/housing.git", "https://example.com/team/housing"]
)
def test_a_remote_is_known_in_any_form(tree, url):
    _git("remote", "add", "origin", "https://example.com/my-team/housing.git", cwd=tree)
    _git("remote", "add", "theirs", url, cwd=tree)
    project = project_of({"ConnectionArn": "arn", "ModelBuildRepository": "team/housing"}, {})

    assert remote_url(project, "build", tree) == url


def test_a_repository_that_is_gone_is_told_in_git_s_words(account):
    gone = account.endpoint + "/v1/repos/gone"
    stack = project_of({}, {"ModelDeployCloneUrl": gone})

    with pytest.raises(CommandFailed, match=r"git ls-remote failed:\n.*gone"):
        push_unit(account, stack, "deploy", PROJECT_DIR)


def test_outside_the_project_it_says_where_to_run_it(account, stack, tmp_path):
    with pytest.raises(InputError, match=r"holds no model_build/. Run this in the project's root"):
        push_unit(account, stack, "deploy", tmp_path)


def test_the_commit_has_the_person_s_name_else_a_fallback(
    account, stack, tree, cloned, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    push_unit(account, stack, "deploy", tree)

    _git("config", "user.name", "Ada", cwd=tree)
    _git("config", "user.email", "ada@example.com", cwd=tree)
    push_unit(account, stack, "build", tree)

    authors = [
        _git("log", "-1", "--format=%an <%ae>", cwd=cloned(stack.outputs[url]))
        for url in ("ModelDeployCloneUrl", "ModelBuildCloneUrl")
    ]
    assert authors == ["mlops <mlops@localhost>", "Ada <ada@example.com>"]


def test_only_codecommit_and_this_machine_get_the_account_s_login(account):
    (setting,) = [
        value
        for key, value in login_settings(account, account.endpoint + "/v1/repos/x").items()
        if key.endswith(".extraHeader")
    ]
    assert setting.startswith("Authorization: Basic ")
    codecommit = "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/x"
    assert login_settings(account, codecommit)
    for other in ("https://github.com/a/b.git", "https://git-codecommit.evil.example/x"):
        assert login_settings(account, other) == {}
    assert login_settings(account, "git@github.com:a/b.git") == {}
