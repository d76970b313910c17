"""Clones and pushes, by the git that is on this machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time

import psutil
import pytest
import urllib3
from callers import basic_login

TRACE = {"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"}


@pytest.fixture
def pushed(hosting, work_tree):
    """Name of a repository whose main has one commit, pushed from work_tree as `origin`."""
    name = hosting.create()
    work_tree.commit(readme="one")
    work_tree("remote", "add", "origin", hosting.clone_url(name))
    work_tree("push", "--quiet", "origin", "main")
    return name


def test_what_was_pushed_is_cloned(hosting, pushed, work_tree, clone):
    copy = clone(hosting.clone_url(pushed))

    assert (copy.path / "readme").read_text() == "one"
    assert copy("rev-parse", "HEAD") == work_tree("rev-parse", "HEAD")


def test_an_empty_repository_is_cloned_and_gets_its_first_commit(hosting, clone):
    name = hosting.create()
    copy = clone(hosting.clone_url(name))
    commit = copy.commit(a="1")
    copy("push", "--quiet", "origin", "HEAD:main")

    branch = hosting.codecommit.get_branch(repositoryName=name, branchName="main")["branch"]
    assert branch == {"branchName": "main", "commitId": commit}


def test_a_second_push_moves_the_branch_and_is_fetched(hosting, pushed, work_tree, clone):
    copy = clone(hosting.clone_url(pushed))
    commit = work_tree.commit(readme="two")
    work_tree("push", "--quiet", "origin", "main")

    copy("pull", "--quiet", "--ff-only")
    assert copy("rev-parse", "HEAD") == commit


def test_a_push_that_is_not_a_fast_forward_is_rejected_by_git(hosting, pushed, work_tree, clone):
    copy = clone(hosting.clone_url(pushed))
    work_tree.commit(readme="mine")
    work_tree("push", "--quiet", "origin", "main")
    copy.commit(readme="theirs")
    before = len(hosting.told(pushed))

    assert "[rejected]" in copy("push", "origin", "main", fails=True)
    assert len(hosting.told(pushed)) == before

    copy("push", "--quiet", "--force", "origin", "main")
    assert hosting.told(pushed)[-1]["detail"]["event"] == "referenceUpdated"


def test_the_default_branch_cannot_be_deleted_by_a_push(pushed, work_tree):
    answer = work_tree("push", "origin", "--delete", "main", fails=True)

    assert "refusing to delete the current branch" in answer


def test_a_push_without_main_makes_its_branch_the_default(hosting, work_tree):
    name = hosting.create()
    work_tree.commit(a="1")
    work_tree("push", "--quiet", hosting.clone_url(name), "main:trunk")

    metadata = hosting.codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
    assert metadata["defaultBranch"] == "trunk"


def test_a_push_to_a_repository_that_does_not_exist_names_those_that_do(hosting, work_tree):
    there = hosting.create()
    work_tree.commit(a="1")

    answer = work_tree("push", hosting.clone_url("absent"), "main", fails=True)

    assert "no CodeCommit repository 'absent'; there are:" in answer
    assert there in answer
    assert "create-repository --repository-name absent" in answer


def test_a_deleted_repository_is_gone_for_git(hosting, pushed, work_tree):
    hosting.codecommit.delete_repository(repositoryName=pushed)

    assert f"no CodeCommit repository '{pushed}'" in work_tree("fetch", "origin", fails=True)


def test_a_large_push_comes_in_chunks(hosting, work_tree, clone):
    """Over http.postBuffer git does not know the length and sends chunks."""
    name = hosting.create()
    content = os.urandom(3_000_000)
    work_tree.commit(large=content)
    url = hosting.clone_url(name)

    traced = work_tree("-c", "http.postBuffer=65536", "push", "--quiet", url, "main", **TRACE)

    assert "transfer-encoding: chunked" in traced.lower()
    assert (clone(url).path / "large").read_bytes() == content


def test_a_long_request_of_a_fetch_comes_compressed(hosting, work_tree, clone):
    """git gzips what it wants if that is more than 1024 bytes."""
    name = hosting.create()
    work_tree.commit(a="1")
    for number in range(30):
        commit = work_tree("commit-tree", "HEAD^{tree}", "-m", str(number))
        work_tree("branch", f"b{number}", commit)
    work_tree("push", "--quiet", "--all", hosting.clone_url(name))

    traced = work_tree("clone", hosting.clone_url(name), "copy", **TRACE)

    assert "content-encoding: gzip" in traced.lower()
    assert commit in work_tree("-C", "copy", "branch", "--remotes", "--format=%(objectname)")


def test_pushes_at_the_same_time_all_arrive_each_with_its_event(hosting, pushed, clone):
    trees = [clone(hosting.clone_url(pushed)) for number in range(4)]
    commits = {f"b{n}": tree.commit(**{f"file{n}": "x"}) for n, tree in enumerate(trees)}
    threads = [
        threading.Thread(target=tree, args=("push", "--quiet", "origin", f"HEAD:b{n}"))
        for n, tree in enumerate(trees)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    created = {
        event["detail"]["referenceName"]: event["detail"]["commitId"]
        for event in hosting.told(pushed)
        if event["detail"]["event"] == "referenceCreated"
    }
    assert {name: created.get(name) for name in commits} == commits


def test_events_of_pushes_to_one_branch_at_the_same_time_form_a_chain(hosting, pushed, clone):
    trees = [clone(hosting.clone_url(pushed)) for number in range(3)]
    for number, tree in enumerate(trees):
        tree.commit(**{f"file{number}": "x"})
    threads = [
        threading.Thread(
            target=tree,
            args=("push", "--quiet", "--force", "origin", "main"),
            kwargs={"fails": None},
        )
        for tree in trees
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    details = [event["detail"] for event in hosting.told(pushed)]
    assert len(details) > 1
    for former, later in itertools.pairwise(details):
        assert later["oldCommitId"] == former["commitId"]


def test_only_git_requests_are_answered(hosting, pushed):
    login = {"Authorization": basic_login(hosting.gateway, f"/v1/repos/{pushed}")}
    pool = urllib3.PoolManager(headers=login)
    for path in (f"{pushed}", f"{pushed}/HEAD", f"{pushed}/config", f"{pushed}/objects/info/packs"):
        answer = pool.request("GET", f"{hosting.url}/v1/repos/{path}")
        assert answer.status == 404
        assert "is for git: git clone" in answer.data.decode()
    answer = pool.request("GET", f"{hosting.clone_url(pushed)}/info/refs")
    assert answer.status == 403
    pool.clear()


def test_a_push_cut_off_on_its_way_changes_nothing(hosting, pushed):
    host, port = hosting.url.removeprefix("http://").split(":")
    before = len(hosting.told(pushed))
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/repos/{pushed}/git-receive-pack HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: {basic_login(hosting.gateway, f'/v1/repos/{pushed}')}\r\n"
            "Content-Type: application/x-git-receive-pack-request\r\n"
            "Content-Length: 1000\r\n\r\n0000".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1 << 16).decode()

    assert "400 Bad Request" in answer.splitlines()[0]
    assert len(hosting.told(pushed)) == before


def test_a_client_that_leaves_in_the_middle_leaves_no_program_behind(hosting, work_tree):
    name = hosting.create()
    work_tree("config", "core.compression", "0")
    commit = work_tree.commit(large=os.urandom(12_000_000))
    work_tree("push", "--quiet", hosting.clone_url(name), "main")
    host, port = hosting.url.removeprefix("http://").split(":")
    body = f"0032want {commit}\n00000009done\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/repos/{name}/git-upload-pack HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: {basic_login(hosting.gateway, f'/v1/repos/{name}')}\r\n"
            "Content-Type: application/x-git-upload-pack-request\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert b"200 OK" in connection.recv(100)
        assert _running_backends()

    deadline = time.monotonic() + 10
    while _running_backends() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running_backends()


def _running_backends():
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child.pid] if "http-backend" in " ".join(child.cmdline()) else []
    return found


def test_where_git_is_missing_the_server_says_so(hosting, pushed, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    login = {"Authorization": basic_login(hosting.gateway, f"/v1/repos/{pushed}")}
    pool = urllib3.PoolManager(headers=login)
    answer = pool.request("GET", f"{hosting.clone_url(pushed)}/info/refs?service=git-upload-pack")
    pool.clear()

    assert answer.status == 500
    assert answer.data == (
        b"local_aws: no git on PATH: repositories need it. Install git (2.31 or later).\n"
    )
