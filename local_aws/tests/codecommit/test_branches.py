"""CodeCommit's branches, as boto3 meets them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def repository(hosting):
    """Name of a repository with one commit on main, and that commit."""
    name = hosting.create()
    return name, hosting.commit(name, {"a": b"1"})


def _refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_branches_are_created_listed_and_read(hosting, repository):
    name, commit = repository
    client = hosting.codecommit

    client.create_branch(repositoryName=name, branchName="feature/x", commitId=commit)

    assert client.list_branches(repositoryName=name)["branches"] == ["feature/x", "main"]
    branch = client.get_branch(repositoryName=name, branchName="feature/x")["branch"]
    assert branch == {"branchName": "feature/x", "commitId": commit}


def test_many_branches_come_in_pages(hosting, work_tree):
    name = hosting.create()
    names = [f"b{number:03}" for number in range(101)]
    work_tree.commit(a="1")
    work_tree("push", "--quiet", hosting.clone_url(name), *(f"main:{branch}" for branch in names))

    pages = hosting.codecommit.get_paginator("list_branches").paginate(repositoryName=name)

    listed = [page["branches"] for page in pages]
    assert [len(page) for page in listed] == [100, 1]
    assert [branch for page in listed for branch in page] == names


def test_an_absent_branch_is_refused_by_name(hosting, repository):
    with pytest.raises(ClientError) as caught:
        hosting.codecommit.get_branch(repositoryName=repository[0], branchName="absent")

    error = caught.value.response["Error"]
    assert error["Code"] == "BranchDoesNotExistException"
    assert error["Message"] == "Branch absent does not exist"


def test_a_branch_needs_a_name_and_a_repository(hosting, repository):
    client = hosting.codecommit

    assert _refused(client.get_branch, branchName="main") == "RepositoryNameRequiredException"
    assert (
        _refused(client.get_branch, repositoryName=repository[0]) == "BranchNameRequiredException"
    )


@pytest.mark.parametrize(
    ("branch", "commit", "code"),
    [
        ("main", None, "BranchNameExistsException"),
        ("a..b", None, "InvalidBranchNameException"),
        ("main/below", None, "InvalidBranchNameException"),
        ("new", "1234", "InvalidCommitIdException"),
        ("new", "0123456789" * 4, "CommitDoesNotExistException"),
    ],
)
def test_branches_that_cannot_be_created(hosting, repository, branch, commit, code):
    name, tip = repository
    arguments = {"repositoryName": name, "branchName": branch, "commitId": commit or tip}

    assert _refused(hosting.codecommit.create_branch, **arguments) == code
    assert hosting.codecommit.list_branches(repositoryName=name)["branches"] == ["main"]


def test_a_deleted_branch_is_gone_and_deleting_it_again_does_nothing(hosting, repository):
    name, commit = repository
    client = hosting.codecommit
    client.create_branch(repositoryName=name, branchName="x", commitId=commit)

    deleted = client.delete_branch(repositoryName=name, branchName="x")["deletedBranch"]

    assert deleted == {"branchName": "x", "commitId": commit}
    assert client.list_branches(repositoryName=name)["branches"] == ["main"]
    assert "deletedBranch" not in client.delete_branch(repositoryName=name, branchName="x")


def test_the_default_branch_is_what_a_clone_checks_out_and_cannot_be_deleted(
    hosting, repository, clone
):
    name, commit = repository
    client = hosting.codecommit
    client.create_branch(repositoryName=name, branchName="trunk", commitId=commit)

    client.update_default_branch(repositoryName=name, defaultBranchName="trunk")

    assert clone(hosting.clone_url(name))("branch", "--show-current") == "trunk"
    arguments = {"repositoryName": name, "branchName": "trunk"}
    assert _refused(client.delete_branch, **arguments) == "DefaultBranchCannotBeDeletedException"
    arguments = {"repositoryName": name, "defaultBranchName": "absent"}
    assert _refused(client.update_default_branch, **arguments) == "BranchDoesNotExistException"
