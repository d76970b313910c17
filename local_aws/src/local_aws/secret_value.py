"""One value of Secrets Manager, as buildspecs and templates refer to it."""

from __future__ import annotations

import json
from typing import Any


def read_secret(client: Any, secret_id: str, *, key: str, stage: str, version: str) -> str:
    """The secret's text, or what its JSON has under `key`. Empty words are not asked for.

    LookupError without that key; else what the client raises.
    """
    chosen = {"VersionStage": stage, "VersionId": version}
    answer = client.get_secret_value(
        SecretId=secret_id, **{name: value for name, value in chosen.items() if value}
    )
    text = str(answer["SecretString"])
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError) as err:
        raise LookupError(f"the secret {secret_id} has no key {key!r}") from err
