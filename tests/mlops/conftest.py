"""Accounts of a running local_aws, as the command mlops sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from mlops.account import Account, open_account
from mlops.display import Display
from mlops.platform.commands import deploy_platform
from mlops.platform.deployment import DeployOptions
from mlops.platform.settings import read_settings, size_file, with_parameters
from tests.infra.conftest import project, render

__all__ = ["project", "render"]  # fixtures

HOW = DeployOptions(yes=True, delay_seconds=0.1)


@contextlib.contextmanager
def account_of(gateway: Any) -> Iterator[Account]:
    """It is what the environment names, as after `eval "$(local-aws env)"`."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in gateway.own.credentials_environment(None).items():
            environment.setenv(name, value)
        yield open_account(None, None)


@pytest.fixture(scope="module")
def local_account(gateway: Any) -> Iterator[Account]:
    """The gateway's account; one, as clients take time."""
    with account_of(gateway) as account:
        yield account


@pytest.fixture(scope="module")
def platform(local_account: Account) -> Account:
    """The account with what a project needs of the platform; nothing is at MLflow's address."""
    settings = read_settings(size_file("laptop"))
    settings = with_parameters(settings, ["laptop.TrackingUri=http://127.0.0.1:9"])
    deploy_platform(local_account, settings, ["laptop"], HOW, Display())
    return local_account
