"""git, run as a program: no prompts, none of the caller's GIT_ variables, CodeCommit's login."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from mlops.account import Account, is_loopback
from mlops.errors import CommandFailed, InputError

_FALLBACK = {"name": "mlops", "email": "mlops@localhost"}
# The person's own settings hold, but for those that would change files or ask something.
_SETTINGS = ("core.autocrlf=false", "commit.gpgsign=false", "core.hooksPath=/dev/null")
_CODECOMMIT = re.compile(r"git-codecommit(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")


class Git:
    """git in one folder; `settings` are passed by the environment, where nobody else sees them."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._settings = dict(settings or {})

    def run(self, *arguments: str) -> str:
        """What it printed; raises CommandFailed with git's words, InputError if there is no git."""
        done = self._execute(arguments)
        if done.returncode != 0:
            told = (done.stderr or done.stdout).strip()
            raise CommandFailed(f"git {arguments[0]} failed:\n{told}")
        return done.stdout.strip()

    def succeeds(self, *arguments: str) -> bool:
        """Whether git exits with 0."""
        return self._execute(arguments).returncode == 0

    def author(self) -> tuple[str, str]:
        """Name and address from the person's git configuration, else a fallback."""
        configured = {
            key: self._execute(["config", "--get", f"user.{key}"]).stdout.strip()
            for key in _FALLBACK
        }
        if all(configured.values()):
            return configured["name"], configured["email"]
        return _FALLBACK["name"], _FALLBACK["email"]

    def remotes(self) -> dict[str, str]:
        """Name -> URL of the folder's remotes; none outside a repository."""
        lines = self._execute(["remote", "--verbose"]).stdout.splitlines()
        return {line.split()[0]: line.split()[1] for line in lines if line.split()[1:]}

    def _execute(self, arguments: tuple[str, ...] | list[str]) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("GIT_")
        }
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            return subprocess.run(
                ["git", *settings, *arguments],
                cwd=self.folder,
                env={**inherited, **_as_variables(self._settings), "LC_ALL": "C"},
                capture_output=True,
                text=True,
            )
        except FileNotFoundError as err:
            raise InputError("there is no `git` on the PATH. Install git first.") from err


def login_settings(account: Account, url: str) -> dict[str, str]:
    """The git settings by which that URL takes the account's credentials.

    CodeCommit's HTTPS addresses do, and those of what stands for AWS on this machine; any other
    remote has the login of the person's own git.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    local = account.is_local and is_loopback(url)
    if not (_CODECOMMIT.fullmatch(host) or local):
        return {}
    credentials = account.session.get_credentials().get_frozen_credentials()
    name, password = codecommit_login(credentials, account.region, url)
    basic = base64.b64encode(f"{name}:{password}".encode()).decode()
    settings = {
        f"http.{parts.scheme}://{parts.netloc}/.extraHeader": f"Authorization: Basic {basic}"
    }
    return {**settings, "http.proxy": ""} if local else settings


def codecommit_login(credentials: ReadOnlyCredentials, region: str, url: str) -> tuple[str, str]:
    """Name and password for git over HTTPS, as `aws codecommit credential-helper` makes them.

    A signature, version 4, of the request `GIT <path>`, good for 15 minutes.
    """
    parts = urlsplit(url)
    request = AWSRequest(method="GIT", url=url)
    request.context["timestamp"] = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    signer = SigV4Auth(credentials, "codecommit", region)
    canonical = f"GIT\n{parts.path}\n\nhost:{parts.hostname}\n\nhost\n"
    text = signer.string_to_sign(request, canonical)
    signature = signer.signature(text, request)
    token = f"%{credentials.token}" if credentials.token else ""
    return f"{credentials.access_key}{token}", f"{request.context['timestamp']}Z{signature}"


def _as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """git's own way to get settings from the environment ("GIT_CONFIG_COUNT" in git-config)."""
    variables = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables
