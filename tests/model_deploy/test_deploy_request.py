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


def test_the_file_of_this_repository_can_be_used() -> None:
    file = Path(model_deploy.__file__).with_name("deploy.json")
    assert DeployRequest.from_json(file).model_name == "sklearn-random-forest"


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "deploy.json"
    with pytest.raises(ConfigError) as caught:
        _read(tmp_path, '{"model_name": "a/b", "model_version": 3, "model": "x", "stage": "prod"}')
    assert str(caught.value) == (
        f"{file} can not be used:\n"
        "  - unknown key 'model'; it holds model_name and model_version\n"
        "  - unknown key 'stage'; it holds model_name and model_version\n"
        "  - model_version is 3; write it as text, in double quotes\n"
        "  - model_name is 'a/b'; MLflow's names have no / and no :"
    )


@pytest.mark.parametrize("version", ["0", "03", "-1", "3.0", "champion", "Latest", "@", "@a b"])
def test_other_versions_are_refused(tmp_path: Path, version: str) -> None:
    (problem,) = _problems(tmp_path, {"model_name": "prices", "model_version": version})
    assert problem == (
        f'model_version is {version!r}; write a number such as "3", "latest", or an alias '
        'such as "@challenger"'
    )


@pytest.mark.parametrize(
    "name", ["<model name>", "${MODEL_NAME}", "{{ model }}", "todo", "change-me", "your-model-name"]
)
def test_a_placeholder_is_no_name(tmp_path: Path, name: str) -> None:
    (problem,) = _problems(tmp_path, {"model_name": name, "model_version": "latest"})
    assert problem == f"model_name is still the placeholder {name!r}; name a registered model's"


def test_missing_empty_and_padded_values_are_refused(tmp_path: Path) -> None:
    assert _problems(tmp_path, {"model_name": " "}) == (
        "model_name is empty",
        "model_version is missing",
    )
    assert _problems(tmp_path, {"model_name": "a ", "model_version": None}) == (
        "model_name is 'a '; remove the spaces around it",
        "model_version is null; write it as text, in double quotes",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{'model_name': 'x'}", "it is not JSON: "),
        ('["prices", "3"]', "it is no JSON object. Write {"),
    ],
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
