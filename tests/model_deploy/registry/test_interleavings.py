"""Random interleavings of claimants that crash and of an MLflow that fails: the end is always true.

REGISTRY_EXAMPLES sets how many are tried; with more than 100, other ones each time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model_deploy.registry.interleaving import (
    FAULTS,
    Claim,
    FaultyClient,
    Schedule,
    times_of,
)

_EXAMPLES = int(os.environ.get("REGISTRY_EXAMPLES", "8"))
_ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/{}"
_ENDPOINTS = {
    "Staging": ("shop-staging", "other-staging"),
    "Production": ("shop-prod", "other-prod"),
}
_PROJECTS = ("shop", "other")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def client(mlflow_sqlite: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_sqlite, registry_uri=mlflow_sqlite)


@st.composite
def _claims(draw: st.DrawFn) -> list[Claim]:
    claims = []
    for number in range(draw(st.integers(2, 4))):
        stage = draw(st.sampled_from(["Production", "Production", "Staging"]))
        project = draw(st.sampled_from([0, 0, 0, 1]))
        faults = draw(st.dictionaries(st.integers(1, 45), st.sampled_from(FAULTS), max_size=2))
        claims.append(
            Claim(
                model=draw(st.sampled_from(["a", "a", "a", "b"])),
                version=draw(st.sampled_from(["1", "2", "3"])),
                stage=stage,
                endpoint=_ARN.format(f"{_PROJECTS[project]}-{stage.lower()}"),
                execution=f"execution-{number}",
                faults=faults,
            )
        )
    return claims


@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=_EXAMPLES < 100,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(claims=_claims(), choices=st.lists(st.integers(0, 3), max_size=200))
def test_whatever_happens_the_registry_tells_the_truth_in_the_end(
    client: Any, claims: list[Claim], choices: list[int]
) -> None:
    example = next(_numbers)
    for claim in claims:
        claim.model = f"{claim.model}-{example}"
        claim.endpoint = f"{claim.endpoint}-{example}"
    for model in {claim.model for claim in claims}:
        client.create_registered_model(model)
        for _ in range(3):
            client.create_model_version(model, "s3://bucket/model", await_creation_for=0)
    served: dict[str, Claim] = {}
    schedule = Schedule(choices)

    def run(claim: Claim) -> Callable[[], None]:
        def claimed() -> None:
            served[claim.endpoint] = claim  # deployed, and passed
            for faults in (claim.faults, {}):  # who was cut short is run again
                faulty = FaultyClient(client, faults, schedule.await_turn)
                claim.attempt(faulty, times_of(schedule), lambda: _serves(served, claim))
                if claim.told[-1] != "crash":
                    break

        return claimed

    schedule.run({claim.execution: run(claim) for claim in claims})
    _require_truth(client, claims, served)


def _serves(served: dict[str, Claim], claim: Claim) -> bool:
    now = served[claim.endpoint]
    return (now.model, now.version) == (claim.model, claim.version)


def _require_truth(client: Any, claims: list[Claim], served: dict[str, Claim]) -> None:
    found = {
        (model, str(v.version)): v
        for model in {claim.model for claim in claims}
        for v in client.search_model_versions(f"name='{model}'")
    }
    told = [(c.model, c.version, c.stage, c.endpoint.split("/")[1], c.told) for c in claims]
    for endpoint in {claim.endpoint for claim in claims if claim.stage == "Production"}:
        holders = [
            key
            for key, v in found.items()
            if v.current_stage == "Production"
            and v.tags.get("deploy.production_endpoint") == endpoint
        ]
        assert len(holders) <= 1, (holders, told)
    for model in {claim.model for claim in claims}:
        aliases = {k: str(v) for k, v in client.get_registered_model(model).aliases.items()}
        for stage, alias in (("Production", "champion"), ("Staging", "challenger")):
            holding = [n for (m, n), v in found.items() if (m, v.current_stage) == (model, stage)]
            assert len(holding) <= 1, (model, stage, holding, told)
            assert aliases.get(alias) == (holding[0] if holding else None), (alias, told)
    for claim in claims:
        version = found[claim.model, claim.version]
        if claim.told[-1] == "moved":  # no move is lost
            entries = [v for k, v in version.tags.items() if k.startswith("deploy.")]
            assert any(f'"{claim.execution}"' in entry for entry in entries), told
        else:
            assert claim.told[-1] in ("ClaimedElsewhere", "Unsettled"), told
    for claim in served.values():  # nothing that serves is archived
        if claim.told[-1] != "moved":
            assert claim.told[-1] == "ClaimedElsewhere", told
        elif claim.stage == "Production":
            assert found[claim.model, claim.version].current_stage == "Production", told


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_goes_wrong_anywhere_leads_to_the_same_end(client: Any, fault: str) -> None:
    """Version 1 is in Production, 3 claims it: each call of the move in turn goes wrong."""
    # With REGISTRY_EXAMPLES=500 all four at each call, else one at every second call.
    first, step = (1, 1) if _EXAMPLES > 100 else (1 + FAULTS.index(fault), 2 * len(FAULTS))
    for at in itertools.count(first, step):
        model = f"cut-{next(_numbers)}"
        client.create_registered_model(model)
        for _ in range(3):
            client.create_model_version(model, "s3://bucket/model", await_creation_for=0)
        arn = _ARN.format(f"{model}-prod")
        calls = []
        for version in ("1", "3"):
            claim = Claim(
                model=model, version=version, stage="Production", endpoint=arn, execution=version
            )
            faulty = FaultyClient(client, {at: fault} if version == "3" else {})
            claim.attempt(faulty, times_of(Schedule([])), lambda: True)
            calls = faulty.calls
            if claim.told == ["crash"]:
                claim.attempt(FaultyClient(client, {}), times_of(Schedule([])), lambda: True)
            assert claim.told[-1] == "moved"
        versions = {str(v.version): v for v in client.search_model_versions(f"name='{model}'")}
        stages = {number: v.current_stage for number, v in versions.items()}
        assert stages == {"1": "Archived", "2": "None", "3": "Production"}
        aliases = client.get_registered_model(model).aliases
        assert {alias: str(number) for alias, number in aliases.items()} == {"champion": "3"}
        entries = {number: sorted(v.tags) for number, v in versions.items()}
        assert [key for key in entries["3"] if "/" in key] == ["deploy.production/1"]
        assert [key for key in entries["1"] if "/" in key] == [
            "deploy.production/1",
            "deploy.replaced/1",
        ]
        if len(calls) < at:
            assert at > 25
            break
