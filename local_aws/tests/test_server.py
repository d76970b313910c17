"""All of it, as `local-aws up` serves it."""

from __future__ import annotations

import os

import pytest
from moto.moto_api._internal import moto_api_backend

from local_aws.errors import UsageError
from local_aws.server import LocalAws


@pytest.fixture(autouse=True)
def _empty_account():
    moto_api_backend.reset()
    yield
    moto_api_backend.reset()


def test_the_state_folder_is_for_its_user_alone(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        with LocalAws(folder, mlflow=False) as served:
            served.own.client("codecommit").create_repository(repositoryName="r")
            served.own.client("s3").list_buckets()
            entries = [folder, *folder.rglob("*")]
            assert len(entries) > 5
            open_to_others = [path for path in entries if path.stat().st_mode & 0o077]
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)

    assert not open_to_others
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_account_that_runs_is_left_alone(tmp_path):
    with LocalAws(tmp_path / "state", mlflow=False) as served:
        with pytest.raises(UsageError), LocalAws(tmp_path / "state", mlflow=False):
            pass
        assert served.state.running() is not None
