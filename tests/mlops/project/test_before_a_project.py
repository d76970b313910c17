"""An account where nothing of the platform or a project is."""

from __future__ import annotations

import pytest

from mlops.cli import main
from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.overview import next_step
from mlops.project.deployment import ProjectOptions, deploy_project
from mlops.project.project_stack import find_projects, require_project
from tests.mlops.conftest import HOW


def test_a_command_that_needs_a_project_says_how_to_get_one(local_account):
    with pytest.raises(InputError, match=r"there is no project here yet. `mlops project deploy"):
        require_project(local_account)


def test_a_new_project_needs_a_name(local_account):
    with pytest.raises(InputError, match="a new project needs a name: `mlops project deploy NAME`"):
        deploy_project(local_account, None, ProjectOptions(), HOW, Display())


def test_without_a_platform_it_names_the_command_that_puts_one_up(local_account):
    with pytest.raises(DeploymentFailed) as failed:
        deploy_project(local_account, "local", ProjectOptions(), HOW, Display())
    assert "no parameter /sagemaker-mlflow/client-security-group-id, and 7 more." in str(
        failed.value
    )
    assert "`mlops platform deploy --size laptop` puts it up." in str(failed.value)


def test_the_next_step_is_the_platform(local_account):
    assert next_step() == "mlops platform deploy --size laptop"


def test_a_dry_run_deploys_no_platform(local_account, capsys):
    assert main(["project", "deploy", "local", "--dry-run"]) == 0
    assert next_step() == "mlops platform deploy --size laptop"


def test_on_this_machine_a_project_brings_the_platform_along(local_account, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["project", "deploy", "local", "--yes"]) == 0
    assert "first the platform: `mlops platform deploy --size laptop`" in capsys.readouterr().err
    assert [each.name for each in find_projects(local_account)] == ["local"]
    # Once it is there, it is left as it is.
    assert main(["project", "deploy", "local", "--yes"]) == 0
    assert "first the platform" not in capsys.readouterr().err
