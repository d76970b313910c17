"""One bare repository and its one writer at a time."""

from __future__ import annotations

import threading

import pytest
from pushed import PERSON

from local_aws.codecommit.bare_repository import BareRepository, RefChange, compare_refs
from local_aws.codecommit.git import GitError


@pytest.fixture
def told():
    return []


@pytest.fixture
def repository(tmp_path, told):
    bare = BareRepository(tmp_path / "r.git", lambda changes, who: told.append((changes, who)))
    bare.create()
    return bare


def _commit(repository, message):
    tree = repository.git("mktree").decode().strip()
    committed = repository.git("commit-tree", tree, "-m", message, environment=PERSON)
    return committed.decode().strip()


def test_created_moved_and_deleted_refs_are_told_apart():
    before = {"refs/heads/kept": "1", "refs/heads/moved": "1", "refs/heads/gone": "1"}
    after = {"refs/heads/kept": "1", "refs/heads/moved": "2", "refs/tags/new": "1"}

    assert compare_refs(before, after) == [
        RefChange(ref="refs/heads/gone", old="1", new=None),
        RefChange(ref="refs/heads/moved", old="1", new="2"),
        RefChange(ref="refs/tags/new", old=None, new="1"),
    ]


def test_an_empty_repository_has_no_default_branch(repository):
    assert repository.default_branch() is None


def test_what_changed_before_a_writer_failed_is_told(repository, told):
    commit = _commit(repository, "one")

    def write_and_fail():
        with repository.writing("me"):
            repository.git("update-ref", "refs/heads/main", commit)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()

    assert told == [([RefChange(ref="refs/heads/main", old=None, new=commit)], "me")]
    assert repository.default_branch() == "main"


def test_a_second_writer_waits_for_the_first(repository):
    entered, go_on, order = threading.Event(), threading.Event(), []

    def first():
        with repository.writing("first"):
            entered.set()
            go_on.wait(10)
            order.append("first")

    def second():
        entered.wait(10)
        with repository.writing("second"):
            order.append("second")

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    entered.wait(10)
    threads[1].join(0.2)
    assert order == []
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second"]


def test_a_damaged_repository_is_not_mistaken_for_one_above_it(repository, tmp_path):
    outer = BareRepository(tmp_path, lambda *_: None)
    outer.git("init", "--quiet")
    (repository.path / "HEAD").unlink()

    with pytest.raises(GitError):
        repository.refs()
