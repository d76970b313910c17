from __future__ import annotations

from pathlib import Path

import pytest

from model_deploy.atomic_write import write_all_or_none
from model_deploy.errors import ConfigError


def test_files_and_their_folders_are_written(tmp_path: Path) -> None:
    write_all_or_none({tmp_path / "a": "1", tmp_path / "deep" / "b": "é"})
    assert (tmp_path / "a").read_text() == "1"
    assert (tmp_path / "deep" / "b").read_text(encoding="utf-8") == "é"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "deep"]


@pytest.mark.parametrize("bad", ["file/prod.json", "folder"])
def test_when_one_file_can_not_be_written_none_is(tmp_path: Path, bad: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "good").write_text("as it was")
    with pytest.raises(ConfigError) as caught:
        write_all_or_none({tmp_path / "good": "new", tmp_path / bad: "new"})
    assert caught.value.source == f"{tmp_path / 'good'}, {tmp_path / bad}"
    assert caught.value.problems[0].startswith("it can not be written: ")
    assert (tmp_path / "good").read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "good"]


def test_an_earlier_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("as it was, and longer")
    write_all_or_none({tmp_path / "a": "new"})
    write_all_or_none({})
    assert (tmp_path / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
