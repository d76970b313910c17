"""git as a program, whoever runs it."""

from __future__ import annotations

import os
import sys

import pytest

from local_aws.codecommit.git import GitError, GitNotFound, find_http_backend, run_git
from local_aws.login import git_login


def test_the_output_is_what_git_printed(tmp_path):
    run_git("init", "--quiet", directory=tmp_path)
    blob = run_git("hash-object", "-w", "--stdin", directory=tmp_path, stdin=b"text").decode()

    assert run_git("cat-file", "blob", blob.strip(), directory=tmp_path) == b"text"


def test_a_failure_says_what_git_said(tmp_path):
    with pytest.raises(GitError) as caught:
        run_git("cat-file", "-t", "absent", directory=tmp_path)

    assert str(caught.value).startswith("git cat-file -t absent failed with 128: fatal: ")
    assert caught.value.git_exit_code == 128


def test_a_folder_that_is_gone_is_named(tmp_path):
    with pytest.raises(GitError) as caught:
        run_git("status", directory=tmp_path / "absent")

    assert str(caught.value) == f"git status: there is no folder {tmp_path / 'absent'}"


def test_configuration_and_variables_of_the_user_do_not_count(tmp_path, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[init]\n\tdefaultBranch = theirs\n[user]\n\tname = Eve\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "theirs.git"))
    folder = tmp_path / "own"
    folder.mkdir()

    run_git("init", "--quiet", directory=folder)

    assert (folder / ".git").is_dir()
    assert not (tmp_path / "theirs.git").exists()
    with pytest.raises(GitError):
        run_git("config", "user.name", directory=folder)


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(hosting, tmp_path, monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("no_proxy", "")

    own, url = hosting.gateway.own, hosting.clone_url(hosting.create())
    login = git_login(own, url, own.developer)
    run_git("clone", "--quiet", url, "copy", directory=tmp_path, environment=login)

    assert (tmp_path / "copy" / ".git").is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give folders away")
def test_a_repository_that_belongs_to_somebody_else_is_used(tmp_path):
    run_git("init", "--quiet", "--bare", ".", directory=tmp_path)
    os.chown(tmp_path, 12345, 12345)

    assert run_git("rev-parse", "--is-bare-repository", directory=tmp_path) == b"true\n"


def test_what_takes_too_long_is_ended(tmp_path):
    slow = f"!{sys.executable} -c 'import time; time.sleep(30)'"

    with pytest.raises(GitError, match=r"took longer than 0.3 s and was ended"):
        run_git("-c", f"alias.slow={slow}", "slow", directory=tmp_path, limit_seconds=0.3)


def test_without_git_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitNotFound) as caught:
        run_git("version")

    assert str(caught.value) == (
        "no git on PATH: repositories need it. Install git (2.31 or later)."
    )


def test_git_without_its_http_backend_is_named(tmp_path, monkeypatch):
    (tmp_path / "git").write_text(f"#!/bin/sh\necho {tmp_path}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitNotFound) as caught:
        find_http_backend()

    assert str(caught.value) == (
        f"no git-http-backend in {tmp_path}: git on this machine came without it, so nothing can "
        "be pushed or cloned. Install your system's full git package."
    )
