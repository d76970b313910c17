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


def test_a_branch_leads_to_its_commit(hosting, repository):
    name, commit = repository

    branch = hosting.codecommit.get_branch(repositoryName=name, branchName="main")["branch"]

    assert branch == {"branchName": "main", "commitId": commit}


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
