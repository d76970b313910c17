"""Commits over CodeCommit's API, read back by git."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def repository(hosting):
    """Name of a repository with one commit on main, and that commit."""
    name = hosting.create()
    return name, hosting.commit(name, {"a": b"1", "src/b": b"2"})


def _refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_the_first_commit_of_an_empty_repository_makes_its_branch(hosting, clone):
    name = hosting.create()

    created = hosting.codecommit.create_commit(
        repositoryName=name,
        branchName="main",
        authorName="Grace",
        email="grace@example.com",
        commitMessage="Begin",
        putFiles=[
            {"filePath": "run.sh", "fileContent": b"echo\n", "fileMode": "EXECUTABLE"},
            {"filePath": "data/bytes", "fileContent": bytes(range(256))},
        ],
    )

    tree = clone(hosting.clone_url(name))
    assert tree("log", "--format=%H %an %ae %s") == (
        f"{created['commitId']} Grace grace@example.com Begin"
    )
    assert (tree.path / "data" / "bytes").read_bytes() == bytes(range(256))
    assert (tree.path / "run.sh").stat().st_mode & 0o100
    assert [one["absolutePath"] for one in created["filesAdded"]] == ["data/bytes", "run.sh"]
    assert created["treeId"] == tree("rev-parse", "HEAD^{tree}")


def test_one_commit_puts_moves_deletes_and_sets_modes(hosting, repository, clone):
    name, parent = repository

    created = hosting.codecommit.create_commit(
        repositoryName=name,
        branchName="main",
        parentCommitId=parent,
        putFiles=[
            {"filePath": "moved", "sourceFile": {"filePath": "src/b", "isMove": True}},
            {"filePath": "c", "fileContent": b"3"},
        ],
        deleteFiles=[],
        setFileModes=[{"filePath": "a", "fileMode": "EXECUTABLE"}],
    )

    tree = clone(hosting.clone_url(name))
    assert tree("ls-files", "--format=%(objectmode) %(path)").splitlines() == [
        "100755 a",
        "100644 c",
        "100644 moved",
    ]
    assert tree("rev-parse", "HEAD~1") == parent
    assert [one["absolutePath"] for one in created["filesUpdated"]] == ["a"]
    assert [one["absolutePath"] for one in created["filesDeleted"]] == ["src/b"]


def test_a_folder_that_lost_its_last_file_is_kept_if_asked(hosting, repository, clone):
    name, parent = repository

    hosting.codecommit.delete_file(
        repositoryName=name,
        branchName="main",
        filePath="src/b",
        parentCommitId=parent,
        keepEmptyFolders=True,
    )

    assert clone(hosting.clone_url(name))("ls-files").splitlines() == ["a", "src/.gitkeep"]


def test_put_file_commits_under_the_callers_name_by_default(hosting, repository, clone):
    name, parent = repository

    put = hosting.codecommit.put_file(
        repositoryName=name,
        branchName="main",
        fileContent=b"new",
        filePath="a",
        parentCommitId=parent,
        commitMessage="Renew a",
    )

    tree = clone(hosting.clone_url(name))
    assert tree("rev-parse", "HEAD", "HEAD:a").splitlines() == [put["commitId"], put["blobId"]]
    assert tree("log", "-1", "--format=%s") == "Renew a"
    caller = hosting.told(name)[-1]["detail"]["callerUserArn"]
    assert tree("log", "-1", "--format=%an") == caller.rpartition("/")[2]


def test_the_same_content_again_is_refused(hosting, repository):
    name, parent = repository
    arguments = {"repositoryName": name, "branchName": "main", "parentCommitId": parent}

    code, _ = _refused(hosting.codecommit.put_file, fileContent=b"1", filePath="a", **arguments)
    assert code == "SameFileContentException"

    code, _ = _refused(
        hosting.codecommit.create_commit,
        putFiles=[{"filePath": "a", "fileContent": b"1"}],
        **arguments,
    )
    assert code == "NoChangeException"


def test_the_parent_must_be_the_tip(hosting, repository):
    name, first = repository
    tip = hosting.commit(name, {"a": b"2"})
    arguments = {
        "repositoryName": name,
        "branchName": "main",
        "fileContent": b"x",
        "filePath": "a",
    }
    call = hosting.codecommit.put_file

    code, message = _refused(call, parentCommitId=first, **arguments)
    assert code == "ParentCommitIdOutdatedException"
    assert message == f"{first} is not the tip of branch main: {tip} is"
    assert _refused(call, **arguments)[0] == "ParentCommitIdRequiredException"
    code = "InvalidParentCommitIdException"
    assert _refused(call, parentCommitId="main", **arguments)[0] == code
    code = "ParentCommitDoesNotExistException"
    assert _refused(call, parentCommitId="0123456789" * 4, **arguments)[0] == code


def test_of_a_repository_with_commits_the_branch_must_exist(hosting, repository, work_tree):
    name, _ = repository
    url = hosting.clone_url(name)
    work_tree("pull", "--quiet", url, "main")
    work_tree("push", "--quiet", url, "main:refs/tags/v1")
    call = hosting.codecommit.put_file
    arguments = {"repositoryName": name, "fileContent": b"x", "filePath": "a"}

    assert _refused(call, branchName="absent", **arguments)[0] == "BranchDoesNotExistException"
    assert _refused(call, branchName="v1", **arguments)[0] == "BranchNameIsTagNameException"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "FileEntryRequiredException"),
        ({"putFiles": [{"filePath": "x"}]}, "SourceFileOrContentRequiredException"),
        (
            {"putFiles": [{"filePath": "../x", "fileContent": b""}]},
            "InvalidPathException",
        ),
        (
            {"putFiles": [{"filePath": ".git/config", "fileContent": b""}]},
            "InvalidPathException",
        ),
        (
            {"putFiles": [{"filePath": "x", "fileContent": b"", "sourceFile": {"filePath": "a"}}]},
            "FileContentAndSourceFileSpecifiedException",
        ),
        (
            {"putFiles": [{"filePath": f"f{n}", "fileContent": b""} for n in range(101)]},
            "MaximumFileEntriesExceededException",
        ),
        (
            {"putFiles": [{"filePath": "x", "fileContent": b"x" * (6 * 1024 * 1024 + 1)}]},
            "FileContentSizeLimitExceededException",
        ),
        (
            {"setFileModes": [{"filePath": "a", "fileMode": "SECRET"}]},
            "InvalidFileModeException",
        ),
        ({"deleteFiles": [{"filePath": "absent"}]}, "FileDoesNotExistException"),
    ],
)
def test_commits_that_cannot_be_made(hosting, repository, arguments, code):
    name, parent = repository
    before = len(hosting.told(name))

    assert (
        _refused(
            hosting.codecommit.create_commit,
            repositoryName=name,
            branchName="main",
            parentCommitId=parent,
            **arguments,
        )[0]
        == code
    )
    assert len(hosting.told(name)) == before
