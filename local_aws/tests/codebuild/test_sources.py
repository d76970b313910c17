"""Where a build's files and its buildspec come from."""

from __future__ import annotations

import io
import zipfile

import pytest

from local_aws.codebuild.sources import SourceError, download_source

SAY = """
version: 0.2
phases:
  build:
    commands: [sh run.sh]
"""


def test_a_zip_in_s3_is_unpacked_and_its_buildspec_runs(account):
    build = account.run(SAY, files={"run.sh": "echo from the archive"})

    assert build["buildStatus"] == "SUCCEEDED", account.log(build)
    assert "from the archive" in account.log(build).splitlines()


def test_permissions_and_links_of_the_archive_are_kept(account):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("buildspec.yml", SAY.replace("sh run.sh", "./link"))
        script = zipfile.ZipInfo("run.sh")
        script.external_attr = 0o100755 << 16
        archive.writestr(script, "#!/bin/sh\necho executed\n")
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "run.sh")
    account.s3.put_object(Bucket=account.bucket, Key="modes.zip", Body=buffer.getvalue())

    name = account.create_project(
        files={}, source={"type": "S3", "location": f"{account.bucket}/modes.zip"}
    )
    build = account.finished(account.start(name))

    assert "executed" in account.log(build).splitlines()


def zip_of(*members):
    """A zip of (name, content, mode); a mode of 0o120777 makes a link to the content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, mode in members:
            member = zipfile.ZipInfo(name)
            member.create_system, member.external_attr = 3, mode << 16
            archive.writestr(member, content)
    return buffer.getvalue()


LINK, FILE = 0o120777, 0o100644


@pytest.mark.parametrize(
    "members",
    [
        [("x", "/etc/passwd", LINK)],
        [("x", "../../secret", LINK)],
        [("deep/x", "../../secret", LINK)],
        [("up", "..", LINK), ("up/x", "planted", FILE)],
        [("dir", ".", LINK), ("x", "dir/../secret", LINK)],
        [("x", "q/r/../../t", LINK), ("r/f", "", FILE), ("q", ".", LINK)],
        [("r", "..", LINK), ("x", "r/secret", LINK)],
        [("x", "y", LINK), ("y", "x", LINK)],
        [("../x", "secret", LINK)],
        [("/x", "secret", LINK)],
        [("d", "/etc", LINK), ("d/planted", "secret", LINK)],
    ],
)
def test_a_link_never_leads_outside_of_the_source(account, tmp_path, members):
    account.s3.put_object(Bucket=account.bucket, Key="links.zip", Body=zip_of(*members))
    folder = tmp_path / "work" / "source"
    folder.parent.mkdir()
    (tmp_path / "secret").write_text("hush")
    (tmp_path / "work" / "secret").write_text("hush")

    with pytest.raises(SourceError, match=r"outside|cannot be unpacked"):
        download_source(account.s3, f"{account.bucket}/links.zip", folder)
    assert not (tmp_path / "work" / "x").exists()
    assert not (tmp_path / "work" / "x").is_symlink()


def test_links_inside_of_the_source_are_kept(account, tmp_path):
    body = zip_of(("a/b", "text", FILE), ("c/d", "../a/b", LINK), ("e", "c", LINK))
    account.s3.put_object(Bucket=account.bucket, Key="links.zip", Body=body)
    download_source(account.s3, f"{account.bucket}/links.zip", tmp_path / "source")

    assert (tmp_path / "source/e/d").read_text() == "text"


@pytest.mark.parametrize("kind", ["missing", "damaged"])
def test_a_source_that_cannot_be_had_fails_download_source(account, phase, kind):
    if kind == "damaged":
        account.s3.put_object(Bucket=account.bucket, Key="damaged", Body=b"no zip")
    name = account.create_project(
        files={}, source={"type": "S3", "location": f"{account.bucket}/{kind}"}
    )
    build = account.finished(account.start(name))

    assert build["buildStatus"] == "FAILED"
    (context,) = phase(build, "DOWNLOAD_SOURCE")["contexts"]
    assert context["statusCode"] == "CLIENT_ERROR"
    assert {"missing": "NoSuchKey", "damaged": "is not a zip archive"}[kind] in context["message"]


def test_a_missing_buildspec_fails_by_its_name(account, phase):
    build = account.run(files={"run.sh": "true"})

    (context,) = phase(build, "DOWNLOAD_SOURCE")["contexts"]
    assert context["message"] == "YAML file does not exist: buildspec.yml"
