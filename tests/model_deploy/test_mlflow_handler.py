from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from model_deploy.errors import InputError, MLflowError, ModelNotFound
from model_deploy.mlflow_handler import Evidence, MLflowHandler, without_credentials

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
    registry: Any, register_versions: Callable[..., str]
) -> None:
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
