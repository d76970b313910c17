"""What is in a CodeCommit repository, read by boto3 after real pushes."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def repository(hosting, work_tree):
    """Name of a repository with two commits of Ada's: files of all kinds."""
    name = hosting.create()
    work_tree.commit(readme="one\n", src__train="print(1)\n", src__old="x")
    (work_tree.path / "src" / "train").chmod(0o755)
    (work_tree.path / "src" / "old").unlink()
    (work_tree.path / "link").symlink_to("readme")
    work_tree.commit(readme="two\n", src__deep__file="y", ümläut="z")
    work_tree("tag", "-a", "v1", "-m", "first")
    work_tree("push", "--quiet", "--tags", hosting.clone_url(name), "main")
    return name


def _refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_commit_says_who_and_what_and_on_top_of_what(hosting, repository, work_tree):
    tip = work_tree("rev-parse", "HEAD")

    commit = hosting.codecommit.get_commit(repositoryName=repository, commitId=tip)["commit"]

    date = work_tree("log", "-1", "--format=%ad", "--date=raw")
    assert commit["author"] == {"name": "Ada", "email": "ada@example.com", "date": date}
    assert commit["committer"] == commit["author"]
    assert commit["message"] == "Change readme, src__deep__file, ümläut\n"
    assert commit["parents"] == [work_tree("rev-parse", "HEAD~1")]
    assert commit["treeId"] == work_tree("rev-parse", "HEAD^{tree}")


def test_commits_that_cannot_be_read(hosting, repository, work_tree):
    client, absent = hosting.codecommit, "0123456789" * 4
    tree = work_tree("rev-parse", "HEAD^{tree}")

    for commit, code in [
        ("main", "InvalidCommitIdException"),
        (absent, "CommitIdDoesNotExistException"),
        (tree, "CommitIdDoesNotExistException"),
    ]:
        assert _refused(client.get_commit, repositoryName=repository, commitId=commit)[0] == code

    tip = work_tree("rev-parse", "HEAD")
    answer = client.batch_get_commits(repositoryName=repository, commitIds=[tip, absent])
    assert [one["commitId"] for one in answer["commits"]] == [tip]
    assert [one["commitId"] for one in answer["errors"]] == [absent]


@pytest.mark.parametrize("specifier", [None, "main", "refs/heads/main", "v1", "HEAD", "id"])
def test_a_file_is_read_at_whatever_names_a_commit(hosting, repository, work_tree, specifier):
    tip = work_tree("rev-parse", "HEAD")
    arguments = {"commitSpecifier": tip if specifier == "id" else specifier} if specifier else {}

    file = hosting.codecommit.get_file(
        repositoryName=repository, filePath="/src/train", **arguments
    )

    assert file["fileContent"] == b"print(1)\n"
    assert (file["fileMode"], file["fileSize"]) == ("EXECUTABLE", 9)
    assert file["filePath"] == "src/train"
    assert file["commitId"] == tip
    blob = hosting.codecommit.get_blob(repositoryName=repository, blobId=file["blobId"])
    assert blob["content"] == b"print(1)\n"


def test_a_file_is_read_as_it_was(hosting, repository, work_tree):
    before = work_tree("rev-parse", "HEAD~1")

    file = hosting.codecommit.get_file(
        repositoryName=repository, filePath="readme", commitSpecifier=before
    )

    assert file["fileContent"] == b"one\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"filePath": "absent"}, "FileDoesNotExistException"),
        ({"filePath": "src"}, "FileDoesNotExistException"),
        ({"filePath": "src/old"}, "FileDoesNotExistException"),
        ({"filePath": "*"}, "FileDoesNotExistException"),
        ({"filePath": "a/../readme"}, "InvalidPathException"),
        ({"filePath": "readme", "commitSpecifier": "absent"}, "CommitDoesNotExistException"),
        ({"filePath": "readme", "commitSpecifier": "--help"}, "CommitDoesNotExistException"),
        ({"filePath": "readme", "commitSpecifier": "main~1"}, "CommitDoesNotExistException"),
    ],
)
def test_files_that_cannot_be_read(hosting, repository, arguments, code):
    call = hosting.codecommit.get_file

    assert _refused(call, repositoryName=repository, **arguments)[0] == code


def test_a_large_file_is_to_be_cloned(hosting, work_tree):
    name = hosting.create()
    work_tree.commit(large=b"x" * (6 * 1024 * 1024 + 1))
    work_tree("push", "--quiet", hosting.clone_url(name), "main")

    code, message = _refused(hosting.codecommit.get_file, repositoryName=name, filePath="large")

    assert code == "FileTooLargeException"
    assert "6291457 bytes" in message
    assert "Clone" in message


def test_blobs_that_cannot_be_read(hosting, repository, work_tree):
    call, tip = hosting.codecommit.get_blob, work_tree("rev-parse", "HEAD")

    assert _refused(call, repositoryName=repository, blobId="x")[0] == "InvalidBlobIdException"
    assert _refused(call, repositoryName=repository, blobId=tip)[0] == "BlobIdDoesNotExistException"


def test_a_folder_lists_what_is_directly_in_it(hosting, repository):
    folder = hosting.codecommit.get_folder(repositoryName=repository, folderPath="/")

    assert [one["absolutePath"] for one in folder["subFolders"]] == ["src"]
    assert [one["absolutePath"] for one in folder["files"]] == ["readme", "ümläut"]
    assert [one["absolutePath"] for one in folder["symbolicLinks"]] == ["link"]

    below = hosting.codecommit.get_folder(repositoryName=repository, folderPath="src")
    assert [(one["absolutePath"], one["fileMode"]) for one in below["files"]] == [
        ("src/train", "EXECUTABLE")
    ]
    assert [one["relativePath"] for one in below["subFolders"]] == ["deep"]

    call = hosting.codecommit.get_folder
    code, _ = _refused(call, repositoryName=repository, folderPath="readme")
    assert code == "FolderDoesNotExistException"


def test_differences_between_two_commits(hosting, repository, work_tree):
    found = hosting.codecommit.get_differences(
        repositoryName=repository,
        beforeCommitSpecifier=work_tree("rev-parse", "HEAD~1"),
        afterCommitSpecifier="main",
    )["differences"]

    kinds = {
        (one.get("afterBlob") or one["beforeBlob"])["path"]: one["changeType"] for one in found
    }
    assert kinds == {
        "link": "A",
        "readme": "M",
        "src/deep/file": "A",
        "src/old": "D",
        "src/train": "M",
        "ümläut": "A",
    }
    modes = {
        one["afterBlob"]["path"]: one["afterBlob"]["mode"] for one in found if "afterBlob" in one
    }
    assert (modes["link"], modes["src/train"]) == ("120000", "100755")


def test_differences_without_a_before_are_all_files_and_can_be_of_a_folder(hosting, repository):
    def paths(**arguments):
        found = hosting.codecommit.get_differences(
            repositoryName=repository, afterCommitSpecifier="main", **arguments
        )
        return [one["afterBlob"]["path"] for one in found["differences"]]

    assert paths() == ["link", "readme", "src/deep/file", "src/train", "ümläut"]
    assert paths(afterPath="src") == ["src/deep/file", "src/train"]
    assert paths(MaxResults=2) == ["link", "readme"]
    pages = hosting.codecommit.get_paginator("get_differences").paginate(
        repositoryName=repository, afterCommitSpecifier="main", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["differences"]) for page in pages] == [2, 2, 1]
