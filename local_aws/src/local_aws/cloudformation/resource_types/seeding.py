"""A new repository's first commit, from a zip in S3: what the property Code of CodeCommit asks."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.resource_types.resource_type import (
    PRINCIPAL,
    Provisioner,
    ProvisioningError,
)
from local_aws.codecommit.git import GitError, run_git
from local_aws.login import git_login

_PUSH_LIMIT_SECONDS = 120
_AUTHOR = "CloudFormation"


def seed(by: Provisioner, clone_url: str, code: Mapping[str, Any]) -> None:
    """Push the archive's files as one commit to the branch that `code` names (main by default).

    ProvisioningError says what of it failed: the object, the archive, or git.
    """
    location = code["S3"]
    where = f"s3://{location['Bucket']}/{location['Key']}"
    extra = {"VersionId": location["ObjectVersion"]} if "ObjectVersion" in location else {}
    try:
        answer = by.client("s3").get_object(Bucket=location["Bucket"], Key=location["Key"], **extra)
    except ClientError as err:
        raise ProvisioningError(
            f"The repository's code could not be read from {where}: {err}"
        ) from err
    branch = code.get("BranchName", "main")
    with tempfile.TemporaryDirectory(prefix="local-aws-seed-") as folder:
        tree = Path(folder)
        try:
            with zipfile.ZipFile(io.BytesIO(answer["Body"].read())) as archive:
                _extract(archive, tree)
        except zipfile.BadZipFile as err:
            raise ProvisioningError(f"The repository's code in {where} is no zip: {err}") from err
        _git(tree, "init", "--quiet", f"--initial-branch={branch}")
        _git(tree, "add", "--all", "--force")
        _git(tree, "commit", "--quiet", "--allow-empty", "--message=Initial commit")
        login = git_login(by.own, clone_url, by.own.acting(by.role_arn, PRINCIPAL))
        _git(tree, "push", "--quiet", clone_url, f"HEAD:refs/heads/{branch}", **login)


def _extract(archive: zipfile.ZipFile, tree: Path) -> None:
    for entry in archive.infolist():
        path = Path(archive.extract(entry, tree))
        executable = entry.external_attr >> 16 & 0o111
        if executable and path.is_file():
            path.chmod(0o755)


def _git(tree: Path, *arguments: str, **login: str) -> None:
    identity = {
        f"GIT_{who}_{key}": value
        for who in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", _AUTHOR), ("EMAIL", "cloudformation@amazonaws.com"))
    }
    try:
        run_git(
            *arguments,
            directory=tree,
            environment={**identity, **login},
            limit_seconds=_PUSH_LIMIT_SECONDS,
        )
    except GitError as err:
        raise ProvisioningError(f"The first commit failed: {err}") from err
