"""What an archive becomes, and what no archive may do."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from local_aws.sagemaker.endpoints.model_archive import ArchiveError, unpack


def _member(name: str, *, kind: bytes = tarfile.REGTYPE, mode: int = 0o640) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, mode
    return member


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return io.BytesIO(buffer.getvalue())


def test_files_and_folders_come_out_as_they_went_in(tmp_path: Path) -> None:
    archive = _archive(
        (_member(".", kind=tarfile.DIRTYPE), b""),
        (_member("./MLmodel"), b"flavors: {}"),
        (_member("code/empty", kind=tarfile.DIRTYPE), b""),
        (_member("code/deep/run.sh", mode=0o777), b"echo" * 100_000),
        (_member("MLmodel"), b"flavors: {sklearn: }"),
    )

    unpack(archive, tmp_path / "model")

    found = {
        str(path.relative_to(tmp_path)): path.read_bytes() if path.is_file() else None
        for path in tmp_path.rglob("*")
    }
    assert found == {
        "model": None,
        "model/MLmodel": b"flavors: {sklearn: }",
        "model/code": None,
        "model/code/empty": None,
        "model/code/deep": None,
        "model/code/deep/run.sh": b"echo" * 100_000,
    }
    assert (tmp_path / "model/MLmodel").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "model/code/deep/run.sh").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (_member("../escaped"), "lies outside of the archive"),
        (_member("code/../../escaped"), "lies outside of the archive"),
        (_member("/tmp/escaped"), "lies outside of the archive"),
        (_member("link", kind=tarfile.SYMTYPE), "is a link or a device"),
        (_member("link", kind=tarfile.LNKTYPE), "is a link or a device"),
        (_member("pipe", kind=tarfile.FIFOTYPE), "is a link or a device"),
    ],
)
def test_what_could_reach_outside_is_refused_by_name(
    tmp_path: Path, member: tarfile.TarInfo, reason: str
) -> None:
    with pytest.raises(ArchiveError, match=f"member '{member.name}' {reason}"):
        unpack(_archive((member, b"")), tmp_path / "model")

    assert [path.name for path in tmp_path.rglob("*")] == ["model"]


_CUT_OFF = _archive((_member("model"), bytes(range(256)) * 100)).getvalue()[:-100]


@pytest.mark.parametrize("content", [b"", b"no archive", _CUT_OFF], ids=["empty", "text", "cut"])
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(io.BytesIO(content), tmp_path)
