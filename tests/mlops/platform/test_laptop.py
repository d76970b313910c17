"""The platform of a laptop: put up, used, taken down, and put up again."""

from __future__ import annotations

import json

import pytest

from mlops.cli import main
from mlops.errors import InputError
from mlops.platform.laptop import find_tracking_uri, require_local
from mlops.platform.stacks import LAPTOP, find_stack


def test_it_goes_as_a_whole_and_can_come_again(local_account, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    cloudformation = local_account.client("cloudformation")
    for _ in range(2):
        assert main(["platform", "deploy", "--size", "laptop", "--yes"]) == 0
        stack = find_stack(cloudformation, LAPTOP.name)
        assert stack is not None
        # As after the deployment of a project, whose template is too large for a request.
        local_account.client("s3").put_object(
            Bucket=stack.outputs["SourcesBucketName"], Key="templates/x.yml", Body=b"x"
        )
        capsys.readouterr()

        assert main(["platform", "teardown", "--yes", "--json"]) == 0

        told = json.loads(capsys.readouterr().out)
        assert (told["stacks"], told["deleted"]) == ([LAPTOP.name], True)
        assert find_stack(cloudformation, LAPTOP.name) is None


def test_in_a_real_account_it_is_refused(local_account):
    class Real:
        is_local = False

        def describe(self) -> str:
            return "account 111122223333, region eu-west-1"

    require_local(local_account)
    with pytest.raises(InputError, match="is for local-aws, and this is account 111122223333"):
        require_local(Real())


def test_without_any_mlflow_it_asks_which(local_account):
    assert find_tracking_uri(local_account, {"MLFLOW_TRACKING_URI": "http://m"}) == "http://m"
    with pytest.raises(InputError, match="which MLflow"):
        find_tracking_uri(local_account, {})
