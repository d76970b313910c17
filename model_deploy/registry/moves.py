"""Which moves there are, and what each writes: decided here, without MLflow.

            claim Staging            claim Production
    None ───────────────▶ Staging ───────────────▶ Production
      └───────────────────────────────────────────────▲ │
    Archived ◀── replaced, or served no longer ─────────┼─┤
        └──── claimed again (rollback) ─────────────────┘ │
    Staging ◀── replaced, but the last that passed on ────┘
                its staging endpoint

A version in Production that is claimed for Staging stays Production: MLflow gives a version one
stage, and the stronger claim is still true. When that one ends, the weaker one is true again.

`plan_claim` gives the writes that make a `View` of the registry say what the endpoint serves. The
same function verifies: what was written and read back must plan nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model_deploy.errors import ClaimedElsewhere, InputError

NONE = "None"
STAGING = "Staging"
PRODUCTION = "Production"
ARCHIVED = "Archived"
ALIAS_OF_STAGE: Mapping[str, str] = {STAGING: "challenger", PRODUCTION: "champion"}

# (stage now, stage claimed) -> stage then.
STAGE_AFTER_CLAIM: Mapping[tuple[str, str], str] = {
    (NONE, STAGING): STAGING,
    (NONE, PRODUCTION): PRODUCTION,
    (STAGING, STAGING): STAGING,
    (STAGING, PRODUCTION): PRODUCTION,
    (PRODUCTION, STAGING): PRODUCTION,
    (PRODUCTION, PRODUCTION): PRODUCTION,
    (ARCHIVED, STAGING): STAGING,
    (ARCHIVED, PRODUCTION): PRODUCTION,
}
# (stage now, passed last on its staging endpoint) -> stage then, of a version that another
# replaces, or that its endpoint serves no longer. MLflow archives it first, in the same call that
# gives the stage to the claimant: so from Archived too.
STAGE_AFTER_REPLACEMENT: Mapping[tuple[str, bool], str] = {
    (STAGING, False): ARCHIVED,
    (PRODUCTION, False): ARCHIVED,
    (PRODUCTION, True): STAGING,
    (ARCHIVED, True): STAGING,
}


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version as MLflow has it: no aliases, as MLflow's searches give none."""

    name: str
    number: str
    stage: str
    tags: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"version {self.number} of {self.name!r}"


@dataclass(frozen=True, kw_only=True)
class View:
    """What the registry says of one stage, read at one time.

    `holders` are the known versions of the model in the stage; `aliases` are those of the stages,
    with who has them; `others` are versions of other models in the stage, whose evidence names the
    claimed endpoint, and `others_aliases` their models' aliases of the stage. `staged` are those
    who leave Production, or left it for the claimant, and passed last on their staging endpoint.
    """

    stage: str
    holders: Sequence[Version] = ()
    aliases: Mapping[str, Version] = field(default_factory=dict)
    others: Sequence[Version] = ()
    others_aliases: Mapping[str, str] = field(default_factory=dict)
    staged: Sequence[Version] = ()

    def describe(self) -> str:
        """In words: `Production: version 3; champion: version 2; challenger: nobody`."""
        told = [
            f"{self.stage}: {', '.join(f'version {v.number}' for v in self.holders) or 'nobody'}"
        ]
        for alias in ALIAS_OF_STAGE.values():
            holder = self.aliases.get(alias)
            told.append(f"{alias}: {f'version {holder.number}' if holder else 'nobody'}")
        told += [f"{self.stage} on the same endpoint: {other}" for other in self.others]
        return "; ".join(told)


@dataclass(frozen=True, kw_only=True)
class Write:
    """One call of MlflowClient that changes the registry."""

    method: str
    arguments: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def require_stage(stage: str) -> None:
    """InputError unless it is a stage that can be claimed."""
    if stage not in ALIAS_OF_STAGE:
        raise InputError(f"no stage {stage!r} to move to; stages are {STAGING}, {PRODUCTION}.")


def require_unclaimed(view: View, model_name: str, endpoint_arn: str) -> None:
    """ClaimedElsewhere if who holds stage or alias has evidence of another endpoint."""
    alias = ALIAS_OF_STAGE[view.stage]
    claimants = {holder.number: holder for holder in view.holders}
    named = view.aliases.get(alias)
    if named is not None and named.stage != ARCHIVED:
        claimants.setdefault(named.number, named)
    for holder in claimants.values():
        elsewhere = holder.tags.get(f"deploy.{view.stage.lower()}_endpoint", "")
        if elsewhere and elsewhere != endpoint_arn:
            raise ClaimedElsewhere(
                f"{view.stage} ({alias}) of {model_name!r} can not be claimed for the endpoint "
                f"{endpoint_arn or 'of an unknown ARN'}: {holder} holds it for the endpoint "
                f"{elsewhere}, which is another project's, account's or region's. A registered "
                "model's stages can speak of one project only: register this project's model under "
                "a name of its own (the pipeline's parameter RegisteredModelName). If that "
                f"endpoint is gone, archive version {holder.number} in MLflow and repeat."
            )


def plan_claim(
    view: View,
    version: Version,
    *,
    tags: Mapping[str, str],
    tags_of_replaced: Mapping[tuple[str, str], Mapping[str, str]],
    tags_to_delete: Sequence[str] = (),
    always_claim: bool = False,
) -> list[Write]:
    """The writes, in their order, that make `version` hold the view's stage; none if it does.

    `tags` go to the version, `tags_of_replaced[name, number]` to those it replaces. First comes
    what is true already (the endpoint passed), then the stage, then the alias, then what others
    deserve no longer: a crash in between never makes a stage lie. `always_claim` claims a stage
    that the version has: MLflow then archives whoever else has it, also those nobody knows of.
    """
    stage, after = view.stage, STAGE_AFTER_CLAIM[version.stage, view.stage]
    replaced = [holder for holder in view.holders if holder.number != version.number]
    writes = [_tag(version, key, value) for key, value in tags.items()]
    writes += [
        Write(method="delete_model_version_tag", arguments=(version.name, version.number, key))
        for key in tags_to_delete
        if key in version.tags
    ]
    for holder in (*replaced, *view.others):
        told = tags_of_replaced.get((holder.name, holder.number), {})
        writes += [_tag(holder, key, value) for key, value in told.items()]
    if after != stage:
        writes += [_to(holder, ARCHIVED) for holder in replaced]
    elif version.stage != stage or replaced or always_claim:
        writes.append(
            Write(
                method="transition_model_version_stage",
                arguments=(version.name, version.number, stage),
                options={"archive_existing_versions": True},
            )
        )
    back = [v for v in view.staged if v.name == version.name and v.number != version.number]
    gone = {holder.number for holder in replaced} - {v.number for v in back}
    writes += [_to(v, STAGE_AFTER_REPLACEMENT[v.stage, True]) for v in back if v.stage != STAGING]
    writes += _plan_aliases(view, version, after, gone, back)
    for other in view.others:
        writes += _leave(view, other)
    return writes


def plan_release(
    view: View, gone: Sequence[Version], tags: Mapping[tuple[str, str], Mapping[str, str]]
) -> list[Write]:
    """The writes that archive versions which their endpoint serves no longer."""
    writes: list[Write] = []
    for version in gone:
        told = tags.get((version.name, version.number), {})
        writes += [_tag(version, key, value) for key, value in told.items()]
        writes += _leave(view, version)
    return writes


def _plan_aliases(
    view: View, version: Version, after: str, gone: set[str], back: Sequence[Version]
) -> Iterator[Write]:
    """The claimed stage's alias points here; no alias of a stage lies about another version."""
    for stage, alias in ALIAS_OF_STAGE.items():
        holder = view.aliases.get(alias)
        if stage == view.stage == after:
            if holder is None or holder.number != version.number:
                yield _set_alias(version, alias)
            continue
        left = holder is not None and (
            (holder.number == version.number and after != stage)
            or stage == view.stage  # it is claimed, by a version with a stronger stage
            or holder.stage == ARCHIVED
            or holder.number in gone
        )
        if stage == STAGING and back and (holder is None or left):
            if holder is None or holder.number != back[0].number:
                yield _set_alias(back[0], alias)
        elif left:
            yield _delete_alias(version.name, alias)


def _leave(view: View, version: Version) -> Iterator[Write]:
    """Aliases first: what is cut short then is still a claim, which is found and finished."""
    stage = STAGE_AFTER_REPLACEMENT[version.stage, version in view.staged]
    if view.others_aliases.get(version.name) == version.number:
        yield _delete_alias(version.name, ALIAS_OF_STAGE[view.stage])
    if stage != ARCHIVED:
        yield _set_alias(version, ALIAS_OF_STAGE[stage])
    yield _to(version, stage)


def _tag(version: Version, key: str, value: str) -> Write:
    return Write(
        method="set_model_version_tag", arguments=(version.name, version.number, key, value)
    )


def _to(version: Version, stage: str) -> Write:
    return Write(
        method="transition_model_version_stage",
        arguments=(version.name, version.number, stage),
        options={"archive_existing_versions": False},
    )


def _set_alias(version: Version, alias: str) -> Write:
    return Write(
        method="set_registered_model_alias", arguments=(version.name, alias, version.number)
    )


def _delete_alias(name: str, alias: str) -> Write:
    return Write(method="delete_registered_model_alias", arguments=(name, alias))
