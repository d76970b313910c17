"""CodeCommit's repositories, as boto3 meets them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError


def _refused(call, **arguments):
    """The error's code and message."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_created_repository_is_described_with_the_url_to_clone_from(hosting):
    created = hosting.codecommit.create_repository(
        repositoryName="described", repositoryDescription="Trains.", tags={"team": "ml"}
    )["repositoryMetadata"]

    metadata = hosting.codecommit.get_repository(repositoryName="described")["repositoryMetadata"]
    assert metadata == created
    assert metadata["cloneUrlHttp"] == f"{hosting.url}/v1/repos/described"
    assert metadata["Arn"] == "arn:aws:codecommit:us-east-1:123456789012:described"
    assert metadata["repositoryDescription"] == "Trains."
    assert len(metadata["repositoryId"]) == 36
    assert "defaultBranch" not in metadata


def test_the_default_branch_appears_with_the_first_commit(hosting):
    name = hosting.create()
    hosting.commit(name, {"a": b"1"})

    metadata = hosting.codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
    assert metadata["defaultBranch"] == "main"
    assert metadata["lastModifiedDate"] > metadata["creationDate"]


def test_a_name_is_taken_once(hosting):
    name = hosting.create()

    code, message = _refused(hosting.codecommit.create_repository, repositoryName=name)

    assert code == "RepositoryNameExistsException"
    assert message == f"Repository named {name} already exists"


@pytest.mark.parametrize("name", ["with space", "ends.git", "..", "a/b", "ü", "x" * 101])
def test_names_that_codecommit_would_not_take(hosting, name):
    code, message = _refused(hosting.codecommit.create_repository, repositoryName=name)

    assert code == "InvalidRepositoryNameException"
    assert f"{name[:99]}" in message


def test_an_absent_repository_is_named(hosting):
    code, message = _refused(hosting.codecommit.get_repository, repositoryName="absent")

    assert (code, message) == ("RepositoryDoesNotExistException", "absent does not exist")


def test_repositories_are_listed_by_name(hosting):
    first, second = hosting.create(), hosting.create()
    hosting.commit(first, {"a": b"1"})

    def names(**arguments):
        listed = hosting.codecommit.list_repositories(**arguments)["repositories"]
        return [one["repositoryName"] for one in listed if one["repositoryName"] in (first, second)]

    assert names() == sorted([first, second])
    code, _ = _refused(hosting.codecommit.list_repositories, sortBy="lastModifiedDate")
    assert code == "InvalidParameterException"


def test_a_list_goes_on_only_from_a_token_it_gave(hosting):
    code, message = _refused(hosting.codecommit.list_repositories, nextToken="nonsense")

    assert code == "InvalidContinuationTokenException"
    assert "'nonsense'" in message


def test_the_description_can_be_changed_and_taken_away(hosting):
    name = hosting.create(repositoryDescription="old")
    client = hosting.codecommit

    client.update_repository_description(repositoryName=name, repositoryDescription="new")
    metadata = client.get_repository(repositoryName=name)["repositoryMetadata"]
    assert metadata["repositoryDescription"] == "new"

    client.update_repository_description(repositoryName=name)
    metadata = client.get_repository(repositoryName=name)["repositoryMetadata"]
    assert "repositoryDescription" not in metadata

    code, message = _refused(
        client.update_repository_description,
        repositoryName=name,
        repositoryDescription="x" * 1001,
    )
    assert code == "InvalidRepositoryDescriptionException"
    assert "less than or equal to 1000" in message


def test_a_deleted_repository_is_gone_and_its_name_free(hosting):
    name = hosting.create()
    hosting.commit(name, {"a": b"1"})
    client = hosting.codecommit
    repository_id = client.get_repository(repositoryName=name)["repositoryMetadata"]["repositoryId"]

    assert client.delete_repository(repositoryName=name)["repositoryId"] == repository_id
    assert "repositoryId" not in client.delete_repository(repositoryName=name)

    client.create_repository(repositoryName=name)
    metadata = client.get_repository(repositoryName=name)["repositoryMetadata"]
    assert "defaultBranch" not in metadata


def test_tags_are_added_replaced_listed_and_taken_away(hosting):
    client, name = hosting.codecommit, hosting.create(tags={"team": "ml", "stage": "dev"})
    arn = client.get_repository(repositoryName=name)["repositoryMetadata"]["Arn"]

    client.tag_resource(resourceArn=arn, tags={"stage": "prod", "cost": "7"})
    client.untag_resource(resourceArn=arn, tagKeys=["team", "absent"])

    tags = client.list_tags_for_resource(resourceArn=arn)["tags"]
    assert tags == {"stage": "prod", "cost": "7"}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"aws:mine": "x"}, "InvalidSystemTagUsageException"),
        ({"k": "v" * 257}, "InvalidTagsMapException"),
        ({f"k{number}": "" for number in range(51)}, "TooManyTagsException"),
    ],
)
def test_tags_that_codecommit_would_not_take(hosting, tags, code):
    name = hosting.create()
    arn = f"arn:aws:codecommit:us-east-1:123456789012:{name}"

    assert _refused(hosting.codecommit.tag_resource, resourceArn=arn, tags=tags)[0] == code


def test_tags_of_something_else_are_refused(hosting):
    code, _ = _refused(hosting.codecommit.list_tags_for_resource, resourceArn="arn:aws:s3:::b")
    assert code == "InvalidResourceArnException"
    code, _ = _refused(
        hosting.codecommit.list_tags_for_resource,
        resourceArn="arn:aws:codecommit:us-east-1:123456789012:absent",
    )
    assert code == "RepositoryDoesNotExistException"


def test_without_git_the_person_is_told_to_install_it(hosting, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    code, message = _refused(hosting.codecommit.create_repository, repositoryName="gitless")

    assert code == "OperationNotAllowedException"
    assert message == "no git on PATH: repositories need it. Install git (2.31 or later)."
