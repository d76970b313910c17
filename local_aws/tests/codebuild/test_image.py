"""The environment that stands for CodeBuild's images."""

from __future__ import annotations

import re

import pytest

from local_aws.codebuild.image import check_image
from local_aws.containers.container import Isolation
from local_aws.errors import AwsError


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("aws/codebuild/amazonlinux-x86_64-standard:5.0", "LINUX_CONTAINER"),
        ("aws/codebuild/standard:6.0", "LINUX_CONTAINER"),
        ("aws/codebuild/standard:7.0-24.10.29", "LINUX_CONTAINER"),
        ("aws/codebuild/amazonlinux-aarch64-standard:3.0", "ARM_CONTAINER"),
    ],
)
def test_images_that_run(image, kind):
    check_image(image, kind)

    with pytest.raises(AwsError, match=f"Use {kind}"):
        check_image(image, "LINUX_GPU_CONTAINER")


def test_python_pip_and_home_are_the_builds_own(account, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "/a/folder")
    build = account.run(
        """
        version: 0.2
        env: {shell: bash}
        phases:
          build:
            commands:
              - python -c "import sys; print('prefix', sys.prefix, len(sys.path))"
              - python -c "import local_aws" 2>&1 | tail -1
              - python -m pip list --format freeze
              - pip config get global.find-links
              - python -m venv --without-pip .venv && .venv/bin/python --version
              - '[[ -w $HOME && -w $TMPDIR && ! -e /opt/ml ]] && echo home and tmp are here'
        """
    )
    lines = account.log(build).splitlines()

    assert build["buildStatus"] == "SUCCEEDED", lines
    assert any(re.match(r"prefix \S+/env \d", line) for line in lines)
    assert "ModuleNotFoundError: No module named 'local_aws'" in lines
    freeze = [line.partition("==")[0] for line in lines if re.match(r"\w+==", line)]
    assert freeze == ["pip", "uv"]
    assert "/a/folder" in lines
    assert "home and tmp are here" in lines


def test_without_mounts_the_real_folder_is_used_and_a_venv_above_it_is_not(tmp_path, make_account):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/pyvenv.cfg").touch()
    accounts = make_account(tmp_path / "state", isolation=Isolation.REWRITE)
    account = next(accounts)
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands: [uv pip freeze --verbose]
        """
    )
    log = account.log(build)
    next(accounts, None)

    assert build["buildStatus"] == "SUCCEEDED", log
    assert f"CODEBUILD_SRC_DIR={tmp_path}/state/builds/" in log
    assert f"{tmp_path}/.venv" not in log
