"""Where images and layers are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_aws.codebuild.image import main as build_main
from local_aws.containers.cache import default_cache_dir
from local_aws.containers.images import Images
from local_aws.containers.images import main as image_main


@pytest.mark.parametrize(
    ("named", "caches", "expected"),
    [
        ("/named", "/caches", "/named"),
        ("", "/caches", "/caches/local-aws"),
        (None, "relative", "/person/.cache/local-aws"),
        (None, None, "/person/.cache/local-aws"),
    ],
)
def test_the_folder_is_the_named_one_or_the_persons(
    named: str | None, caches: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/person")
    for name, value in (("LOCAL_AWS_CACHE_DIR", named), ("XDG_CACHE_HOME", caches)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert default_cache_dir() == Path(expected)
    assert Images().cache_dir == Path(expected)


def test_a_relative_folder_is_one_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_AWS_CACHE_DIR", "cache")
    assert default_cache_dir() == tmp_path / "cache"


@pytest.mark.parametrize("main", [image_main, build_main])
def test_the_commands_that_fill_it_say_where(
    main: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_AWS_CACHE_DIR", "/named")
    with pytest.raises(SystemExit):
        main(["--help"])  # type: ignore[operator]
    assert "default: /named" in capsys.readouterr().out


@pytest.mark.parametrize("main", [image_main, build_main])
def test_a_folder_that_cannot_be_is_told_with_the_variable(
    main: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file/cache"
    assert main(["--cache-dir", str(folder)]) == 1  # type: ignore[operator]
    assert caplog.messages[-1] == (
        f"images and layers cannot be kept in {folder}: Not a directory. "
        "Name another folder in LOCAL_AWS_CACHE_DIR."
    )
