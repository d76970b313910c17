"""infra/project/project.yml behind one connected repository for both units: what a push starts."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from mlops.account import Account
from mlops.display import Display
from mlops.project.deployment import ProjectOptions, deploy_project
from mlops.project.git import Git, login_settings
from tests.mlops.conftest import HOW


class Repository:
    """A clone of the connected repository, and which pipelines its pushes start."""

    def __init__(self, folder: Path, account: Account, stack) -> None:
        self._folder = folder
        self._codepipeline = account.client("codepipeline")
        self._pipelines = {unit: stack.pipeline_name(unit) for unit in ("build", "deploy")}
        self._seen = {unit: set() for unit in self._pipelines}
        url = f"{account.endpoint}/git/{stack.repository('build')}.git"
        folder.mkdir()
        self._git = Git(folder, login_settings(account, url))
        self._git.run("init", "--quiet", "--initial-branch", stack.branch)
        self._git.run("remote", "add", "origin", url)
        self.started_by()  # those that the pipelines' creation started, in vain

    def push(self, *paths: str) -> set[str]:
        """Change the files, commit, push; the units whose pipelines that started."""
        for path in paths:
            file = self._folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{time.time()}\n")
        self._git.run("add", "--all")
        identity = ("-c", "user.name=P", "-c", "user.email=p@example.com")
        self._git.run(*identity, "commit", "--quiet", "-m", "Change")
        self._git.run("push", "--quiet", "origin", "HEAD")
        return self.started_by()

    def started_by(self) -> set[str]:
        """The units with executions that are new; what runs of them is stopped."""
        time.sleep(0.5)  # for those that should not start
        started = set()
        for unit, name in self._pipelines.items():
            found = self._codepipeline.list_pipeline_executions(pipelineName=name)
            for execution in found["pipelineExecutionSummaries"]:
                identifier = execution["pipelineExecutionId"]
                if identifier in self._seen[unit]:
                    continue
                self._seen[unit].add(identifier)
                started.add(unit)
                # One that ended by itself meanwhile needs no stopping.
                ended = self._codepipeline.exceptions.PipelineExecutionNotStoppableException
                with contextlib.suppress(ended):
                    self._codepipeline.stop_pipeline_execution(
                        pipelineName=name, pipelineExecutionId=identifier, abandon=True
                    )
        return started


@pytest.fixture(scope="module")
def repository(platform, tmp_path_factory) -> Repository:
    options = ProjectOptions(connection=("team/housing",))
    project, _ = deploy_project(platform, "local", options, HOW, Display())
    folder = tmp_path_factory.mktemp("clone") / "housing"
    return Repository(folder, platform, project)


@pytest.mark.parametrize(
    ("paths", "started"),
    [
        (["model_build/pipeline.py", "model_deploy/build.py"], {"build", "deploy"}),
        (["model_deploy/deploy.json"], {"deploy"}),
        (["model_build/parameters.py"], {"build"}),
        (["requirements/model-build.txt"], {"build"}),
        (["requirements/model-deploy.txt"], {"deploy"}),
        (["docs/pipeline.md", "tests/model_build/test_x.py", "README.md"], set()),
    ],
)
def test_a_push_starts_the_pipelines_whose_files_it_touches(repository, paths, started):
    assert repository.push(*paths) == started
