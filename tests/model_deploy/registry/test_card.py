"""What became of a version, in its description: beside a person's text, and never in its way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from model_deploy.mlflow_handler import Evidence, MLflowHandler
from model_deploy.registry import card
from tests.model_deploy.registry.interleaving import (
    FAULTS,
    FaultyClient,
    PowerCut,
    Schedule,
    times_of,
)

_ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/{}"
_STAGED = Evidence(
    endpoint_arn=_ARN.format("shop-staging"),
    pipeline_execution_id="execution-1",
    deployed_by="ada",
    commit="0123456789abcdef",
    archive_sha256="b44c879f" * 8,
    test_summary="10 checks passed, p95 22 ms",
)
_PROD = Evidence(
    endpoint_arn=_ARN.format("shop-prod"),
    pipeline_execution_id="execution-1",
    approved_by="arn:aws:iam::123456789012:user/grace",
    approved_at="2026-11-30T20:15:00+00:00",
    approval_comment="<script>alert(1)</script> looks *good* | @all",
    test_summary="10 checks passed, p95 20 ms",
)
_AT = "2026-11-30T20:10:00.000+00:00"
_CARD = "forest predicts price\n\n**Gate passed**\n\n## Model\n\n* 3 columns\n"


def _description(registry: Any, name: str, version: str) -> str:
    return str(registry.client.get_model_version(name, version).description or "")


def _describe(registry: Any, name: str, version: str, text: str) -> None:
    registry.client.update_model_version(name, version, text)


def _without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "NOW", text)


def test_each_stage_has_its_section_before_the_model(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(1)
    _describe(registry, name, "1", _CARD)
    handler = MLflowHandler(registry.uri, name, "1")
    handler.move_stage("Staging", _STAGED)
    handler.move_stage("Production", _PROD)
    assert _without_times(_description(registry, name, "1")) == (
        "forest predicts price\n\n**Gate passed**\n\n"
        "<!-- deploy:staging -->\n\n"
        "## Staging: passed NOW\n\n"
        "* Passed NOW on endpoint shop-staging: 10 checks passed, p95 22 ms\n"
        "* Deployed: execution execution-1, commit 0123456789ab, archive b44c879fb44c, by ada\n"
        "<!-- /deploy -->\n\n"
        "<!-- deploy:production -->\n\n"
        "## Production: passed NOW\n\n"
        "* Passed NOW on endpoint shop-prod: 10 checks passed, p95 20 ms\n"
        "* Approved by grace, NOW: &lt;script&gt;alert(1)&lt;/script&gt; looks \\*good\\* &#124; "
        "\\@all\n"
        "* Deployed: execution execution-1\n"
        "<!-- /deploy -->\n\n"
        "## Model\n\n* 3 columns\n"
    )


def test_who_is_replaced_and_who_replaces_say_so_on_both_cards(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    for version in ("1", "2"):
        MLflowHandler(registry.uri, name, version).move_stage("Production", _PROD)
    assert registry.stages(name) == {"1": "Archived", "2": "Production"}
    assert "## Production until NOW: replaced by version 2\n" in _without_times(
        _description(registry, name, "1")
    )
    assert "\n* Replaces version 1\n" in _description(registry, name, "2")
    # Back to the first: each card tells the last of it, once.
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _PROD)
    first, second = (_description(registry, name, version) for version in ("1", "2"))
    assert "## Production: passed" in first
    assert "\n* Replaces version 2\n" in first
    assert "## Production until NOW: replaced by version 1\n" in _without_times(second)
    assert "\n* Replaces version 1\n" in second
    assert [text.count("## Production") for text in (first, second)] == [1, 1]


def test_another_model_that_held_the_endpoint_says_by_whom_it_was_replaced(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    old, new = register_versions(1), register_versions(1)
    evidence = Evidence(endpoint_arn=_ARN.format(f"{new}-prod"))
    MLflowHandler(registry.uri, old, "1").move_stage("Production", evidence)
    MLflowHandler(registry.uri, new, "1").move_stage("Production", evidence)
    assert f": replaced by version 1 of {new}\n" in _description(registry, old, "1")
    assert f"* Replaces version 1 of {old}\n" in _description(registry, new, "1")


def test_an_endpoint_that_serves_the_version_no_longer_is_told(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    from model_deploy.registry import stage_move
    from model_deploy.registry.connection import Connection
    from model_deploy.registry.lease import Times

    name = register_versions(1)
    arn = _ARN.format(f"{name}-prod")
    MLflowHandler(registry.uri, name, "1").move_stage("Production", Evidence(endpoint_arn=arn))
    stage_move.release_stage(
        Connection(registry.uri),
        "Production",
        arn,
        "no endpoint",
        Times.of_environment(),
        lambda: True,
    )
    assert "## Production until NOW: the endpoint serves it no longer (no endpoint)\n" in (
        _without_times(_description(registry, name, "1"))
    )


def test_repeating_a_move_writes_no_card(
    registry: Any, register_versions: Callable[..., str]
) -> None:
    name = register_versions(2)
    for version in ("1", "2"):
        MLflowHandler(registry.uri, name, version).move_stage("Staging", _STAGED)
    before = [_description(registry, name, version) for version in ("1", "2")]
    counting = FaultyClient(registry.client, {})
    MLflowHandler(registry.uri, name, "2", client=counting).move_stage("Staging", _STAGED)
    assert "update_model_version" not in counting.calls
    assert [_description(registry, name, version) for version in ("1", "2")] == before


def test_what_a_person_wrote_stays(registry: Any, register_versions: Callable[..., str]) -> None:
    name = register_versions(1)
    handler = MLflowHandler(registry.uri, name, "1")
    handler.move_stage("Staging", _STAGED)
    section = _description(registry, name, "1")
    _describe(registry, name, "1", f"Before <b>it</b>\n\n{section}\nAfter it.\n\nThe end")
    handler.move_stage("Production", _PROD)
    text = _description(registry, name, "1")
    assert text.startswith("Before <b>it</b>\n\nAfter it.\n\nThe end\n\n<!-- deploy:staging -->")
    assert [text.count(f"<!-- deploy:{stage} -->") for stage in ("staging", "production")] == [1, 1]


def test_a_description_without_room_keeps_its_text_and_the_move_is_made(
    registry: Any, register_versions: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    name = register_versions(1)
    _describe(registry, name, "1", "x" * 4990)
    assert MLflowHandler(registry.uri, name, "1").move_stage("Staging", _STAGED).stage == "Staging"
    assert _description(registry, name, "1") == "x" * 4990
    assert (
        f"version 1 of {name}: its description of 4990 characters has no room for what became of "
        "it; MLflow takes 5000. Shorten it in MLflow"
    ) in caplog.text


@pytest.mark.parametrize("length", [4100, 4400, 4800])
def test_where_there_is_little_room_sections_become_their_headings(length: int) -> None:
    tags = {
        f"deploy.{stage}/1": json.dumps({"at": _AT, "test_summary": "ten checks passed, " * 16})
        for stage in ("staging", "production")
    }
    text = card.rewrite("x" * length, tags)
    assert text is not None
    assert length < len(text) <= card.LONGEST
    assert text.count("ten checks") == {4100: 32, 4400: 16, 4800: 0}[length]
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Staging: passed 2026-11-30 20:10 UTC",
        "## Production: passed 2026-11-30 20:10 UTC",
    ]


class _Refusing:
    """A client that refuses one method, as a login without the right to it sees MLflow."""

    def __init__(self, client: Any, method: str) -> None:
        self._client = client
        self._method = method
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._client, name)

        def refuse(*_: Any, **__: Any) -> None:
            from mlflow.exceptions import MlflowException
            from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

            self.refused += 1
            raise MlflowException("planted", error_code=PERMISSION_DENIED)

        return refuse


def test_a_card_that_mlflow_refuses_is_told_and_the_move_is_made(
    registry: Any, register_versions: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    name = register_versions(2)
    evidence = Evidence(endpoint_arn=_ARN.format(f"{name}-prod"))
    for version in ("1", "2"):
        client = _Refusing(registry.client, "update_model_version")
        handler = MLflowHandler(registry.uri, name, version, client=client)
        assert handler.move_stage("Production", evidence).stage == "Production"
        assert client.refused == int(version)
    assert f"version 1 of {name}: its model card was not written: " in caplog.text
    assert registry.stages(name) == {"1": "Archived", "2": "Production"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_card_cut_short_is_finished_by_repeating_the_move(
    registry: Any, register_versions: Callable[..., str], fault: str
) -> None:
    name = register_versions(2)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _PROD)
    counting = FaultyClient(registry.client, {})
    MLflowHandler(registry.uri, name, "2", client=counting).move_stage("Production", _PROD)
    at = counting.calls.index("update_model_version") + 1
    name = register_versions(2)
    MLflowHandler(registry.uri, name, "1").move_stage("Production", _PROD)
    faulty = FaultyClient(registry.client, {at: fault})
    times = times_of(Schedule([]))
    try:
        MLflowHandler(registry.uri, name, "2", client=faulty, times=times).move_stage(
            "Production", _PROD
        )
    except PowerCut:
        assert fault.startswith("crash")
    assert registry.stages(name) == {"1": "Archived", "2": "Production"}
    MLflowHandler(registry.uri, name, "2", times=times).move_stage("Production", _PROD)
    assert "* Replaces version 1\n" in _description(registry, name, "2")
    assert ": replaced by version 2\n" in _description(registry, name, "1")


def test_a_promotion_from_before_they_were_numbered_has_its_section() -> None:
    text = card.rewrite("", {"deploy.staging_at": _AT, "deploy.staging_by": "ada"})
    assert text is not None
    assert "## Staging: passed 2026-11-30 20:10 UTC\n" in text
    assert "* Deployed: by ada\n" in text


@pytest.mark.parametrize(
    "text", ["", "{}", "no JSON", '["a"]', '{"at": 7, "by": null}', '{"at": "now"}']
)
def test_tags_that_a_person_spoiled_break_nothing(text: str) -> None:
    for key in ("deploy.staging/1", "deploy.production/2", "deploy.replaced/1"):
        assert card.rewrite("mine", {key: text, "deploy.staging_by": "ada"}) is not None


def test_a_fault_of_the_card_itself_is_told_and_the_move_is_made(
    registry: Any,
    register_versions: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(card, "rewrite", lambda *_: 1 // 0)
    name = register_versions(1)
    assert MLflowHandler(registry.uri, name, "1").move_stage("Staging", _STAGED).stage == "Staging"
    assert f"version 1 of {name}: its model card was not written\n" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_version_that_never_moved_keeps_its_description() -> None:
    assert card.rewrite(_CARD, {"gate.metric": "rmse"}) == _CARD


_ODD = st.text(
    st.sampled_from("ab_ |`<>&*[](){}#~@!\\-+=1.\n\r\t\u2028\u202e'\"/:é") | st.characters(),
    max_size=500,
)


@settings(max_examples=300, deadline=None)
@given(
    person=st.text(st.sampled_from("ab \n#*-<>"), max_size=5200),
    words=st.lists(_ODD, min_size=6, max_size=6),
    replaced=st.booleans(),
)
def test_any_words_are_shown_as_they_are_below_the_limit(
    person: str, words: list[str], replaced: bool
) -> None:
    names = ("test_summary", "approved_by", "approval_comment", "by", "commit", "endpoint")
    entry = {"at": _AT, **dict(zip(names, words, strict=True))}
    tags = {f"deploy.{stage}/1": json.dumps(entry) for stage in ("staging", "production")}
    if replaced:
        tags["deploy.replaced/1"] = json.dumps({"at": _AT, "by": words[0], "stage": "Production"})
    text = card.rewrite(person, tags)
    if text is None:
        assert len(person) > 3000
        return
    assert len(text) <= card.LONGEST
    assert card.rewrite(text, tags) == text
    for section in re.findall(r"<!-- deploy:\w+ -->(.*?)<!-- /deploy -->", text, re.DOTALL):
        kinds = [token.type for token in MarkdownIt().parse(section)]
        assert kinds.count("heading_open") == 1
        assert "html_block" not in kinds
        inline = [t.type for token in MarkdownIt().parse(section) for t in token.children or []]
        assert set(inline) <= {"text", "text_special", "softbreak"}


def test_both_units_escape_alike() -> None:
    theirs = Path(card.__file__).parents[2] / "model_build/steps/train_evaluate_register"
    text = (theirs / "model_card.py").read_text(encoding="utf-8")
    ours = Path(card.__file__).read_text(encoding="utf-8")
    for begin, end in (
        ("_ENTITIES = ", "\n"),
        ("_MARKS = ", "\n"),
        ('    told = "".join(', "\n\n"),
    ):
        part = ours[ours.index(begin) :]
        assert part[: part.index(end)] in text
