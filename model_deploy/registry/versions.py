"""Models and versions of the registry, each found by itself: only `find_in_stage` lists them all.

A version is asked for by its number, the latest by a search for one, a stage's holder by the latest
version of each stage that MLflow keeps with the model, an alias's by the alias. `get_registered_
model` and `get_latest_versions` are not used: MLflow 3.17's database store reads all versions of
the model for either (20,000: seconds).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deploy.errors import ModelNotFound
from model_deploy.registry import evidence
from model_deploy.registry.connection import Connection, MLflowRefusal
from model_deploy.registry.moves import (
    ALIAS_OF_STAGE,
    ARCHIVED,
    PRODUCTION,
    STAGING,
    Version,
    View,
)

_LISTED_AT_MOST = 20
_CLOSE_NAMES = 5
_PAGE = 1000


def find_version(connection: Connection, name: str, requested: str) -> str:
    """The number of the version that `requested` means: a number, `latest`, or an alias.

    ModelNotFound tells what there is instead, or that the version is not READY.
    """
    if requested == "latest":
        found = _latest(connection, name)
    elif requested.isdigit():
        found = _by_number(connection, name, str(int(requested)))
    else:
        number = _number_of_alias(connection, name, requested.removeprefix("@"))
        found = _by_number(connection, name, number)
    if str(found.status) != "READY":
        raise ModelNotFound(
            f"version {found.version} of {name!r} at {connection.shown_uri} is {found.status}, "
            "not READY. Wait until it is registered, or register it again."
        )
    return str(found.version)


def get_version(connection: Connection, name: str, number: str) -> Version:
    """One version as it is now; MLflowRefusal if there is none."""
    return to_version(connection.ask("get_model_version", name, number))


def read_view(
    connection: Connection, name: str, stage: str, endpoint_arn: str, claimant: str = ""
) -> View:
    """Who holds the stage of the model, its aliases, and other models on the endpoint.

    `claimant` is the number of the version that claims the stage, if one does. Of several versions
    in one stage the highest is known, and each that has evidence of another endpoint.
    """
    model = get_model(connection, name)
    known = {str(found.version): to_version(found) for found in model.latest_versions}
    prefix = f"tags.`deploy.{stage.lower()}_endpoint`"
    elsewhere = search_versions(
        connection, f"{_name_filter(name)} and {prefix} != '{endpoint_arn or 'none'}'"
    )
    known.update({v.number: v for v in elsewhere if v.name == name})
    aliases = {}
    for alias in ALIAS_OF_STAGE.values():
        number = model.aliases.get(alias)
        if number is not None:
            number = str(number)
            aliases[alias] = known.get(number) or get_version(connection, name, number)
    others = find_others(connection, name, stage, endpoint_arn)
    holders = [version for version in known.values() if version.stage == stage]
    leaving = [v for v in holders if v.number != claimant] if claimant else []
    if claimant and stage == PRODUCTION:
        leaving += _replaced_by(connection, name, claimant)
    return View(
        stage=stage,
        holders=holders,
        aliases=aliases,
        others=others,
        others_aliases=_aliases_of(connection, stage, {other.name for other in others}),
        staged=_find_staged(connection, stage, [*leaving, *others], claimant=(name, claimant)),
    )


def read_claims(connection: Connection, stage: str, endpoint_arn: str) -> View:
    """The versions of whatever model in the stage, whose evidence names the endpoint."""
    claims = find_others(connection, "", stage, endpoint_arn)
    names = {claim.name for claim in claims}
    return View(
        stage=stage,
        others=claims,
        others_aliases=_aliases_of(connection, stage, names),
        staged=_find_staged(connection, stage, claims),
    )


def find_others(connection: Connection, name: str, stage: str, endpoint_arn: str) -> list[Version]:
    """Versions of models other than `name` in the stage, whose evidence names the endpoint."""
    if not endpoint_arn:
        return []
    query = f"tags.`deploy.{stage.lower()}_endpoint` = '{endpoint_arn}'"
    quoted = _quoted(name) if name else None
    if quoted:
        query += f" and name != {quoted}"
    found = search_versions(connection, query)
    return [version for version in found if version.name != name and version.stage == stage]


def find_replaced_by(connection: Connection, name: str, number: str) -> list[Version]:
    """Versions whose last successor is that one: of its model, and of others on its endpoint."""
    tag = f"tags.`{evidence.REPLACED_BY}`"
    same = search_versions(connection, f"{_name_filter(name)} and {tag} = '{number}'")
    quoted = _quoted(f"{name}/{number}")
    others = search_versions(connection, f"{tag} = {quoted}") if quoted else []
    return [*(version for version in same if version.name == name), *others]


def find_in_stage(connection: Connection, name: str, stage: str) -> list[Version]:
    """All versions of the model in the stage: MLflow can't be asked for them, so all are listed."""
    found = search_versions(connection, _name_filter(name))
    return [version for version in found if version.name == name and version.stage == stage]


def get_model(connection: Connection, name: str) -> Any:
    """MLflow's record of the model: aliases, and the latest version of each stage.

    ModelNotFound offers names that look alike, and says how many there are.
    """
    for model in _pages(connection, "search_registered_models", _name_filter(name), None, 100):
        if model.name == name:
            return model
    names = sorted(m.name for m in _pages(connection, "search_registered_models", None, None, 100))
    raise ModelNotFound(
        f"no registered model {name!r} at {connection.shown_uri}; "
        f"{_offer_names(name, names)}. Pass --model-name."
    )


def search_versions(connection: Connection, query: str) -> list[Version]:
    """All that match, page by page."""
    found = _pages(connection, "search_model_versions", query, None, _PAGE)
    return [to_version(version) for version in found]


def to_version(found: Any) -> Version:
    """MLflow's version as ours."""
    return Version(
        name=found.name,
        number=str(found.version),
        stage=found.current_stage,
        tags=dict(found.tags),
    )


def _latest(connection: Connection, name: str) -> Any:
    for version in _newest_first(connection, name, 1):
        return version
    get_model(connection, name)
    raise ModelNotFound(
        f"model {name!r} at {connection.shown_uri} has no version. Register one first."
    )


def _by_number(connection: Connection, name: str, number: str) -> Any:
    try:
        return connection.ask("get_model_version", name, number)
    except MLflowRefusal as err:
        if err.code != "RESOURCE_DOES_NOT_EXIST":
            raise
        get_model(connection, name)
        raise ModelNotFound(
            f"no version {number} of {name!r} at {connection.shown_uri}; "
            f"versions there: {_list_versions(connection, name)}. Pass --model-version."
        ) from err


def _number_of_alias(connection: Connection, name: str, alias: str) -> str:
    aliases = {known: str(number) for known, number in get_model(connection, name).aliases.items()}
    # MLflow compares aliases without case in some stores and with it in others.
    for known, number in aliases.items():
        if known.lower() == alias.lower():
            return number
    listed = ", ".join(f"{known} (version {aliases[known]})" for known in sorted(aliases))
    raise ModelNotFound(
        f"no alias {alias!r} of {name!r} at {connection.shown_uri}; "
        f"aliases there: {listed or 'none'}; versions: {_list_versions(connection, name)}. "
        "Pass --model-version with one of these, or 'latest'."
    )


def _list_versions(connection: Connection, name: str) -> str:
    """`1, 2, 3`, or the newest of many."""
    newest: list[str] = []
    for version in _newest_first(connection, name, _LISTED_AT_MOST + 1):
        newest.append(str(version.version))
        if len(newest) > _LISTED_AT_MOST:
            shown = ", ".join(reversed(newest[:_LISTED_AT_MOST]))
            return f"{shown} (the newest {_LISTED_AT_MOST}; there are older ones)"
    return ", ".join(reversed(newest)) or "none"


def _newest_first(connection: Connection, name: str, page: int) -> Iterator[Any]:
    order = ["version_number DESC"]
    found = _pages(connection, "search_model_versions", _name_filter(name), order, page)
    return (version for version in found if version.name == name)


def _pages(
    connection: Connection, method: str, query: str | None, order: list[str] | None, page: int
) -> Iterator[Any]:
    token = None
    while True:
        found = connection.ask(
            method, query, max_results=page, order_by=order, page_token=token or None
        )
        yield from found
        token = found.token
        if not token:
            return


def _replaced_by(connection: Connection, name: str, number: str) -> list[Version]:
    """Who left Production for that version, and is Archived or in Staging since."""
    query = f"{_name_filter(name)} and tags.`{evidence.REPLACED_BY}` = '{number}'"
    return [
        version
        for version in search_versions(connection, query)
        if version.name == name
        and version.stage in (ARCHIVED, STAGING)
        and evidence.numbered(version.tags, "deploy.replaced")[-1:]
        and evidence.numbered(version.tags, "deploy.replaced")[-1].get("stage") == PRODUCTION
    ]


def _find_staged(
    connection: Connection,
    stage: str,
    leaving: Sequence[Version],
    claimant: tuple[str, str] = ("", ""),
) -> list[Version]:
    """Those who leave Production and still have their staging endpoint, by what passed there last.

    At most one of a model, and none where another version is in Staging.
    """
    if stage != PRODUCTION:
        return []
    staged: dict[str, Version] = {}
    for version in sorted(leaving, key=lambda v: evidence.staged_at(v.tags)):
        if _passed_last(connection, version):
            staged[version.name] = version
    return [
        version
        for version in staged.values()
        if all(
            str(found.version) == version.number or (version.name, str(found.version)) == claimant
            for found in get_model(connection, version.name).latest_versions
            if found.current_stage == STAGING
        )
    ]


def _passed_last(connection: Connection, version: Version) -> bool:
    arn = evidence.endpoint_of(version.tags, STAGING)
    if not arn or not evidence.staged_at(version.tags):
        return False
    query = f"tags.`{evidence.prefix(STAGING)}_endpoint` = '{arn}'"
    passed = {
        (v.name, v.number): evidence.staged_at(v.tags) for v in search_versions(connection, query)
    }
    mine = passed.get((version.name, version.number), "")
    return bool(mine) and mine == max(passed.values())


def _aliases_of(connection: Connection, stage: str, names: set[str]) -> Mapping[str, str]:
    """Which version of each model has the stage's alias."""
    alias = ALIAS_OF_STAGE[stage]
    held = {name: get_model(connection, name).aliases.get(alias) for name in names}
    return {name: str(number) for name, number in held.items() if number is not None}


def _name_filter(name: str) -> str:
    """A filter that finds the model, perhaps others too: MLflow's has no way to escape a quote."""
    quoted = _quoted(name)
    if quoted:
        return f"name = {quoted}"
    pattern = "".join("_" if letter in "'\"\\`" else letter for letter in name)
    return f"name LIKE '{pattern}'"


def _quoted(name: str) -> str | None:
    if "\\" in name:
        return None
    return next((f"{quote}{name}{quote}" for quote in "'\"" if quote not in name), None)


def _offer_names(name: str, names: Sequence[str]) -> str:
    if len(names) <= _LISTED_AT_MOST:
        return f"models there: {', '.join(repr(known) for known in names) or 'none'}"
    by_small_letters = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_small_letters, n=_CLOSE_NAMES)
    alike = ", ".join(repr(by_small_letters[known]) for known in close)
    return f"of the {len(names):,} models there " + (
        f"these look alike: {alike}" if alike else "none looks alike"
    )
