"""The working tree's unit, pushed by git itself to repositories that are served."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest

from mlops.errors import CommandFailed, InputError
from local_aws.event_bus import EventBus
from local_aws.gateway import Gateway
from mlops.account import Account
from mlops.project.project_stack import ProjectStack
from mlops.project.push import push_unit
from local_aws.codecommit.service import Repositories

PROJECT_DIR = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    served = Gateway(
        tmp_path_factory.mktemp("repositories"), lambda own: [Repositories(own, EventBus(own))]
    ).start()
    yield served
    served.close()


@pytest.fixture
def account(repositories):
    return Account(repositories.own.credentials_environment(None))


@pytest.fixture
def stack(account):
    codecommit = account.client("codecommit")
    urls = [
        codecommit.create_repository(repositoryName=f"{unit}-{uuid.uuid4().hex[:8]}")
        for unit in ("modelbuild", "modeldeploy")
    ]
    build, deploy = (url["repositoryMetadata"]["cloneUrlHttp"] for url in urls)
    return ProjectStack(
        name="sagemaker-project-local",
        parameters={},
        outputs={"ModelBuildCloneUrl": build, "ModelDeployCloneUrl": deploy},
    )


def _git(*arguments, cwd=None):
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _cloned(url, folder):
    _git("clone", "--quiet", url, str(folder))
    return folder


def test_the_first_push_is_the_unit_as_it_is_in_the_working_tree(account, stack, tmp_path):
    pushed = push_unit(account, stack, "deploy", PROJECT_DIR, "Deploy version 3")

    clone = _cloned(stack.outputs["ModelDeployCloneUrl"], tmp_path / "clone")
    assert pushed.new
    assert _git("log", "--format=%H %s", cwd=clone) == f"{pushed.commit} Deploy version 3"
    assert (clone / "model_deploy/buildspec.yml").is_file()
    assert not (clone / "model_build").exists()


def test_an_unchanged_tree_is_not_committed_again(account, stack, tmp_path):
    first = push_unit(account, stack, "build", PROJECT_DIR)

    again = push_unit(account, stack, "build", PROJECT_DIR, "unused")

    assert not again.new
    assert (again.commit, again.message) == (
        first.commit,
        "Update modelbuild from the working tree",
    )


def test_what_is_gone_from_the_tree_is_gone_from_the_next_commit(account, stack, tmp_path):
    def add(folder):
        (folder / "left-over.txt").write_text("x")

    push_unit(account, stack, "deploy", PROJECT_DIR, "one", edit=add)
    push_unit(account, stack, "deploy", PROJECT_DIR, "two")

    clone = _cloned(stack.outputs["ModelDeployCloneUrl"], tmp_path / "clone")
    assert not (clone / "left-over.txt").exists()
    assert _git("log", "--format=%s", cwd=clone).splitlines() == ["two", "one"]


def test_behind_a_connection_the_first_push_makes_the_shared_repository(account, tmp_path):
    name = f"team/{uuid.uuid4().hex[:8]}"
    shared = ProjectStack(
        name="sagemaker-project-local",
        parameters={
            "ConnectionArn": "arn:aws:codeconnections:us-east-1:123456789012:connection/x",
            "ModelBuildRepository": name,
            "ModelDeployRepository": name,
        },
        outputs={},
    )

    push_unit(account, shared, "build", PROJECT_DIR)
    push_unit(account, shared, "deploy", PROJECT_DIR)

    url = f"{account.environment['AWS_ENDPOINT_URL']}/git/{name}.git"
    clone = _cloned(url, tmp_path / "clone")
    assert (clone / "model_build").is_dir()
    assert (clone / "model_deploy").is_dir()


def test_a_repository_that_is_gone_is_told_in_git_s_words(account, stack):
    gone = account.environment["AWS_ENDPOINT_URL"] + "/v1/repos/gone"
    stack = ProjectStack(name="n", parameters={}, outputs={"ModelDeployCloneUrl": gone})

    with pytest.raises(CommandFailed, match=r"`git ls-remote` failed:\n.*gone"):
        push_unit(account, stack, "deploy", PROJECT_DIR)


def test_outside_the_project_it_says_where_to_run_it(account, stack, tmp_path):
    with pytest.raises(InputError, match=r"holds no mlops/project/seed_repositories.py. Run this in the"):
        push_unit(account, stack, "deploy", tmp_path)


def test_the_commit_has_the_person_s_name_else_a_fallback(account, stack, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    project = tmp_path / "project"
    project.mkdir()
    _git("init", "--quiet", cwd=project)
    (project / "infra").symlink_to(PROJECT_DIR / "infra")
    push_unit(account, stack, "deploy", project)

    _git("config", "user.name", "Ada", cwd=project)
    _git("config", "user.email", "ada@example.com", cwd=project)
    push_unit(account, stack, "build", project)

    authors = [
        _git("log", "-1", "--format=%an <%ae>", cwd=_cloned(stack.outputs[url], tmp_path / url))
        for url in ("ModelDeployCloneUrl", "ModelBuildCloneUrl")
    ]
    assert authors == ["local-aws <local-aws@localhost>", "Ada <ada@example.com>"]
