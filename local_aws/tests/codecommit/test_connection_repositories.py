"""Repositories behind a Git connection: made by their first push, told with the changed paths."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def name():
    return f"team/{uuid.uuid4().hex[:12]}"


def _url(hosting, name):
    return f"{hosting.url}/git/{name}.git"


def test_the_first_push_makes_the_repository(hosting, work_tree, clone, name):
    commit = work_tree.commit(a="1", src__b="2")
    work_tree("push", "--quiet", _url(hosting, name), "main")

    assert clone(_url(hosting, name))("rev-parse", "HEAD") == commit
    [event] = hosting.told(name)
    assert (event["source"], event["detail-type"]) == ("local.connection", "Push")
    assert event["detail"] == {
        "fullRepositoryId": name,
        "referenceType": "branch",
        "referenceName": "main",
        "commitId": commit,
        "changedPaths": ["a", "src/b"],
    }


def test_a_later_push_tells_the_paths_that_changed_over_all_its_commits(hosting, work_tree, name):
    first = work_tree.commit(kept="1", gone="2", inner__build="3")
    work_tree("push", "--quiet", _url(hosting, name), "main")
    work_tree.commit(inner__build="4")
    work_tree("rm", "--quiet", "gone")
    last = work_tree.commit(neü="5")
    work_tree("push", "--quiet", _url(hosting, name), "main")

    detail = hosting.told(name)[-1]["detail"]
    assert detail["changedPaths"] == ["gone", "inner/build", "neü"]
    assert (detail["oldCommitId"], detail["commitId"]) == (first, last)


def test_a_new_branch_has_changed_all_files_a_tag_and_a_deletion_none(hosting, work_tree, name):
    work_tree.commit(a="1")
    work_tree("push", "--quiet", _url(hosting, name), "main")
    work_tree.commit(b="2")
    work_tree("tag", "v1")
    work_tree("push", "--quiet", _url(hosting, name), "main:dev", "v1")
    work_tree("push", "--quiet", _url(hosting, name), ":dev")

    told = [
        (one["detail"]["referenceName"], one["detail"]["changedPaths"])
        for one in hosting.told(name)[1:]
    ]
    assert told == [("dev", ["a", "b"]), ("v1", []), ("dev", [])]


def test_a_clone_of_what_was_never_pushed_says_how_to_make_it(hosting, work_tree, name):
    answer = work_tree("clone", _url(hosting, name), "copy", fails=True)

    assert f"no repository '{name}' behind a connection. Its first push makes it" in answer
    assert f"git push {_url(hosting, name)} main" in answer


@pytest.mark.parametrize("path", ["alone.git", "team/name", "team/..git/x.git", "a.git/b.git"])
def test_other_forms_of_url_are_refused(hosting, work_tree, path):
    work_tree.commit(a="1")

    answer = work_tree("push", f"{hosting.url}/git/{path}", "main", fails=True)

    assert "it has the form /git/<owner>/<name>.git" in answer


def test_groups_between_owner_and_name_are_part_of_the_name(hosting, work_tree):
    name = f"team/group/{uuid.uuid4().hex[:12]}"
    work_tree.commit(a="1")
    work_tree("push", "--quiet", _url(hosting, name), "main")

    assert [event["detail"]["fullRepositoryId"] for event in hosting.told(name)] == [name]
