"""Why a version moved, as tags of that version.

    deploy.production_endpoint, _by, _commit, ...   of the latest promotion, one tag each
    deploy.production/3                             the third promotion, whole, as JSON
    deploy.replaced_by                              who holds the stage now, while it does
    deploy.replaced/2                               the second replacement, as JSON
    deploy.archive_sha256, deploy.archive/<sha256>  the archives that were built of it

Numbered tags are written once, and never written again or deleted. MLflow takes 100,000 characters
for a value, its older servers 5,000: a numbered tag stays below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from model_deploy.registry.moves import PRODUCTION, STAGING

_LONGEST_FIELD = 400
REPLACED_BY = "deploy.replaced_by"
ARCHIVE_SHA256 = "deploy.archive_sha256"
ARCHIVE_URI = "deploy.archive_uri"
ARCHIVE_PREFIX = "deploy.archive/"
_OF_ONE_TEST = ("at", "test_summary")
# Field of Evidence -> what its flat tag ends with.
_SUFFIXES: Mapping[str, str] = {"endpoint_arn": "endpoint", "deployed_by": "by"}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Why a version may move: the endpoint that passed its check, in which execution, by whom.

    The endpoint is named by its ARN, which no other account or region has. Unknown parts are empty
    strings.
    """

    endpoint_arn: str = ""
    pipeline_execution_id: str = ""
    deployed_by: str = ""
    approved_by: str = ""
    approved_at: str = ""
    approval_comment: str = ""
    commit: str = ""
    archive_sha256: str = ""
    image: str = ""
    test_summary: str = ""

    def as_fields(self) -> dict[str, str]:
        """What is known, by the names that the tags have, each short enough for one."""
        return {_SUFFIXES.get(name, name): _fit(str(value)) for name, value in asdict(self).items()}


def prefix(stage: str) -> str:
    """What a stage's tags begin with: `deploy.production`."""
    return f"deploy.{stage.lower()}"


def endpoint_of(tags: Mapping[str, str], stage: str) -> str:
    """ARN of the endpoint that passed for the stage last, or ""."""
    return tags.get(f"{prefix(stage)}_endpoint", "")


def staged_at(tags: Mapping[str, str]) -> str:
    """When the version passed on its staging endpoint last; "" if it was replaced there since."""
    at = tags.get(f"{prefix(STAGING)}_at", "")
    replaced = [
        str(entry.get("at", ""))
        for entry in numbered(tags, "deploy.replaced")
        if entry.get("stage") == STAGING
    ]
    return "" if max(replaced, default="") >= at else at


def tags_of_promotion(
    tags: Mapping[str, str], stage: str, evidence: Evidence, now: str
) -> dict[str, str]:
    """Tags to write, in their order; none when this very promotion is recorded already.

    Recorded means: the last entry has the same evidence but for the test's summary, and no
    replacement came after it. A test repeated in one execution promotes nothing anew: what the
    first one said stays.
    """
    said = evidence.as_fields()
    known = {key: value for key, value in said.items() if value}
    this = {"replacements": len(numbered(tags, "deploy.replaced")), **known}
    entries = numbered(tags, prefix(stage))
    number = _next(tags, prefix(stage))
    written: dict[str, str] = {}
    if not entries and f"{prefix(stage)}_at" in tags:  # from before promotions were numbered
        entries = [_from_flat(tags, stage)]
        written[f"{prefix(stage)}/{number}"] = _to_text(entries[0])
        number += 1
    at: object = now
    again = dict.fromkeys(_OF_ONE_TEST, "")
    if entries and {**entries[-1], **again} == {**this, **again}:
        at = entries[-1].get("at", now)
        said["test_summary"] = str(entries[-1].get("test_summary", ""))
    else:
        written[f"{prefix(stage)}/{number}"] = _to_text({"at": now, **this})
    flat = {f"{prefix(stage)}_{suffix}": value for suffix, value in said.items()}
    flat[f"{prefix(stage)}_at"] = str(at)
    written.update(
        {
            key: value
            for key, value in flat.items()
            if tags.get(key, "") != value and (value or key in tags)
        }
    )
    return written


def tags_of_replacement(
    tags: Mapping[str, str], stage: str, replaced_by: str, now: str
) -> dict[str, str]:
    """Tags to write on a version that leaves its stage; none if this replacement is recorded."""
    promotions = sum(len(numbered(tags, prefix(each))) for each in (STAGING, PRODUCTION))
    entries = numbered(tags, "deploy.replaced")
    known = {"by": replaced_by, "stage": stage, "promotions": promotions}
    written = {}
    if not entries or {key: entries[-1].get(key) for key in known} != known:
        written[f"deploy.replaced/{_next(tags, 'deploy.replaced')}"] = _to_text(
            {"at": now, **known}
        )
    if tags.get(REPLACED_BY) != replaced_by:
        written[REPLACED_BY] = replaced_by
    return written


def tags_of_archive(tags: Mapping[str, str], sha256: str, uri: str) -> dict[str, str]:
    """Tags to write on a version of which this archive was built."""
    wanted = {f"{ARCHIVE_PREFIX}{sha256}": uri, ARCHIVE_SHA256: sha256, ARCHIVE_URI: uri}
    return {key: value for key, value in wanted.items() if tags.get(key) != value}


def numbered(tags: Mapping[str, str], of: str) -> list[dict[str, object]]:
    """The entries `<of>/1`, `<of>/2`, ... in their order; what is no JSON object is empty."""
    return [_parse(tags[f"{of}/{number}"]) for number in _numbers(tags, of)]


def promotions(tags: Mapping[str, str], stage: str) -> list[dict[str, object]]:
    """All promotions to a stage that were recorded, the oldest first."""
    return numbered(tags, prefix(stage))


def from_fields(fields: Mapping[str, str]) -> Evidence:
    """The Evidence that an entry was written of; what is no field of it is left out."""
    known = {name: fields.get(_SUFFIXES.get(name, name), "") for name in asdict(Evidence())}
    return Evidence(**known)


def _numbers(tags: Mapping[str, str], of: str) -> list[int]:
    numbers = [key.removeprefix(f"{of}/") for key in tags if key.startswith(f"{of}/")]
    return sorted(int(number) for number in numbers if number.isdigit())


def _next(tags: Mapping[str, str], of: str) -> int:
    return max(_numbers(tags, of), default=0) + 1


def _from_flat(tags: Mapping[str, str], stage: str) -> dict[str, object]:
    suffixes = ("at", *Evidence().as_fields())
    told = {suffix: tags.get(f"{prefix(stage)}_{suffix}", "") for suffix in suffixes}
    return {"replacements": 0, **{suffix: value for suffix, value in told.items() if value}}


def _to_text(entry: Mapping[str, object]) -> str:
    return json.dumps(entry, ensure_ascii=False)


def _parse(text: str) -> dict[str, object]:
    try:
        entry = json.loads(text)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _fit(text: str) -> str:
    if len(text) <= _LONGEST_FIELD:
        return text
    told = f"... ({len(text):,} characters in all)"
    return text[: _LONGEST_FIELD - len(told)].rstrip() + told
