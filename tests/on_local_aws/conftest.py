"""Accounts of local_aws as its own tests have them, each with the services that a module needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[2] / "local_aws/tests"


def _fixtures(part: str) -> Any:
    """The conftest.py of a part of the emulator's tests."""
    path = _TESTS / part / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"fixtures_of_{part or 'local_aws'}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


serving_account = _fixtures("").serving_account
make_account = _fixtures("codebuild").make_account
until = _fixtures("").until
phase = _fixtures("codebuild").phase
build_account = _fixtures("codebuild").account
stack_account = _fixtures("cloudformation").account


# Not for the session: another module's mock_aws() empties moto, which is one for the process.
_begin_with_an_empty_account = _fixtures("")._begin_with_an_empty_account
