"""A buildspec, version 0.2, read strictly: what is not known is refused by name.

The keys are those of the CodeBuild user guide, "Build specification reference".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
SHELLS = ("bash", "sh", "/bin/bash", "/bin/sh")
_KEYS = frozenset({"version", "env", "phases", "artifacts", "reports", "cache"})
_ENV_KEYS = frozenset({"shell", "variables", "exported-variables", "git-credential-helper"})
_PHASE_KEYS = frozenset({"commands", "finally", "on-failure"})
_ARTIFACT_KEYS = frozenset({"files", "name", "base-directory"})
# Keys that AWS has and local_aws has not.
_NOT_HERE = frozenset(
    {"run-as", "proxy", "batch", "enable-symlinks", "s3-prefix", "parameter-store"}
    | {"secrets-manager", "discard-paths", "exclude-paths", "secondary-artifacts"}
)


class BuildspecError(Exception):
    """The buildspec can't be run; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Commands, those that follow whatever happened, and whether a failure is passed over."""

    commands: Sequence[str] = ()
    finally_commands: Sequence[str] = ()
    on_failure: str = ""
    python_version: str = ""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """Which files to keep."""

    files: Sequence[str]
    base_directory: str = ""


@dataclass(frozen=True, kw_only=True)
class Buildspec:
    """What to run, with which variables, and what to keep."""

    shell: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    exported_variables: Sequence[str] = ()
    phases: Mapping[str, Phase] = field(default_factory=dict)
    artifact: Artifact | None = None
    ignored: Sequence[str] = ()


def parse_buildspec(text: str) -> Buildspec:
    """The buildspec that the YAML text says. Raises BuildspecError."""
    try:
        # All scalars as they are written: CodeBuild's variables are texts, `1.10` isn't 1.1.
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  # makes str, list, dict
    except yaml.YAMLError as err:
        raise BuildspecError(f"the buildspec is not valid YAML: {err}") from err
    spec = _mapping(document, "the buildspec", _KEYS)
    if spec.get("version") != "0.2":
        raise BuildspecError(
            f"buildspec version {spec.get('version', '(none)')} is not supported here; use 0.2"
        )
    env = _mapping(spec.get("env", {}), "env", _ENV_KEYS)
    shell = _text(env.get("shell", ""), "env/shell")
    if shell and shell not in SHELLS:
        raise BuildspecError(f"env/shell {shell!r} cannot run here; use bash or sh")
    phases = _mapping(spec.get("phases", {}), "phases", frozenset(PHASES))
    if not phases:
        raise BuildspecError("the buildspec has no phases")
    exported = _texts(env.get("exported-variables", []), "env/exported-variables")
    return Buildspec(
        shell=shell.rpartition("/")[2],
        variables=_table(env, "variables"),
        exported_variables=exported,
        phases={name: _phase(name, phases[name]) for name in PHASES if name in phases},
        artifact=_artifact(spec["artifacts"]) if spec.get("artifacts") else None,
        ignored=[
            *(key for key in ("reports", "cache") if spec.get(key)),
            *(["env/git-credential-helper"] if "git-credential-helper" in env else []),
        ],
    )


def _phase(name: str, value: Any) -> Phase:
    where = f"phases/{name}"
    known = _PHASE_KEYS | {"runtime-versions"} if name == "install" else _PHASE_KEYS
    phase = _mapping(value, where, known)
    on_failure = _text(phase.get("on-failure", ""), f"{where}/on-failure")
    if on_failure not in ("", "ABORT", "CONTINUE"):
        raise BuildspecError(f"{where}/on-failure {on_failure!r}: only ABORT and CONTINUE run here")
    runtimes = _mapping(
        phase.get("runtime-versions", {}), f"{where}/runtime-versions", frozenset({"python"})
    )
    return Phase(
        commands=_texts(phase.get("commands", []), f"{where}/commands"),
        finally_commands=_texts(phase.get("finally", []), f"{where}/finally"),
        on_failure=on_failure,
        python_version=_text(runtimes.get("python", ""), f"{where}/runtime-versions/python"),
    )


def _artifact(value: Any) -> Artifact:
    artifact = _mapping(value, "artifacts", _ARTIFACT_KEYS)
    files = _texts(artifact.get("files", []), "artifacts/files")
    if not files:
        raise BuildspecError("artifacts has no files")
    return Artifact(
        files=files,
        base_directory=_text(artifact.get("base-directory", ""), "artifacts/base-directory"),
    )


def _mapping(value: Any, where: str, known: frozenset[str] | None = None) -> Mapping[str, Any]:
    if value == "":  # a key without a value
        return {}
    if not isinstance(value, dict):
        raise BuildspecError(f"{where} must be a mapping, not {_kind(value)}")
    unknown = sorted(set(value) - known) if known is not None else []
    if unknown:
        named = ", ".join(unknown)
        why = "local_aws does not support" if set(unknown) & _NOT_HERE else "unknown"
        raise BuildspecError(
            f"{why} in {where}: {named}. Known here: {', '.join(sorted(known or ()))}"
        )
    return value


def _table(env: Mapping[str, Any], key: str) -> Mapping[str, str]:
    table = _mapping(env.get(key, {}), f"env/{key}")
    return {name: _text(value, f"env/{key}/{name}") for name, value in table.items()}


def _texts(value: Any, where: str) -> Sequence[str]:
    if value == "":
        return []
    if not isinstance(value, list):
        raise BuildspecError(f"{where} must be a list, not {_kind(value)}")
    return [_text(entry, f"{where}[{number}]") for number, entry in enumerate(value)]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BuildspecError(
            f"Expected {where} to be of string type: found {_kind(value)}. "
            'A text with ": " in it needs quotes.'
        )
    return value


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "subkeys"
    return "a list" if isinstance(value, list) else f"the text {value!r}"
