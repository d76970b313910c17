"""An account where nothing of the platform or a project is."""

from __future__ import annotations

import pytest

from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.overview import next_step
from mlops.project.deployment import ProjectOptions, deploy_project
from mlops.project.project_stack import require_project
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
