"""Files of the kept state: whole or as before, whatever interrupts the writing."""

from __future__ import annotations

import threading
from collections import defaultdict

import pytest

from local_aws.keeping.parts import JournaledPart, Part, read, read_journaled
from local_aws.keeping.pickled import dumps, loads


def test_a_part_is_written_only_when_it_differs(tmp_path):
    state = {"a": 1}
    part = Part(tmp_path / "x.state", lambda: state)
    part.save()
    written = part.path.stat().st_mtime_ns
    part.save()
    assert part.path.stat().st_mtime_ns == written
    state["b"] = 2
    part.save()

    assert read(part.path) == {"a": 1, "b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["x.state"]


def test_what_cannot_be_written_is_due_and_written_later(tmp_path, caplog):
    folder = tmp_path / "missing"
    part = Part(folder / "x.state", lambda: "state")
    part.save()
    part.save()
    assert part.due
    assert [record.message[:24] for record in caplog.records] == ["x is not kept for now: ["]
    folder.mkdir()
    part.save()

    assert not part.due
    assert read(part.path) == "state"


def test_a_journal_is_read_up_to_the_change_that_a_kill_cut_off(tmp_path):
    part = JournaledPart(tmp_path / "x.state", lambda: "whole", number=0)
    part.save()
    part.add(lambda: "first")
    part.add(lambda: "second")
    (journal,) = tmp_path.glob("*.journal")
    journal.write_bytes(journal.read_bytes()[:-3])

    number, state, changes = read_journaled(part.path)
    assert (number, state, list(changes)) == (1, "whole", ["first"])


def test_a_whole_writing_ends_the_journal_even_if_a_kill_left_it(tmp_path):
    part = JournaledPart(tmp_path / "x.state", lambda: "whole", number=0)
    part.save()
    part.add(lambda: "old")
    (journal,) = tmp_path.glob("*.journal")
    left = journal.read_bytes()
    part.save()
    journal.write_bytes(left)

    number, _, changes = read_journaled(part.path)
    assert (number, list(changes)) == (2, [])


def test_a_journal_that_has_grown_becomes_a_whole_writing(tmp_path):
    kept = []
    part = JournaledPart(tmp_path / "x.state", lambda: list(kept))
    for number in range(40):
        kept.append(bytes(20_000))
        part.add(lambda number=number: (number, bytes(20_000)))

    _, state, changes = read_journaled(part.path)
    assert len(state) > 0
    assert len(state) + len(list(changes)) == 40


def test_locks_and_defaults_are_made_anew():
    state = {
        "lock": threading.RLock(),
        "made": defaultdict(lambda: defaultdict(dict), {"a": 1}),
        "plain": defaultdict(list, {"b": [2]}),
    }
    again = loads(dumps(state))

    with again["lock"]:
        assert again["made"] == {"a": 1}
        assert again["plain"]["absent"] == []


def test_a_state_that_changes_meanwhile_is_taken_again():
    class Restless:
        attempts = 0

        def __getstate__(self):
            Restless.attempts += 1
            if Restless.attempts < 3:
                raise RuntimeError("dictionary changed size during iteration")
            return {}

    with pytest.raises(AttributeError):  # a local class: pickle got as far as its name
        dumps(Restless())
    assert Restless.attempts <= 3
