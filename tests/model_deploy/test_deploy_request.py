from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import model_deploy
from model_deploy.deploy_request import DeployRequest
from model_deploy.errors import ConfigError


def _read(folder: Path, text: str) -> DeployRequest:
    file = folder / "deploy.json"
    file.write_text(text)
    return DeployRequest.from_json(file)


def _problems(folder: Path, document: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        _read(folder, json.dumps(document))
    return caught.value.problems


@pytest.mark.parametrize("version", ["3", "17", "latest", "@challenger", "@team.a-1"])
def test_a_number_latest_and_an_alias_are_versions(tmp_path: Path, version: str) -> None:
    text = json.dumps({"model_name": "house prices", "model_version": version})
    assert _read(tmp_path, text) == DeployRequest(model_name="house prices", model_version=version)


@pytest.mark.parametrize("version", [1, 3, 999_999_999])
def test_a_version_s_number_needs_no_quotes(tmp_path: Path, version: int) -> None:
    text = json.dumps({"model_name": "prices", "model_version": version})
    assert _read(tmp_path, text).model_version == str(version)


@pytest.mark.parametrize("version", [0, -1, 10**9, 1.0, 1.5, True, False])
def test_other_numbers_are_no_versions(tmp_path: Path, version: float) -> None:
    (problem,) = _problems(tmp_path, {"model_name": "prices", "model_version": version})
    assert problem == (
        f'model_version is {json.dumps(version)}; write a number such as "3", "latest", or an '
        'alias such as "@challenger"'
    )


def test_the_file_of_this_repository_can_be_used() -> None:
    file = Path(model_deploy.__file__).with_name("deploy.json")
    assert DeployRequest.from_json(file).model_name == "sklearn-random-forest"


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "deploy.json"
    with pytest.raises(ConfigError) as caught:
        _read(
            tmp_path, '{"model_name": "a/b", "model_version": 3.5, "model": "x", "stage": "prod"}'
        )
    assert str(caught.value) == (
        f"{file} can not be used:\n"
        "  - unknown key 'model'; it holds model_name, model_version, trusted_types, accept, "
        "code_on_load\n"
        "  - unknown key 'stage'; it holds model_name, model_version, trusted_types, accept, "
        "code_on_load\n"
        '  - model_version is 3.5; write a number such as "3", "latest", or an alias such as '
        '"@challenger"\n'
        "  - model_name is 'a/b'; MLflow's names have no / and no :"
    )


@pytest.mark.parametrize(
    "version", ["0", "03", "-1", "3.0", "champion", "Latest", "@", "@a b", "9" * 20]
)
def test_other_versions_are_refused(tmp_path: Path, version: str) -> None:
    (problem,) = _problems(tmp_path, {"model_name": "prices", "model_version": version})
    assert problem == (
        f'model_version is {version!r}; write a number such as "3", "latest", or an alias '
        'such as "@challenger"'
    )


@pytest.mark.parametrize(
    "name",
    ["my model", "todo", "your-model-v2", "it's", "Prices (EU) & rents", "Größe", "${MODEL}", "🏠"],
)
def test_no_real_name_is_a_placeholder(tmp_path: Path, name: str) -> None:
    text = json.dumps({"model_name": name, "model_version": "latest"})
    assert _read(tmp_path, text).model_name == name
    assert DeployRequest.of_flags(name, "", tmp_path / "none.json").model_name == name


def test_a_flag_s_name_is_held_to_the_same_rule(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        DeployRequest.of_flags("x" * 300, "", tmp_path / "none.json")
    assert caught.value.problems == (
        f"--model-name is {'x' * 300!r}; it has 300 characters; MLflow holds 256",
    )


def test_missing_empty_and_padded_values_are_refused(tmp_path: Path) -> None:
    assert _problems(tmp_path, {"model_name": " "}) == (
        "model_name is empty",
        "model_version is missing",
    )
    assert _problems(tmp_path, {"model_name": "a ", "model_version": None}) == (
        "model_version is null; write it as text, in double quotes",
        "model_name is 'a '; remove the spaces around it",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{'model_name': 'x'}", "it is not JSON: "),
        ('["prices", "3"]', "it is no JSON object. Write {"),
        ("[" * 100_000, "it is not JSON: "),
    ],
    ids=lambda text: text[:20],
)
def test_other_content_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)
    assert problem in str(caught.value)


def test_a_missing_file_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        DeployRequest.from_json(tmp_path / "deploy.json")
    assert caught.value.problems == (
        'it can not be read: No such file or directory. Write {"model_name": '
        '"sklearn-random-forest", "model_version": "latest"}, or pass --model-name',
    )


def test_a_name_given_by_flag_takes_no_version_from_the_file(tmp_path: Path) -> None:
    absent = tmp_path / "none.json"
    assert DeployRequest.of_flags("prices", "", absent).model_version == "latest"
    assert DeployRequest.of_flags("prices", "4", absent).model_version == "4"


_REVIEWS = {
    "trusted_types": {"lightgbm.basic.Dataset": "numbers"},
    "accept": {"no_offline_comparison": "it answers by chance"},
    "code_on_load": "forbid",
}


def test_reviews_stand_beside_the_model(tmp_path: Path) -> None:
    plain = _read(tmp_path, '{"model_name": "prices", "model_version": "3"}')
    assert (plain.trusted_types, plain.accept, plain.code_on_load) == ({}, {}, "tell")
    read = _read(tmp_path, json.dumps({"model_name": "prices", "model_version": "3", **_REVIEWS}))
    assert read.trusted_types == {"lightgbm.basic.Dataset": "numbers"}
    assert read.accept == {"no_offline_comparison": "it answers by chance"}
    assert read.code_on_load == "forbid"


def test_reviews_without_reasons_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    reviews = {
        "trusted_types": {"a.B": " ", "a.C": 1, "nothing": "no module", "os.system(1)": "no name"},
        "accept": {"no_latency": "slow", "no_offline_comparison": ""},
        "code_on_load": "allow",
    }
    problems = _problems(tmp_path, {"model_name": "x", "model_version": "1", **reviews})
    assert problems == (
        "trusted_types has no reason for 'a.B'; write why, as text",
        "trusted_types has no reason for 'a.C'; write why, as text",
        "trusted_types names 'nothing'; write a type as skops does, with its module",
        "trusted_types names 'os.system(1)'; write a type as skops does, with its module",
        "accept has no reason for 'no_offline_comparison'; write why, as text",
        "accept names 'no_latency'; what can be accepted is no_offline_comparison",
        'code_on_load is "allow"; write "tell" or "forbid"',
    )
    reviews = {"trusted_types": ["a.B"], "accept": None}
    assert _problems(tmp_path, {"model_name": "x", "model_version": "1", **reviews}) == (
        'trusted_types is ["a.B"]; write {"name": "reason"}',
        'accept is null; write {"name": "reason"}',
    )


def test_a_name_given_by_flag_takes_its_own_reviews_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "deploy.json"
    file.write_text(json.dumps({"model_name": "prices", "model_version": "7", **_REVIEWS}))
    own = DeployRequest.of_flags("prices", "", file)
    assert own.model_version == "latest"
    assert {key: getattr(own, key) for key in _REVIEWS} == _REVIEWS
    other = DeployRequest.of_flags("rents", "2", file)
    assert other == DeployRequest(model_name="rents", model_version="2")
    assert caplog.messages == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"code_on_load": "forbid"}',
        '{"model_name": "prices", "model_version": "7", "code_on_load": "forbid", "typo": 1}',
        '{"model_name": "rents", "model_name": "prices", "model_version": "7"}',
    ],
)
def test_reviews_are_never_dropped_because_their_file_is_faulty(tmp_path: Path, text: str) -> None:
    file = tmp_path / "deploy.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        DeployRequest.of_flags("prices", "2", file)
    assert caught.value.exit_code == 2
    assert caught.value.source == str(file)


def test_another_model_s_faulty_file_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "deploy.json"
    file.write_text('{"model_name": "rents", "typo": 1}')
    asked = DeployRequest.of_flags("prices", "2", file)
    assert asked == DeployRequest(model_name="prices", model_version="2")


@pytest.mark.parametrize(
    ("text", "doubled"),
    [
        ('{"model_name": "a", "model_version": "1", "model_version": "2"}', "'model_version'"),
        ('{"model_name": "a", "trusted_types": {"a.B": "read", "a.B": ""}}', "'a.B'"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, text: str, doubled: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, text)
    assert caught.value.problems == (f"it says {doubled} more than once; leave one of them",)


@pytest.mark.parametrize("version", ["9" * 10, "99999999999999999999", "0", "\u0661", "new"])
def test_a_flag_s_version_is_held_to_the_same_rule(tmp_path: Path, version: str) -> None:
    for name in ("prices", ""):
        with pytest.raises(ConfigError, match="--model-version is"):
            DeployRequest.of_flags(name, version, tmp_path / "none.json")


@pytest.mark.parametrize("reason", ["reason", "Placeholder", "<reason>", "tbd.", "...", "n/a"])
def test_a_template_s_word_is_no_reason(tmp_path: Path, reason: str) -> None:
    said = {"model_name": "x", "model_version": "1", "accept": {"no_offline_comparison": reason}}
    assert _problems(tmp_path, said) == (
        "accept has no reason for 'no_offline_comparison'; write why, as text",
    )
