"""infra/project/project.yml behind one connected repository for both units: what a push starts."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from mlops.account import Account
from mlops.project.deployment import DeploymentOptions, deploy_project
from mlops.project.project_stack import require_project_stack
from local_aws.codecommit.git import run_git

PROJECT_DIR = Path(__file__).parents[3]


class Repository:
    """A clone of the connected repository, and which pipelines its pushes start."""

    def __init__(self, folder: Path, account: Account, stack) -> None:
        self._folder = folder
        self._codepipeline = account.client("codepipeline")
        self._pipelines = {unit: stack.pipeline_name(unit) for unit in ("build", "deploy")}
        self._seen = {unit: set() for unit in self._pipelines}
        url = stack.clone_url("build", account.environment["AWS_ENDPOINT_URL"])
        run_git("init", "--quiet", "--initial-branch", stack.branch, str(folder))
        run_git("remote", "add", "origin", url, directory=folder)
        self.started_by()  # those that the pipelines' creation started, in vain

    def push(self, *paths: str) -> set[str]:
        """Change the files, commit, push; the units whose pipelines that started."""
        for path in paths:
            file = self._folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{time.time()}\n")
        run_git("add", "--all", directory=self._folder)
        identity = ("-c", "user.name=P", "-c", "user.email=p@example.com")
        run_git(*identity, "commit", "--quiet", "-m", "Change", directory=self._folder)
        run_git("push", "--quiet", "origin", "HEAD", directory=self._folder)
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
def repository(account, tmp_path_factory) -> Repository:
    deploy_project(account, PROJECT_DIR, DeploymentOptions(connection=("team/housing",)))
    folder = tmp_path_factory.mktemp("clone") / "housing"
    return Repository(folder, account, require_project_stack(account))


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
