"""Where a build's files and its buildspec come from."""

from __future__ import annotations

import io
import zipfile

import pytest

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
