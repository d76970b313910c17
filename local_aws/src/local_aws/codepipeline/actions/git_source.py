"""Sources from git: CodeCommit, and repositories behind a connection. A real clone, zipped.

Sources: "CodeCommit source action reference" and "CodeStarSourceConnection for Bitbucket Cloud,
GitHub, ..." in the CodePipeline user guide.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from local_aws.codecommit.git import GitError, run_git
from local_aws.codepipeline.actions.action import ActionFailed, ActionJob, Outcome, Revision
from local_aws.codepipeline.artifacts import zip_of_folder
from local_aws.codepipeline.definition import Action
from local_aws.login import git_login

_CLONE_SECONDS = 120.0
_LOG_FIELDS = ("%H", "%aI", "%cI", "%an", "%ae", "%B")
_LOG_FORMAT = "--format=" + "%x00".join(_LOG_FIELDS)
_FORMATS = ("CODE_ZIP", "CODEBUILD_CLONE_REF")


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What git says of the commit that was fetched."""

    id: str
    author_date: str
    committer_date: str
    author: str
    email: str
    message: str


@dataclass(frozen=True)
class CodeCommitSource:
    """Source/CodeCommit."""

    required: frozenset[str] = frozenset({"RepositoryName", "BranchName"})
    optional: frozenset[str] = frozenset({"PollForSourceChanges", "OutputArtifactFormat"})
    inputs: tuple[int, int] = (0, 0)
    outputs: tuple[int, int] = (1, 1)

    def problems(self, action: Action) -> list[str]:
        return _format_problems(action)

    def run(self, job: ActionJob) -> Outcome:
        """Clone the branch."""
        name, branch = job.get("RepositoryName"), job.get("BranchName")
        try:
            code_commit = job.client("codecommit")
            url = code_commit.get_repository(repositoryName=name)["repositoryMetadata"][
                "cloneUrlHttp"
            ]
            tip = code_commit.get_branch(repositoryName=name, branchName=branch)["branch"]
        except ClientError as err:
            raise ActionFailed(
                f"Either the AWS CodeCommit repository named {name} or its branch {branch} "
                f"cannot be read: {err.response['Error']['Message']}",
                "ConfigurationError",
            ) from err
        commit, body = _fetch(
            job, url, branch, job.wanted.commit_id if job.wanted else tip["commitId"]
        )
        return Outcome(
            artifacts={job.action.outputs[0]: job.store.put(job.action.outputs[0], body)},
            variables={
                "RepositoryName": name,
                "BranchName": branch,
                "CommitId": commit.id,
                "CommitMessage": commit.message,
                "AuthorDate": commit.author_date,
                "CommitterDate": commit.committer_date,
            },
            revision=Revision(
                id=commit.id,
                summary=commit.message,
                url=f"https://{job.own.region}.console.aws.amazon.com/codesuite/codecommit/"
                f"repositories/{name}/commit/{commit.id}",
            ),
        )


@dataclass(frozen=True)
class ConnectionSource:
    """Source/CodeStarSourceConnection: GitHub and others, here a repository of this gateway."""

    required: frozenset[str] = frozenset({"ConnectionArn", "FullRepositoryId", "BranchName"})
    optional: frozenset[str] = frozenset({"DetectChanges", "OutputArtifactFormat"})
    inputs: tuple[int, int] = (0, 0)
    outputs: tuple[int, int] = (1, 1)

    def problems(self, action: Action) -> list[str]:
        problems = _format_problems(action)
        if action.configuration.get("FullRepositoryId", "a/b").count("/") < 1:
            problems.append("FullRepositoryId has the form owner/repository")
        return problems

    def run(self, job: ActionJob) -> Outcome:
        """Clone the branch, or the commit whose push started the execution."""
        name, branch = job.get("FullRepositoryId"), job.get("BranchName")
        provider = _provider(job)
        url = f"{job.own.url}/git/{name}.git"
        wanted = job.wanted
        commit, body = _fetch(job, url, branch, wanted.commit_id if wanted else None)
        return Outcome(
            artifacts={job.action.outputs[0]: job.store.put(job.action.outputs[0], body)},
            variables={
                "FullRepositoryName": name,
                "BranchName": (wanted.branch if wanted else "") or branch,
                "ConnectionArn": job.get("ConnectionArn"),
                "ProviderType": provider,
                "CommitId": commit.id,
                "CommitMessage": commit.message,
                "AuthorDate": commit.author_date,
                "AuthorDisplayName": commit.author,
                "AuthorEmail": commit.email,
            },
            revision=Revision(
                id=commit.id,
                summary=commit.message,
                url=f"https://{job.own.region}.console.aws.amazon.com/codesuite/settings/connections"
                f"/redirect?connectionArn={job.get('ConnectionArn')}"
                f"&FullRepositoryId={name}&Commit={commit.id}",
            ),
        )


def _provider(job: ActionJob) -> str:
    """GitHub, GitLab, ...: what the connection leads to; raises ActionFailed if there is none."""
    arn = job.get("ConnectionArn")
    service = "codestar-connections" if ":codestar-connections:" in arn else "codeconnections"
    try:
        connection = job.client(service).get_connection(ConnectionArn=arn)["Connection"]
    except ClientError as err:
        raise ActionFailed(
            f"Unable to use Connection: {arn}: {err.response['Error']['Message']}",
            "PermissionError",
        ) from err
    if connection["ConnectionStatus"] != "AVAILABLE":
        raise ActionFailed(
            f"Connection {arn} is not available, it is {connection['ConnectionStatus']}. "
            "Complete it in the console.",
            "ConfigurationError",
        )
    return str(connection["ProviderType"])


def _fetch(job: ActionJob, url: str, branch: str, commit_id: str | None) -> tuple[Commit, bytes]:
    """The commit, by default the branch's tip, and the zip of its tree."""
    with tempfile.TemporaryDirectory(dir=job.scratch_dir()) as scratch:
        folder = Path(scratch) / "clone"
        # The branch may have moved on since the push: then only a whole clone has the commit.
        extent = ["--no-checkout"] if commit_id else ["--branch", branch, "--depth", "1"]
        try:
            run_git(
                *("-c", "http.proxy=", "clone", "--quiet", *extent),
                *(url, str(folder)),
                environment=git_login(job.own, url, job.identity()),
                limit_seconds=_CLONE_SECONDS,
            )
            if commit_id:
                run_git("checkout", "--quiet", "--detach", commit_id, directory=folder)
            text = run_git("log", "-1", _LOG_FORMAT, directory=folder).decode(errors="replace")
        except GitError as err:
            raise ActionFailed(
                f"The source could not be cloned from {url}, branch {branch}: {err}",
                "ConfigurationError",
            ) from err
        values = [value.strip() for value in text.split("\0")]
        commit = Commit(
            id=values[0],
            author_date=values[1],
            committer_date=values[2],
            author=values[3],
            email=values[4],
            message=values[5],
        )
        return commit, zip_of_folder(folder)


def _format_problems(action: Action) -> list[str]:
    wanted = action.configuration.get("OutputArtifactFormat", "CODE_ZIP")
    if wanted == "CODE_ZIP":
        return []
    if wanted == "CODEBUILD_CLONE_REF":
        return ["local_aws does not emulate OutputArtifactFormat CODEBUILD_CLONE_REF; use CODE_ZIP"]
    return [f"OutputArtifactFormat {wanted!r} is none of {', '.join(_FORMATS)}"]
