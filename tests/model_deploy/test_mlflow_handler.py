from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from model_deploy.errors import (
    ClaimedElsewhere,
    InputError,
    MLflowError,
    ModelNotFound,
    Unsettled,
)
from model_deploy.mlflow_handler import Evidence, MLflowHandler, without_credentials
from model_deploy.registry import evidence, versions
from model_deploy.registry.lease import Times
from model_deploy.registry.moves import Version, View, plan_claim, plan_release, require_unclaimed

_ENDPOINT = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop-prod"
_EVIDENCE = Evidence(endpoint_arn=_ENDPOINT, pipeline_execution_id="execution-1", deployed_by="ada")
_WRITES = (
    "set_model_version_tag",
    "delete_model_version_tag",
    "transition_model_version_stage",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)


class _PowerCut(Exception):
    pass


class _CuttingClient:
    """A real client whose power fails at its nth write, before (or after) the write is done."""

    def __init__(self, client: Any, cut_at: int) -> None:
        self._client = client
        self._cut_at = cut_at
        self.writes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in _WRITES:
            return method

        def write(*args: Any, **kwargs: Any) -> Any:
            self.writes.append(name)
            if len(self.writes) == self._cut_at:
                raise _PowerCut
            return method(*args, **kwargs)

        return write


def test_latest_is_the_highest_number(registry: Any, register_versions: Callable[..., str]) -> None:
    name = register_versions(11)
    assert MLflowHandler(registry.uri, name, "latest").resolve() == "11"


@pytest.mark.parametrize("requested", ["@challenger", "challenger", " @challenger "])
def test_alias_resolves_to_its_version(
    registry: Any, register_versions: Callable[..., str], requested: str
) -> None:
    name = register_versions(2)
    registry.client.set_registered_model_alias(name, "challenger", "1")
    assert MLflowHandler(registry.uri, name, requested).resolve() == "1"


def test_a_resolved_version_stays_when_a_newer_one_is_registered(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    handler = MLflowHandler(registry.uri, name, "latest")
    assert handler.resolve() == "1"
    registry.register(name)
    assert handler.resolve() == "1"


def test_missing_version_lists_the_ones_that_exist(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(3)
    with pytest.raises(ModelNotFound) as caught:
        MLflowHandler(registry.uri, name, "7").resolve()
    assert str(caught.value) == (
        f"no version 7 of '{name}' at {registry.uri}; versions there: 1, 2, 3. "
        "Pass --model-version."
    )
    assert caught.value.exit_code == 2


def test_missing_alias_lists_aliases_and_versions(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    registry.client.set_registered_model_alias(name, "champion", "2")
    with pytest.raises(ModelNotFound) as caught:
        MLflowHandler(registry.uri, name, "@best").resolve()
    assert str(caught.value) == (
        f"no alias 'best' of '{name}' at {registry.uri}; aliases there: champion (version 2); "
        "versions: 1, 2. Pass --model-version with one of these, or 'latest'."
    )


def test_missing_model_lists_the_ones_that_exist(
    registry: Any, register_versions: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_LISTED_AT_MOST", 10_000)  # other tests have theirs there
    name = register_versions(1)
    with pytest.raises(ModelNotFound) as caught:
        MLflowHandler(registry.uri, "no-such-model", "1").resolve()
    message = str(caught.value)
    assert message.startswith(
        f"no registered model 'no-such-model' at {registry.uri}; models there:"
    )
    assert f"'{name}'" in message
    assert message.endswith("Pass --model-name.")


def test_model_without_a_version_says_so(registry: Any) -> None:
    name = registry.unique_name()
    registry.client.create_registered_model(name)
    with pytest.raises(ModelNotFound) as caught:
        MLflowHandler(registry.uri, name, "latest").resolve()
    assert str(caught.value) == (
        f"model '{name}' at {registry.uri} has no version. Register one first."
    )


def test_unreachable_server_is_an_error_within_seconds() -> None:
    started = time.monotonic()
    with pytest.raises(MLflowError) as caught:
        MLflowHandler("http://ada:secret@127.0.0.1:9", "housing", "1").resolve()
    assert time.monotonic() - started < 6
    assert str(caught.value) == (
        "MLflow at http://127.0.0.1:9 can not be reached: Connection refused. "
        "Check that it runs, and MLFLOW_TRACKING_URI or --tracking-uri."
    )
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("username", "told"),
    [
        ("", "asks for a login, and there is none: set MLFLOW_CREDENTIALS_SECRET to the ARN"),
        ("client", "refuses the login of 'client': no such user, or another password."),
    ],
)
def test_a_server_that_wants_another_login_says_what_to_set(
    stub_server: Any, monkeypatch: pytest.MonkeyPatch, username: str, told: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", username)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open-sesame")
    stub_server.status, stub_server.body = 401, b"You are not authenticated."
    with pytest.raises(MLflowError) as caught:
        MLflowHandler(stub_server.url, "housing", "1").resolve()
    assert f"MLflow at {stub_server.url} {told}" in str(caught.value)
    assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "answered"), [(502, False), (503, False), (504, False), (500, True)]
)
def test_a_server_that_starts_is_asked_again(
    stub_server: Any, monkeypatch: pytest.MonkeyPatch, status: int, answered: bool
) -> None:
    import requests

    from model_deploy.registry import connection

    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    asked: list[str] = []

    def get(url: str, timeout: float) -> Any:
        asked.append(url)
        return SimpleNamespace(status_code=status)

    monkeypatch.setattr(requests, "get", get)
    if answered:
        connection.Connection("http://mlflow/")._require_server()
        assert (asked, paused) == (["http://mlflow/health"], [])
        return
    with pytest.raises(MLflowError, match=f"can not be reached: it answers HTTP {status}"):
        connection.Connection("http://mlflow/")._require_server()
    assert len(asked) == connection.CONNECT_ATTEMPTS == len(paused) + 1


def test_a_certificate_is_for_mlflow_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    from model_deploy.registry.connection import Connection

    def get(_: str, timeout: float) -> None:
        raise requests.exceptions.SSLError

    monkeypatch.setattr(requests, "get", get)
    Connection("https://mlflow")._require_server()


def test_an_address_that_mlflow_does_not_know_is_told() -> None:
    with pytest.raises(MLflowError, match="MLflow at foo://x could not open: "):
        MLflowHandler("foo://x", "housing", "1").resolve()


@pytest.mark.parametrize(
    "uri", ["arn:aws:sagemaker:eu-west-1:1:mlflow-tracking-server/t", "sqlite"]
)
def test_only_a_managed_mlflow_is_the_global_one(
    registry: Any, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    import mlflow

    from model_deploy.registry.connection import Connection

    told: list[str] = []
    monkeypatch.setattr(mlflow, "set_tracking_uri", told.append)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda **given: SimpleNamespace(ping=lambda: given))
    uri = registry.uri if uri == "sqlite" else uri
    assert Connection(uri).ask("ping") == {"tracking_uri": uri, "registry_uri": uri}
    assert told == ([uri] if uri.startswith("arn:") else [])


def test_absent_database_is_not_created(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'none.db'}"
    with pytest.raises(MLflowError) as caught:
        MLflowHandler(uri, "housing", "1").resolve()
    assert str(caught.value) == (
        f"no MLflow at {uri}: there is no file {tmp_path / 'none.db'}. "
        "Check MLFLOW_TRACKING_URI or --tracking-uri."
    )
    assert not (tmp_path / "none.db").exists()


def test_fetch_gives_the_folder_with_the_models_files(
    registry: Any, register_versions: Callable[..., str], tmp_path: Path
) -> None:
    handler = MLflowHandler(registry.uri, register_versions(1), "1")
    folder = handler.fetch(tmp_path / "fetched")
    assert folder.is_relative_to(tmp_path / "fetched")
    fetched = {path.name: path.read_bytes() for path in folder.iterdir()}
    saved = {path.name: path.read_bytes() for path in registry.model_folder.iterdir()}
    assert fetched == saved


def test_fetch_file_that_is_not_there_is_an_error(
    registry: Any, register_versions: Callable[..., str], tmp_path: Path
) -> None:
    handler = MLflowHandler(registry.uri, register_versions(1), "1")
    assert handler.fetch_file("MLmodel", tmp_path).read_text().startswith("flavors:")
    with pytest.raises(MLflowError, match=r"could not download .*none\.json"):
        handler.fetch_file("none.json", tmp_path)


def test_run_file_is_none_without_a_run_or_without_the_file(registry: Any, tmp_path: Path) -> None:
    name = registry.unique_name()
    registry.register(name)
    registry.register(name, run_id=registry.run_with({"a": 1}))
    without_run = MLflowHandler(registry.uri, name, "1")
    assert without_run.fetch_run_file("raw_rows.json", tmp_path) is None
    with_run = MLflowHandler(registry.uri, name, "2")
    assert with_run.fetch_run_file("other.json", tmp_path) is None
    found = with_run.fetch_run_file("raw_rows.json", tmp_path)
    assert found is not None
    assert found.read_text() == '{"a": 1}'


def test_a_run_s_file_in_a_folder_is_found(registry: Any, tmp_path: Path) -> None:
    run_id = registry.run_with("", "notes.txt")
    for name in ("deep.txt", "other.txt"):
        file = tmp_path / name
        file.write_text(name)
        registry.client.log_artifact(run_id, str(file), "folder")
    registry.register(name := registry.unique_name(), run_id=run_id)
    handler = MLflowHandler(registry.uri, name, "1")
    found = handler.fetch_run_file("folder/deep.txt", tmp_path / "to")
    assert found is not None
    assert found.read_text() == "deep.txt"
    assert handler.fetch_run_file("folder", tmp_path / "to") is None
    assert handler.fetch_run_file("deep.txt", tmp_path / "to") is None


def test_production_archives_only_the_version_it_replaces(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(4)
    MLflowHandler(registry.uri, name, "1").move_stage("Production")
    MLflowHandler(registry.uri, name, "2").move_stage("Staging")
    state = MLflowHandler(registry.uri, name, "3").move_stage("Production", _EVIDENCE)
    assert (state.version, state.stage, state.aliases) == ("3", "Production", ("champion",))
    assert registry.stages(name) == {
        "1": "Archived",
        "2": "Staging",
        "3": "Production",
        "4": "None",
    }
    assert registry.aliases(name) == {"champion": "3", "challenger": "2"}
    assert registry.tags(name, "1")["deploy.replaced_by"] == "3"


def test_a_version_leaves_staging_when_it_becomes_production(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    handler = MLflowHandler(registry.uri, name, "1")
    assert handler.move_stage("Staging").aliases == ("challenger",)
    assert handler.move_stage("Production").aliases == ("champion",)
    assert registry.aliases(name) == {"champion": "1"}


def test_staging_archives_the_earlier_staging_version(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(3)
    MLflowHandler(registry.uri, name, "1").move_stage("Production")
    MLflowHandler(registry.uri, name, "2").move_stage("Staging")
    MLflowHandler(registry.uri, name, "3").move_stage("Staging")
    assert registry.stages(name) == {"1": "Production", "2": "Archived", "3": "Staging"}
    assert registry.aliases(name) == {"champion": "1", "challenger": "3"}


def test_production_version_deployed_to_staging_again_is_not_demoted(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    MLflowHandler(registry.uri, name, "1").move_stage("Production")
    MLflowHandler(registry.uri, name, "2").move_stage("Staging")
    state = MLflowHandler(registry.uri, name, "1").move_stage("Staging", _EVIDENCE)
    assert (state.stage, state.aliases) == ("Production", ("champion",))
    assert registry.stages(name) == {"1": "Production", "2": "Archived"}
    assert registry.aliases(name) == {"champion": "1"}
    assert registry.tags(name, "1")["deploy.staging_endpoint"] == _ENDPOINT


def test_an_archived_version_can_come_back(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    for version in ("1", "2", "1"):
        MLflowHandler(registry.uri, name, version).move_stage("Production")
    assert registry.stages(name) == {"1": "Production", "2": "Archived"}
    assert "deploy.replaced_by" not in registry.tags(name, "1")
    assert registry.tags(name, "2")["deploy.replaced_by"] == "1"


def test_an_alias_that_a_person_set_on_another_version_stays(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    registry.client.set_registered_model_alias(name, "challenger", "2")
    registry.client.set_registered_model_alias(name, "tuesday", "1")
    MLflowHandler(registry.uri, name, "1").move_stage("Production")
    assert registry.aliases(name) == {"challenger": "2", "champion": "1", "tuesday": "1"}


def test_another_model_that_claimed_the_same_endpoint_is_archived(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    served, unconcerned, new = (register_versions(1) for _ in range(3))
    elsewhere = Evidence(endpoint_arn=_ENDPOINT.replace("us-east-1", "eu-west-1"))
    MLflowHandler(registry.uri, served, "1").move_stage("Production", _EVIDENCE)
    MLflowHandler(registry.uri, unconcerned, "1").move_stage("Production", elsewhere)

    MLflowHandler(registry.uri, new, "1").move_stage("Staging", _EVIDENCE)
    assert registry.stages(served) == {"1": "Production"}  # another stage's endpoint tag
    MLflowHandler(registry.uri, new, "1").move_stage("Production", _EVIDENCE)

    assert registry.stages(served) == {"1": "Archived"}
    assert registry.aliases(served) == {}
    assert registry.tags(served, "1")["deploy.replaced_by"] == f"{new}/1"
    assert registry.stages(unconcerned) == {"1": "Production"}
    assert registry.aliases(unconcerned) == registry.aliases(new) == {"champion": "1"}


def test_move_is_recorded_in_tags(registry: Any, register_versions: Callable[..., str]) -> None:
    name = register_versions(1)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _EVIDENCE)
    tags = registry.tags(name, "1")
    at = tags.pop("deploy.production_at")
    assert at.endswith("+00:00")
    assert json.loads(tags.pop("deploy.production/1")) == {
        "at": at,
        "by": "ada",
        "endpoint": _ENDPOINT,
        "pipeline_execution_id": "execution-1",
        "replacements": 0,
    }
    assert tags == {
        "deploy.production_endpoint": _ENDPOINT,
        "deploy.production_pipeline_execution_id": "execution-1",
        "deploy.production_by": "ada",
    }


def test_repeating_a_move_claims_the_stage_again_and_adds_nothing(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _EVIDENCE)
    for stage in ("Staging", "Production"):
        MLflowHandler(registry.uri, name, "2").move_stage(stage, _EVIDENCE)
        counting = _CuttingClient(registry.client, cut_at=0)
        again = MLflowHandler(registry.uri, name, "2", client=counting)
        before = registry.everything(name)
        again.move_stage(stage, _EVIDENCE)
        # MLflow archives whoever else has the stage, also those that no search for holders shows.
        assert counting.writes == ["transition_model_version_stage"]
        assert registry.everything(name) == before


def test_new_evidence_for_the_same_stage_is_recorded(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    handler = MLflowHandler(registry.uri, name, "1")
    handler.move_stage("Staging", _EVIDENCE)
    second = dataclasses.replace(_EVIDENCE, pipeline_execution_id="execution-2")
    handler.move_stage("Staging", second)
    tags = registry.tags(name, "1")
    assert tags["deploy.staging_pipeline_execution_id"] == "execution-2"
    executions = [json.loads(tags[f"deploy.staging/{n}"])["pipeline_execution_id"] for n in (1, 2)]
    assert executions == ["execution-1", "execution-2"]


@pytest.mark.parametrize("stage", ["Staging", "Production"])
def test_a_move_cut_short_anywhere_never_lies_and_is_finished_by_repeating_it(
    registry: Any, register_versions: Callable[..., str], stage: str
) -> None:
    """Version 1 holds Production, 2 holds Staging, 3 claims `stage`; the power fails at write n."""
    cut_at, finished = 0, False
    while not finished:
        cut_at += 1
        name = register_versions(3)
        for version, held, alias in (
            ("1", "Production", "champion"),
            ("2", "Staging", "challenger"),
        ):
            registry.set_stage(name, version, held)
            registry.client.set_registered_model_alias(name, alias, version)
        client = _CuttingClient(registry.client, cut_at)
        try:
            MLflowHandler(registry.uri, name, "3", client=client).move_stage(stage)
            finished = True
        except _PowerCut:
            stages = list(registry.stages(name).values())
            assert stages.count("Production") == 1
            assert stages.count("Staging") == 1
        MLflowHandler(registry.uri, name, "3").move_stage(stage)
        other = {"Staging": "Production", "Production": "Staging"}[stage]
        kept, replaced = {"Staging": ("1", "2"), "Production": ("2", "1")}[stage]
        assert registry.stages(name) == {kept: other, replaced: "Archived", "3": stage}
        aliases = {"Staging": "challenger", "Production": "champion"}
        assert registry.aliases(name) == {aliases[stage]: "3", aliases[other]: kept}
        assert f"deploy.{stage.lower()}_at" in registry.tags(name, "3")
        assert registry.tags(name, replaced)["deploy.replaced_by"] == "3"
    assert cut_at >= 5


def test_state_made_by_hand_is_repaired(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    registry.set_stage(name, "1", "Production")
    registry.set_stage(name, "2", "Production")
    registry.client.set_registered_model_alias(name, "challenger", "2")
    MLflowHandler(registry.uri, name, "2").move_stage("Production")
    assert registry.stages(name) == {"1": "Archived", "2": "Production"}
    assert registry.aliases(name) == {"champion": "2"}


def test_unknown_stage_is_refused(registry: Any, register_versions: Callable[..., str]) -> None:
    with pytest.raises(InputError) as caught:
        MLflowHandler(registry.uri, register_versions(1), "1").move_stage("Live")
    assert str(caught.value) == "no stage 'Live' to move to; stages are Staging, Production."


def test_only_the_stages_deprecation_is_silenced(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    import warnings

    handler = MLflowHandler(registry.uri, register_versions(1), "1")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        handler.move_stage("Staging")
    assert [str(w.message) for w in seen if "stages" in str(w.message)] == []


def test_credentials_are_not_shown() -> None:
    assert without_credentials("https://u:p@host:5000/ml?token=x") == "https://host:5000/ml"
    assert without_credentials("sqlite:////tmp/m.db") == "sqlite:////tmp/m.db"
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team"
    assert without_credentials(arn) == arn


@pytest.mark.parametrize("status", [403, 503])
def test_server_that_refuses_or_is_unwell_is_an_error_within_seconds(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if status == 403 and self.path == "/health" else status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_address[1]}"
    started = time.monotonic()
    try:
        with pytest.raises(MLflowError) as caught:
            MLflowHandler(uri, "housing", "1").resolve()
    finally:
        server.shutdown()
        server.server_close()
    assert time.monotonic() - started < 6
    assert str(caught.value).startswith(f"MLflow at {uri} c")
    assert str(status) in str(caught.value)


def test_two_moves_at_once_leave_one_production_and_its_champion(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    for _ in range(3):
        name = register_versions(2)
        evidence = dataclasses.replace(_EVIDENCE, endpoint_arn=f"{_ENDPOINT}-{name}")
        handlers = [MLflowHandler(registry.uri, name, version) for version in ("1", "2")]
        with ThreadPoolExecutor(2) as pool:
            moves = [pool.submit(h.move_stage, "Production", evidence) for h in handlers]
        assert all(move.result() for move in moves)
        stages = registry.stages(name)
        assert sorted(stages.values()) == ["Archived", "Production"]
        [champion] = [number for number, stage in stages.items() if stage == "Production"]
        assert registry.aliases(name) == {"champion": champion}


_ELSEWHERE = dataclasses.replace(_EVIDENCE, endpoint_arn=_ENDPOINT.replace("shop", "other"))


def test_a_holder_of_another_endpoint_keeps_stage_and_alias(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _ELSEWHERE)
    before = registry.everything(name)
    with pytest.raises(ClaimedElsewhere) as caught:
        MLflowHandler(registry.uri, name, "2").move_stage("Production", _EVIDENCE)
    assert str(caught.value) == (
        f"Production (champion) of '{name}' can not be claimed for the endpoint {_ENDPOINT}: "
        f"version 1 of '{name}' holds it for the endpoint {_ELSEWHERE.endpoint_arn}, which is "
        "another project's, account's or region's. A registered model's stages can speak of one "
        "project only: register this project's model under a name of its own (the pipeline's "
        "parameter RegisteredModelName). If that endpoint is gone, archive version 1 in MLflow and "
        "repeat."
    )
    assert caught.value.exit_code == 2
    assert registry.everything(name) == before


def test_a_claim_elsewhere_is_known_before_anything_is_deployed(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _ELSEWHERE)
    handler = MLflowHandler(registry.uri, name, "2")
    staging = _ENDPOINT.replace("prod", "staging")
    with pytest.raises(ClaimedElsewhere, match="version 1 of"):
        handler.require_unclaimed({"Staging": staging, "Production": _ENDPOINT})
    handler.require_unclaimed({"Staging": staging, "Production": _ELSEWHERE.endpoint_arn})
    registry.set_stage(name, "1", "Archived")  # as the message advises
    handler.require_unclaimed({"Staging": staging, "Production": _ENDPOINT})
    handler.move_stage("Production", _EVIDENCE)
    assert registry.aliases(name) == {"champion": "2"}


def test_a_holder_of_another_endpoint_is_seen_behind_a_higher_one(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(3)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _ELSEWHERE)
    registry.set_stage(name, "2", "Production")  # by hand: two of them, and no evidence
    with pytest.raises(ClaimedElsewhere):
        MLflowHandler(registry.uri, name, "3").move_stage("Production", _EVIDENCE)


def test_every_promotion_stays_recorded(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    told = Evidence(
        endpoint_arn=_ENDPOINT,
        approved_by="arn:aws:iam::123456789012:user/eve",
        approved_at="2026-11-30T12:00:00Z",
        approval_comment="fine " * 200,
        commit="c" * 40,
        archive_sha256="a" * 64,
        image="sha256:" + "b" * 64,
        test_summary="8 checks passed, p95 52 ms",
    )
    for number, version in enumerate(("1", "2", "1", "2", "1")):
        evidence = dataclasses.replace(told, pipeline_execution_id=f"execution-{number}")
        MLflowHandler(registry.uri, name, version).move_stage("Production", evidence)
    tags = registry.tags(name, "1")
    entries = [json.loads(tags[f"deploy.production/{n}"]) for n in (1, 2, 3)]
    executions = [entry["pipeline_execution_id"] for entry in entries]
    assert executions == ["execution-0", "execution-2", "execution-4"]
    assert {entry["image"] for entry in entries} == {told.image}
    assert entries[0]["approval_comment"].endswith("... (1,000 characters in all)")
    assert len(tags["deploy.production/1"]) < 5000
    assert tags["deploy.production_test_summary"] == told.test_summary
    replaced = [json.loads(tags[f"deploy.replaced/{n}"])["by"] for n in (1, 2)]
    assert replaced == ["2", "2"]
    assert "deploy.replaced_by" not in tags
    assert registry.tags(name, "2")["deploy.replaced_by"] == "1"


def test_a_promotion_from_before_they_were_numbered_is_kept(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    for key, value in (("at", "2025-01-01T00:00:00+00:00"), ("by", "ada")):
        registry.client.set_model_version_tag(name, "1", f"deploy.production_{key}", value)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _EVIDENCE)
    tags = registry.tags(name, "1")
    first = json.loads(tags["deploy.production/1"])
    assert first == {"replacements": 0, "at": "2025-01-01T00:00:00+00:00", "by": "ada"}
    assert json.loads(tags["deploy.production/2"])["endpoint"] == _ENDPOINT


def test_all_archives_of_a_version_stay_findable(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    handler = MLflowHandler(registry.uri, name := register_versions(1), "1")
    for digest in ("a" * 64, "b" * 64, "b" * 64):
        handler.record_archive(digest, f"s3://bucket/{digest}/model.tar.gz")
    tags = registry.tags(name, "1")
    assert tags["deploy.archive_sha256"] == "b" * 64
    assert tags["deploy.archive_uri"] == f"s3://bucket/{'b' * 64}/model.tar.gz"
    assert tags["deploy.archive/" + "a" * 64] == f"s3://bucket/{'a' * 64}/model.tar.gz"


def test_an_endpoint_that_serves_another_version_by_now_moves_nothing(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    before = registry.everything(name)
    with pytest.raises(Unsettled, match="serves something else by now") as caught:
        MLflowHandler(registry.uri, name, "1").move_stage("Staging", _EVIDENCE, lambda: False)
    assert caught.value.exit_code == 4
    assert registry.everything(name) == before


class _Failing:
    """A client whose calls of one method fail `times` times, before or after MLflow did them."""

    def __init__(self, client: Any, method: str, times: int, code: str = "") -> None:
        self._client, self._method, self._left, self._code = client, method, times, code

    def __getattr__(self, name: str) -> Any:
        from mlflow.exceptions import RestException

        def call(*args: Any, **kwargs: Any) -> Any:
            if name == self._method and self._left > 0:
                self._left -= 1
                code = self._code or "TEMPORARILY_UNAVAILABLE"
                raise RestException({"error_code": code, "message": "planted"})
            return getattr(self._client, name)(*args, **kwargs)

        return call


@pytest.mark.parametrize(
    "method",
    ["create_experiment", "transition_model_version_stage", "set_registered_model_alias"],
)
def test_an_unwell_mlflow_is_tried_for_minutes_and_then_unsettled(
    registry: Any, register_versions: Callable[..., str], method: str, caplog: Any
) -> None:
    name, now = register_versions(1), [0.0]
    evidence = dataclasses.replace(_EVIDENCE, endpoint_arn=f"{_ENDPOINT}-{name}")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    times = Times(lease_seconds=100, call_seconds=10, clock=lambda: now[0], sleep=sleep)
    for failures, ends in ((20, "settled"), (1000, "unsettled")):
        client = _Failing(registry.client, method, failures)
        handler = MLflowHandler(registry.uri, name, "1", client=client, times=times)
        if ends == "settled":
            assert handler.move_stage("Production", evidence).stage == "Production"
            registry.client.delete_registered_model_alias(name, "champion")
            continue
        begun = now[0]
        with pytest.raises(Unsettled, match="tried for 3"):
            handler.move_stage("Production", evidence)
        assert 300 <= now[0] - begun < 900
    assert "tried again for 300 s more" in caplog.text


def test_a_refusal_is_unsettled_at_once(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    client = _Failing(registry.client, "transition_model_version_stage", 1, "PERMISSION_DENIED")
    with pytest.raises(Unsettled, match="planted"):
        MLflowHandler(registry.uri, name, "1", client=client).move_stage("Staging", _EVIDENCE)
    assert MLflowHandler(registry.uri, name, "1").move_stage("Staging").stage == "Staging"


@pytest.mark.parametrize(
    "name", ["it's", 'the "best"', 'it\'s "best"', "back\\slash", "50 % & more; -- x", "ünï_code"]
)
def test_names_with_any_letters_are_found_and_moved(registry: Any, name: str) -> None:
    unique = f"{name} {registry.unique_name()}"
    alike = re.sub(r"[^a-z0-9-]", "x", unique)
    for registered in (unique, unique, alike, alike, alike):
        registry.register(registered)
    handler = MLflowHandler(registry.uri, unique, "latest")
    assert handler.resolve() == "2"
    arn = f"{_ENDPOINT}-{alike}"
    assert handler.move_stage("Production", Evidence(endpoint_arn=arn)).aliases == ("champion",)
    MLflowHandler(registry.uri, alike, "3").move_stage("Production", Evidence(endpoint_arn=arn))
    assert handler.state().stage == "Archived"  # another model on the same endpoint
    with pytest.raises(ModelNotFound, match="versions there: 1, 2"):
        MLflowHandler(registry.uri, unique, "9").resolve()


def test_a_misspelled_name_is_offered_those_that_look_alike(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    models = [SimpleNamespace(name=f"model-{number:04}") for number in range(1201)]
    models.append(SimpleNamespace(name="Housing-Prices"))
    paging = MagicMock(spec=MlflowClient)

    def search(query: str | None, max_results: int, **options: Any) -> Any:
        begin = int(options["page_token"] or 0)
        found = [] if query else models[begin : begin + max_results]
        more = str(begin + max_results) if not query and begin + max_results < len(models) else ""
        return _Page(found, more)

    paging.search_registered_models.side_effect = search
    paging.search_model_versions.side_effect = lambda *_, **__: _Page([], "")
    with pytest.raises(ModelNotFound) as caught:
        MLflowHandler("sqlite:///x.db", "housing-price", "latest", client=paging).resolve()
    assert str(caught.value) == (
        "no registered model 'housing-price' at sqlite:///x.db; of the 1,202 models there these "
        "look alike: 'Housing-Prices'. Pass --model-name."
    )


class _Page(list[Any]):
    def __init__(self, found: list[Any], token: str) -> None:
        super().__init__(found)
        self.token = token


def test_an_mlflow_frozen_in_mid_call_speaks_and_ends(
    stub_server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from model_deploy.registry import connection

    monkeypatch.setattr(connection, "_FIRST_WORD_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # it accepts, and never answers
        uri = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        monkeypatch.setattr(connection.Connection, "_require_server", lambda _: None)
        with pytest.raises(MLflowError, match="timed out"):
            MLflowHandler(uri, "housing", "7").resolve()
    assert f"MLflow at {uri} has not answered get_model_version for " in caplog.text
    assert "given up after about 3 s" in caplog.text


def test_the_longest_call_has_its_tries_and_the_pauses_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from model_deploy.registry.connection import longest_call_seconds

    for name, value in {
        "MAX_RETRIES": "4",
        "TIMEOUT": "10",
        "BACKOFF_FACTOR": "1",
        "BACKOFF_JITTER": "0.5",
    }.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    assert longest_call_seconds() == 5 * 10 + 0.5 + 2.5 + 4.5 + 8.5


def test_no_thread_of_mlflow_changes_the_environment_after_a_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from model_deploy.mlflow_handler import log_in

    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("MLFLOW_DISABLE_TELEMETRY", None)
    log_in("http://127.0.0.1:9", "")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_call_ends_within_two_minutes_with_what_the_commands_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from model_deploy.command_line import set_up_process
    from model_deploy.registry.connection import longest_call_seconds

    for name in ("MAX_RETRIES", "TIMEOUT"):
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    set_up_process("INFO")
    assert longest_call_seconds() < 120
    assert Times.of_environment().lease_seconds > 2 * longest_call_seconds()


def test_entries_of_a_version_are_read_in_the_order_of_their_numbers() -> None:
    tags = {
        "deploy.staging/10": '{"at": "c"}',
        "deploy.staging/2": '{"at": "b"}',
        "deploy.staging/1": "no JSON",
        "deploy.staging/3": "[1]",
        "deploy.staging/x": '{"at": "d"}',
        "deploy.staging_at": "e",
    }
    assert evidence.promotions(tags, "Staging") == [{}, {"at": "b"}, {}, {"at": "c"}]
    given = Evidence(endpoint_arn="arn:e", deployed_by="ada", commit="abc")
    written = evidence.tags_of_promotion(tags, "Staging", given, "now")
    entry = {"at": "now", "replacements": 0, "endpoint": "arn:e", "by": "ada", "commit": "abc"}
    assert json.loads(written.pop("deploy.staging/11")) == entry
    assert written == {
        "deploy.staging_at": "now",
        "deploy.staging_endpoint": "arn:e",
        "deploy.staging_by": "ada",
        "deploy.staging_commit": "abc",
    }
    again = {**tags, **written, "deploy.staging/11": json.dumps(entry)}
    assert evidence.tags_of_promotion(again, "Staging", given, "later") == {}
    # What is known no longer is emptied, so that no old word is taken for a new one.
    less = evidence.tags_of_promotion(again, "Staging", Evidence(endpoint_arn="arn:e"), "later")
    assert (less["deploy.staging_by"], less["deploy.staging_commit"]) == ("", "")
    assert less["deploy.staging_at"] == "later"
    assert evidence.from_fields({**entry, "other": "x"}) == given  # type: ignore[dict-item]


def test_what_replaced_a_version_is_recorded_once() -> None:
    first = evidence.tags_of_replacement({}, "Staging", "7", "now")
    entry = {"at": "now", "by": "7", "stage": "Staging", "promotions": 0}
    assert json.loads(first["deploy.replaced/1"]) == entry
    assert first["deploy.replaced_by"] == "7"
    assert evidence.tags_of_replacement(first, "Staging", "7", "later") == {}
    assert set(evidence.tags_of_replacement(first, "Production", "7", "later")) == {
        "deploy.replaced/2"
    }
    promoted = {**first, "deploy.production/1": "{}"}
    assert set(evidence.tags_of_replacement(promoted, "Staging", "7", "later")) == {
        "deploy.replaced/2"
    }


def test_a_long_word_is_shortened_and_says_so() -> None:
    assert Evidence(commit="x" * 400).as_fields()["commit"] == "x" * 400
    told = "... (5,000 characters in all)"
    fitted = Evidence(commit="x" * 5000).as_fields()["commit"]
    assert fitted == "x" * (400 - len(told)) + told


def test_an_archive_is_recorded_by_its_digest() -> None:
    written = evidence.tags_of_archive({}, "abc", "s3://b/k")
    assert written == {
        "deploy.archive/abc": "s3://b/k",
        "deploy.archive_sha256": "abc",
        "deploy.archive_uri": "s3://b/k",
    }
    assert evidence.tags_of_archive(written, "abc", "s3://b/k") == {}
    assert set(evidence.tags_of_archive(written, "def", "s3://b/k")) == {
        "deploy.archive/def",
        "deploy.archive_sha256",
    }


_MOVE, _ALIAS, _NO_ALIAS, _TAG, _NO_TAG = (
    "transition_model_version_stage",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
    "delete_model_version_tag",
)


def _told(writes: Any) -> list[tuple[str, ...]]:
    return [
        (w.method, *w.arguments, *(f"{key}={value}" for key, value in w.options.items()))
        for w in writes
    ]


def test_what_is_written_and_in_which_order() -> None:
    new = Version(name="m", number="2", stage="Staging", tags={"old": "x"})
    old = Version(name="m", number="1", stage="Production")
    other = Version(name="o", number="7", stage="Production")
    view = View(
        stage="Production",
        holders=[old],
        aliases={"champion": old, "challenger": new},
        others=[other],
        others_aliases={"o": "7"},
    )
    assert view.describe() == (
        "Production: version 1; challenger: version 2; champion: version 1; "
        "Production on the same endpoint: version 7 of 'o'"
    )
    replaced = {("m", "1"): {"by": "2"}, ("o", "7"): {"by": "m/2"}}
    writes = plan_claim(
        view, new, tags={"why": "y"}, tags_of_replaced=replaced, tags_to_delete=["old", "none"]
    )
    assert _told(writes) == [
        (_TAG, "m", "2", "why", "y"),
        (_NO_TAG, "m", "2", "old"),
        (_TAG, "m", "1", "by", "2"),
        (_TAG, "o", "7", "by", "m/2"),
        (_MOVE, "m", "2", "Production", "archive_existing_versions=True"),
        (_NO_ALIAS, "m", "challenger"),
        (_ALIAS, "m", "champion", "2"),
        (_NO_ALIAS, "o", "champion"),
        (_MOVE, "o", "7", "Archived", "archive_existing_versions=False"),
    ]
    released = plan_release(dataclasses.replace(view, others_aliases={"o": "8"}), [other], replaced)
    assert _told(released) == [
        (_TAG, "o", "7", "by", "m/2"),
        (_MOVE, "o", "7", "Archived", "archive_existing_versions=False"),
    ]


def test_a_production_version_claims_staging_without_leaving_production() -> None:
    champion = Version(name="m", number="2", stage="Production")
    staged = Version(name="m", number="3", stage="Staging")
    gone = Version(name="m", number="1", stage="Archived")
    view = View(
        stage="Staging", holders=[staged], aliases={"champion": champion, "challenger": staged}
    )
    nothing: dict[str, Any] = {"tags": {}, "tags_of_replaced": {}}
    assert _told(plan_claim(view, champion, **nothing)) == [
        (_MOVE, "m", "3", "Archived", "archive_existing_versions=False"),
        (_NO_ALIAS, "m", "challenger"),
    ]
    view = View(stage="Staging", aliases={"champion": champion})
    assert view.describe() == "Staging: nobody; challenger: nobody; champion: version 2"
    assert plan_claim(view, champion, **nothing) == []
    assert plan_claim(view, champion, **nothing, always_claim=True) == []
    view = View(stage="Staging", holders=[staged], aliases={"challenger": staged, "champion": gone})
    assert _told(plan_claim(view, staged, **nothing)) == [(_NO_ALIAS, "m", "champion")]
    view = View(stage="Staging", holders=[staged], aliases={"challenger": staged})
    assert plan_claim(view, staged, **nothing) == []
    assert _told(plan_claim(view, staged, **nothing, always_claim=True)) == [
        (_MOVE, "m", "3", "Staging", "archive_existing_versions=True")
    ]


@pytest.mark.parametrize(
    ("stage_of_named", "endpoint", "claimed"),
    [
        ("Staging", "arn:theirs", True),
        ("Staging", "arn:ours", False),
        ("Staging", "", False),
        ("None", "arn:theirs", True),
        ("Archived", "arn:theirs", False),
    ],
)
def test_who_has_the_alias_claims_it_for_his_endpoint(
    stage_of_named: str, endpoint: str, claimed: bool
) -> None:
    tags = {"deploy.staging_endpoint": endpoint, "deploy.production_endpoint": "arn:theirs"}
    named = Version(name="m", number="1", stage=stage_of_named, tags=tags)
    view = View(stage="Staging", aliases={"challenger": named})
    if not claimed:
        require_unclaimed(view, "m", "arn:ours")
        return
    told = (
        r"Staging \(challenger\) of 'm' can not be claimed for the endpoint arn:ours: version 1 of"
    )
    with pytest.raises(ClaimedElsewhere, match=told):
        require_unclaimed(view, "m", "arn:ours")
    with pytest.raises(ClaimedElsewhere, match="for the endpoint of an unknown ARN"):
        require_unclaimed(view, "m", "")


@pytest.mark.parametrize("arn", ["arn:aws:sagemaker:us-east-1:123456789012:endpoint/shop", ""])
def test_a_move_holds_the_leases_of_its_endpoint_and_its_model(
    register_versions: Callable[..., str],
    registry: Any,
    monkeypatch: pytest.MonkeyPatch,
    arn: str,
) -> None:
    from model_deploy.registry import stage_move
    from model_deploy.registry.lease import Lease

    name = register_versions(1)
    taken: list[str] = []

    class Told(Lease):
        def require(self) -> None:
            taken.append(self.subject)
            super().require()

    monkeypatch.setattr(stage_move, "Lease", Told)
    endpoint_arn = arn and f"{arn}-{name}"
    MLflowHandler(registry.uri, name, "1").move_stage(
        "Staging", Evidence(endpoint_arn=endpoint_arn)
    )
    assert set(taken) == {*([f"endpoint {endpoint_arn}"] if arn else []), f"model {name}"}


@pytest.mark.parametrize("lost", [1, 4, 5])
def test_what_somebody_else_undoes_is_written_again_five_times(
    registry: Any,
    register_versions: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lost: int,
) -> None:
    from model_deploy.registry import stage_move

    name = register_versions(1)
    write, left = stage_move._write, [lost]

    def lose(*arguments: Any) -> None:
        if left[0]:
            left[0] -= 1
        else:
            write(*arguments)

    monkeypatch.setattr(stage_move, "_write", lose)
    handler = MLflowHandler(registry.uri, name, "1")
    if lost < 5:
        assert handler.move_stage("Staging", _EVIDENCE).stage == "Staging"
        assert caplog.text.count("written again") == lost
        return
    with pytest.raises(Unsettled, match="written 5 times, the registry says: Staging: nobody"):
        handler.move_stage("Staging", _EVIDENCE)


def test_a_version_that_is_not_ready_is_not_found(
    registry: Any, register_versions: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = register_versions(1)
    found = SimpleNamespace(version="1", status="PENDING_REGISTRATION")
    monkeypatch.setattr(versions, "_by_number", lambda *_: found)
    with pytest.raises(ModelNotFound, match=r"version 1 of .* is PENDING_REGISTRATION, not READY"):
        MLflowHandler(registry.uri, name, "1").resolve()


def test_of_many_versions_the_newest_are_listed(
    registry: Any, register_versions: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = register_versions(4)
    for most, told in (
        (3, "versions there: 2, 3, 4 (the newest 3; there are older ones)."),
        (4, "versions there: 1, 2, 3, 4."),
    ):
        monkeypatch.setattr(versions, "_LISTED_AT_MOST", most)
        with pytest.raises(ModelNotFound, match=re.escape(told)):
            MLflowHandler(registry.uri, name, "9").resolve()


def test_a_connection_that_breaks_is_an_unwell_mlflow(registry: Any) -> None:
    from model_deploy.registry.connection import Connection, MLflowUnwell

    client = MagicMock()
    client.get_model_version.side_effect = ConnectionResetError("cut off")
    with pytest.raises(MLflowUnwell, match="could not answer: cut off"):
        Connection(registry.uri, client).ask("get_model_version", "m", "1")


def _deployed(registry: Any, name: str, *moved: tuple[str, str]) -> None:
    """Versions of one project, in the order in which their endpoints passed."""
    for number, (version, stage) in enumerate(moved):
        arn = f"{_ENDPOINT.replace('prod', 'staging' if stage == 'Staging' else 'prod')}-{name}"
        evidence = Evidence(endpoint_arn=arn, pipeline_execution_id=str(number))
        MLflowHandler(registry.uri, name, version).move_stage(stage, evidence)


_BOTH = (("1", "Staging"), ("1", "Production"), ("2", "Staging"), ("2", "Production"))


def test_who_leaves_production_and_passed_last_on_staging_is_challenger_again(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(3)
    _deployed(registry, name, *_BOTH, ("1", "Production"))  # prod goes back, staging does not
    assert registry.stages(name) == {"1": "Production", "2": "Staging", "3": "None"}
    assert registry.aliases(name) == {"champion": "1", "challenger": "2"}
    assert registry.tags(name, "2")["deploy.replaced_by"] == "1"
    _deployed(registry, name, ("1", "Production"), ("3", "Staging"))
    assert registry.stages(name) == {"1": "Production", "2": "Archived", "3": "Staging"}
    assert registry.aliases(name) == {"champion": "1", "challenger": "3"}


def test_who_leaves_production_is_archived_when_staging_served_another_since(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(3)
    _deployed(registry, name, *_BOTH, ("3", "Staging"), ("1", "Production"))
    assert registry.stages(name) == {"1": "Production", "2": "Archived", "3": "Staging"}
    assert registry.aliases(name) == {"champion": "1", "challenger": "3"}


def test_a_fall_back_to_staging_that_was_cut_short_is_finished(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    for cut_at in range(1, 20):
        name = register_versions(2)
        _deployed(registry, name, *_BOTH)
        client = _CuttingClient(registry.client, cut_at)
        evidence = Evidence(endpoint_arn=f"{_ENDPOINT}-{name}", pipeline_execution_id="4")
        try:
            MLflowHandler(registry.uri, name, "1", client=client).move_stage("Production", evidence)
            break
        except _PowerCut:
            assert list(registry.stages(name).values()).count("Production") == 1
        MLflowHandler(registry.uri, name, "1").move_stage("Production", evidence)
        assert registry.stages(name) == {"1": "Production", "2": "Staging"}
        assert registry.aliases(name) == {"champion": "1", "challenger": "2"}
    assert cut_at > 5


def test_another_model_that_leaves_production_keeps_its_staging_endpoint_too(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    served, new = register_versions(1), register_versions(1)
    _deployed(registry, served, ("1", "Staging"), ("1", "Production"))
    evidence = Evidence(endpoint_arn=f"{_ENDPOINT}-{served}")
    MLflowHandler(registry.uri, new, "1").move_stage("Production", evidence)
    assert registry.stages(served) == {"1": "Staging"}
    assert registry.aliases(served) == {"challenger": "1"}


def test_a_test_repeated_in_one_execution_is_no_new_promotion(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    for execution, summary, entries in (("1", "p95 52 ms", 1), ("1", "p95 57 ms", 1), ("2", "", 2)):
        evidence = Evidence(
            endpoint_arn=_ENDPOINT, pipeline_execution_id=execution, test_summary=summary
        )
        MLflowHandler(registry.uri, name, "1").move_stage("Production", evidence)
        tags = registry.tags(name, "1")
        numbered = [key for key in tags if key.startswith("deploy.production/")]
        assert len(numbered) == entries
        last = json.loads(tags[f"deploy.production/{entries}"])
        assert tags["deploy.production_at"] == last["at"]
        told = "p95 52 ms" if execution == "1" else ""
        assert tags["deploy.production_test_summary"] == told


def test_who_may_not_make_experiments_is_told_that_a_lock_is_one(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    for method in ("create_experiment", "delete_experiment"):
        name = register_versions(1)  # what can't be deleted stays a lock
        client = _Failing(registry.client, method, 1, "PERMISSION_DENIED")
        with pytest.raises(MLflowError, match="the right to create experiments, or to delete") as e:
            MLflowHandler(registry.uri, name, "1", client=client).require_unclaimed({})
        assert "reconcile with --apply" in str(e.value)
    name = register_versions(1)
    client = _Failing(registry.client, "create_experiment", 1, "PERMISSION_DENIED")
    with pytest.raises(Unsettled, match="a lock is an experiment of MLflow"):
        MLflowHandler(registry.uri, name, "1", client=client).move_stage("Staging", _EVIDENCE)


def test_the_wait_for_health_is_told_with_its_own_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from model_deploy.registry import connection

    monkeypatch.setattr(connection, "_FIRST_WORD_SECONDS", 0.01)
    monkeypatch.setattr(
        connection.Connection, "_require_server", lambda _: time.sleep(0.1) or _refuse()
    )
    with pytest.raises(MLflowError):
        MLflowHandler("http://127.0.0.1:1", "housing", "7").resolve()
    assert "has not answered /health for 0 s; given up after about 16 s" in caplog.text


def _refuse() -> None:
    raise MLflowError("not there")
