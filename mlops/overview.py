"""`mlops` alone: what there is, and the next step that fits what it finds."""

from __future__ import annotations

import argparse
import os

from mlops.errors import MlopsError
from mlops.hints import as_typed


def show(args: argparse.Namespace) -> int:
    """Print both; never fails, as a look at AWS that fails has a next step too."""
    print(f"{as_typed(args.groups)}\n\nnext: {as_typed(next_step())}")
    return 0


def next_step() -> str:
    """By what the environment and the account say."""
    from botocore.exceptions import BotoCoreError, ClientError

    from mlops.account import LOG_IN, RUNNING, USE_LOCAL, open_account, say_which

    named = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & os.environ.keys()
    if not named and RUNNING.is_file():
        return f"a local-aws runs in this folder. Type: {USE_LOCAL}"
    try:
        account = open_account(None, None)
    except MlopsError as err:
        if named:
            return str(err)
        return f"`mlops demo`, on this machine; on AWS run {LOG_IN}, then `mlops status`"
    say_which(account)
    try:
        return _in_account(account)
    except MlopsError as err:
        return str(err)
    except (BotoCoreError, ClientError) as err:
        return f"{err}"


def _in_account(account: object) -> str:
    from mlops.account import Account
    from mlops.platform.stacks import PLATFORM, find_stack
    from mlops.project.project_stack import find_projects, require_project
    from mlops.release.status import read_status

    assert isinstance(account, Account)
    projects = find_projects(account)
    if not projects:
        cloudformation = account.client("cloudformation")
        if not any(find_stack(cloudformation, kind.name) for kind in PLATFORM):
            size = "laptop" if account.is_local else "single-user"
            return f"mlops platform deploy --size {size}"
        return "mlops project deploy NAME"
    return str(read_status(account, require_project(account))["next"])
