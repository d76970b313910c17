from __future__ import annotations

import random
import re
from typing import Any

import pytest

from model_deploy.model_name import decode, encode, find_problem

# CloudFormation's and SageMaker's pattern of a tag's value, with the letters that Python knows.
_TAG_VALUE = re.compile(r"[\w .:/=+\-@]{1,256}")
REAL_NAMES = [
    "sklearn-random-forest",
    "my model",
    "todo",
    "your-model-v2",
    "change-me",
    "it's",
    'the "new" one',
    "Prices (EU) & rents",
    "Größe",
    "Gro\u0308ße",
    "価格",
    "\U0001f3e0 prices",
    "\U0001f469\u200d\U0001f52c",
    "${MODEL_NAME}",
    "<model name>",
    "100 %",
    "a=b",
    "a=3Db",
    "what?",
    "team@home",
    ".hidden",
    "v1.2",
    "3",
    "-",
    "x" * 256,
]


@pytest.mark.parametrize("name", REAL_NAMES)
def test_a_real_name_is_one_for_mlflow_for_a_tag_and_comes_back(registry: Any, name: str) -> None:
    assert find_problem(name) is None
    assert _TAG_VALUE.fullmatch(encode(name))
    assert decode(encode(name)) == name
    version = registry.register(name)
    assert registry.client.get_model_version(name, version).name == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "give text that isn't blank"),
        (" \t", "give text that isn't blank"),
        ("prices ", "remove the spaces around it"),
        ("\u00a0prices", "remove the spaces around it"),
        ("a/b", "MLflow's names have no / and no :"),
        ("a:b", "MLflow's names have no / and no :"),
        (".", "MLflow refuses a name that reads as a folder, as . and whatever begins with .. do"),
        (
            "..x",
            "MLflow refuses a name that reads as a folder, as . and whatever begins with .. do",
        ),
        ("a\nb", "remove the character U+000A, which nobody sees"),
        ("a\x00b", "remove the character U+0000, which nobody sees"),
        ("a\u2028b", "remove the character U+2028, which nobody sees"),
        ("a\u202eb", "remove the character U+202E, which nobody sees"),
        ("a\ud800b", "remove the character U+D800, which nobody sees"),
        ("x" * 257, "it has 257 characters; MLflow holds 256"),
        ("x" * 300, "it has 300 characters; MLflow holds 256"),
        (
            "\U0001f3e0" * 22,
            "choose a shorter one: as AWS's tags must write it, it has 264 characters and 264 "
            "bytes; 256 and 768 are possible",
        ),
        (
            "\U00020000" * 193,
            "choose a shorter one: as AWS's tags must write it, it has 193 characters and 772 "
            "bytes; 256 and 768 are possible",
        ),
    ],
)
def test_a_name_that_something_could_not_hold_is_refused_in_words(name: str, problem: str) -> None:
    assert find_problem(name) == problem


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", ".", "..", "..x"])
def test_what_mlflow_refuses_is_refused_here(registry: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException):
        registry.client.create_registered_model(name)
    assert find_problem(name)


def test_every_character_survives_its_encoding_and_no_two_names_share_one() -> None:
    letters = [chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000]
    for letter in letters:
        assert decode(encode(letter)) == letter
        assert _TAG_VALUE.fullmatch(encode(letter))
    assert len({encode(letter) for letter in letters}) == len(letters)
    chosen = random.Random(7)
    seen: dict[str, str] = {}
    for _ in range(20_000):
        codes = [chosen.choice([0x3D, 0x33, 0x44, chosen.randrange(32, 0xD800)]) for _ in range(6)]
        name = "".join(map(chr, codes))
        assert decode(encode(name)) == name
        assert seen.setdefault(encode(name), name) == name


@pytest.mark.parametrize("text", ["a=b", "a=3", "=C3", "=ff", "=41", "it's", "=3D="])
def test_what_encode_never_writes_is_not_decoded(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no encoded name of a model"):
        decode(text)
