"""What a source action packs."""

from __future__ import annotations

import io
import zipfile

from local_aws.codepipeline.artifacts import zip_of_folder


def test_links_become_texts_and_modes_are_kept(tmp_path):
    (tmp_path / "run.sh").write_text("true")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "folder").mkdir()
    (tmp_path / "inside").symlink_to("run.sh")
    (tmp_path / "folder" / "outside").symlink_to("/etc/passwd")
    (tmp_path / "to_folder").symlink_to("folder")

    with zipfile.ZipFile(io.BytesIO(zip_of_folder(tmp_path))) as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}

    assert content == {
        "run.sh": "true",
        "inside": "run.sh",
        "folder/outside": "/etc/passwd",
        "to_folder": "folder",
    }
    assert modes["run.sh"] == 0o100755
    assert not any(mode & 0o170000 == 0o120000 for mode in modes.values())
