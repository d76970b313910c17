"""What a shell evaluates so that its programs find this AWS, and no other: eval "$(local-aws env)".

For sh, bash, dash and zsh. First what of an earlier environment would win is unset, then the rest
is exported.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

# An address for one service wins over AWS_ENDPOINT_URL; which there are, only the shell knows.
_ENDPOINTS = r"$(env | sed -n 's/^\(AWS_ENDPOINT_URL_[A-Za-z0-9_]*\)=.*/\1/p')"
# Other accounts' credentials, and ways to them. Source: AWS SDKs and Tools Reference Guide,
# "Settings reference".
OTHER_ACCOUNTS = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    *("AWS_CREDENTIAL_EXPIRATION", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
    *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    *("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_USE_FIPS_ENDPOINT"),
    "AWS_USE_DUALSTACK_ENDPOINT",
)
# A team's registry, and the logins to it.
_OF_MLFLOW = (
    *("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    *("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4"),
    "MLFLOW_S3_ENDPOINT_URL",
)
_TRACKING = "MLFLOW_TRACKING_URI"
LOOPBACK = ("127.0.0.1", "localhost")
_NO_PROXY = ("NO_PROXY", "no_proxy")


def shell_lines(environment: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """The lines for `environment`; `before` is the shell's own, whose NO_PROXY is added to."""
    gone = OTHER_ACCOUNTS + (_OF_MLFLOW if _TRACKING in environment else ())
    yield " ".join(("unset", *(name for name in gone if name not in environment), _ENDPOINTS))
    exported = {
        **environment,
        # "unset" would leave the same setting of a profile in AWS_CONFIG_FILE in force.
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        **without_proxy(before),
    }
    for name, value in sorted(exported.items()):
        yield f"export {name}={shlex.quote(value)}"


def path_line(programs: Path, before: Mapping[str, str]) -> Iterator[str]:
    """The line that lets the shell find the programs beside this one; none where it does.

    They come last: what the shell found so far, it goes on finding.
    """
    there = before.get("PATH", "").split(os.pathsep)
    if (programs / "local-aws").is_file() and str(programs) not in there:
        yield f'export PATH="$PATH":{shlex.quote(str(programs))}'


def without_proxy(before: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY and no_proxy as they are `before`, with this machine's own names in them."""
    added = {}
    for name, other in zip(_NO_PROXY, reversed(_NO_PROXY), strict=True):
        there = before.get(name) or before.get(other) or ""
        hosts = [host.strip() for host in there.split(",") if host.strip()]
        hosts += [host for host in LOOPBACK if host not in hosts and "*" not in hosts]
        added[name] = ",".join(hosts)
    return added
