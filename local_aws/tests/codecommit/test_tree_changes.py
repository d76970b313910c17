"""Which files a commit changes, decided without git."""

from __future__ import annotations

import pytest

from local_aws.codecommit.objects import Entry
from local_aws.codecommit.tree_changes import Put, Request, change_files
from local_aws.errors import AwsError

BEFORE = {"a": Entry("100755", "1"), "src/b": Entry("100644", "2")}


def test_a_file_keeps_its_mode_unless_another_is_given():
    kept = change_files(BEFORE, Request(puts=[Put(path="a", blob="9")], modes={}))
    given = change_files(BEFORE, Request(puts=[Put(path="a", blob="9", mode="100644")], modes={}))

    assert kept.updated == {"a": Entry("100755", "9")}
    assert given.updated == {"a": Entry("100644", "9")}


def test_a_copy_leaves_its_source_and_a_move_does_not():
    copy = change_files(BEFORE, Request(puts=[Put(path="c", source="a")], modes={}))
    move = change_files(BEFORE, Request(puts=[Put(path="c", source="a", is_move=True)], modes={}))

    assert copy.files == {**BEFORE, "c": BEFORE["a"]}
    assert (copy.added, copy.deleted) == ({"c": BEFORE["a"]}, {})
    assert (move.added, move.deleted) == ({"c": BEFORE["a"]}, {"a": BEFORE["a"]})


def test_a_file_can_take_the_place_of_a_deleted_folder():
    request = Request(puts=[Put(path="src", blob="9")], deletes=["src/b"], modes={})

    assert change_files(BEFORE, request).files == {"a": BEFORE["a"], "src": Entry("100644", "9")}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (
            Request(puts=[Put(path="src", blob="9")], modes={}),
            "FileNameConflictsWithDirectoryNameException",
        ),
        (
            Request(puts=[Put(path="a/below/it", blob="9")], modes={}),
            "DirectoryNameConflictsWithFileNameException",
        ),
        (
            Request(puts=[Put(path="a", blob="9")], deletes=["a"], modes={}),
            "SamePathRequestException",
        ),
        (Request(modes={"absent": "100644"}), "FileDoesNotExistException"),
        (Request(puts=[Put(path="c", source="absent")], modes={}), "FileDoesNotExistException"),
        (Request(modes={"a": "100755"}), "NoChangeException"),
    ],
)
def test_what_cannot_be_is_refused(request_, code):
    with pytest.raises(AwsError) as caught:
        change_files(BEFORE, request_)

    assert caught.value.code == code
