"""What `local-aws env` prints, evaluated by real shells over another account's environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from local_aws.shell import OTHER_ACCOUNTS, path_line, shell_lines, without_proxy

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh") if shutil.which(shell)]
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
    "AWS_ACCESS_KEY_ID": "it's",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:5001",
}


def evaluated(shell: str, lines: str, before: dict[str, str]) -> dict[str, str]:
    show = f"{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    done = subprocess.run(
        [shutil.which(shell), "-ec", f'eval "$LINES_TO_EVALUATE"; {show}'],
        env={"PATH": "/usr/bin:/bin", "LINES_TO_EVALUATE": lines, **before},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_of_another_account_stays_in_force(shell):
    before = {
        **dict.fromkeys(OTHER_ACCOUNTS, "of before"),
        "AWS_ENDPOINT_URL_S3": "https://s3.amazonaws.com",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": "https://elsewhere",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "MLFLOW_REGISTRY_URI": "https://registry.of.the.team",
        "AWS_CONFIG_FILE": "/a/file",
        "NO_PROXY": "intranet",
    }
    lines = "\n".join(shell_lines(ENVIRONMENT, before))

    after = evaluated(shell, lines, before)

    there = {k: v for k, v in after.items() if k.startswith(("AWS_", "MLFLOW_")) or "PROXY" in k}
    assert there == {
        **ENVIRONMENT,
        "AWS_CONFIG_FILE": "/a/file",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "NO_PROXY": "intranet,127.0.0.1,localhost",
    }
    assert after["no_proxy"] == "intranet,127.0.0.1,localhost"
    assert evaluated(shell, "\n".join(shell_lines(ENVIRONMENT, after)), after) == {
        **after,
        "LINES_TO_EVALUATE": "\n".join(shell_lines(ENVIRONMENT, after)),
    }


def test_a_registry_that_local_aws_did_not_start_stays():
    (first, *_) = shell_lines({"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}, {})

    assert "MLFLOW" not in first


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "*"}, "*"),
        ({"no_proxy": "a, localhost"}, "a,localhost,127.0.0.1"),
    ],
)
def test_what_no_proxy_named_it_names_still(before, expected):
    assert without_proxy(before) == {"NO_PROXY": expected, "no_proxy": expected}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_programs_beside_it_are_found_after_those_of_before(shell, tmp_path):
    programs = tmp_path / "it's here"
    programs.mkdir()
    (programs / "local-aws").touch()
    (line,) = path_line(programs, {"PATH": "/usr/bin:/bin"})
    assert evaluated(shell, line, {})["PATH"] == f"/usr/bin:/bin:{programs}"


def test_a_path_that_has_them_and_a_folder_that_does_not_are_left_alone(tmp_path):
    assert list(path_line(tmp_path, {"PATH": "/bin"})) == []
    (tmp_path / "local-aws").touch()
    assert list(path_line(tmp_path, {"PATH": f"/bin:{tmp_path}"})) == []
