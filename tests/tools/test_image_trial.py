"""What `make try-images` makes of a Dockerfile; the whole of it takes root and minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.image_trial import DOCKERFILE, Instruction, Trial, TrialError, instructions, main


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    (tmp_path / "root").mkdir()
    return Trial(work=tmp_path, root=tmp_path / "root", python="python3.12")


def test_instructions_are_whole_and_without_comments(tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("# why\nFROM a:1\n\nRUN one \\\n # in between\n && two\nUSER 1:2\n")
    assert instructions(dockerfile) == [
        Instruction("FROM", "a:1"),
        Instruction("RUN", "one  && two"),
        Instruction("USER", "1:2"),
    ]


def test_the_server_s_dockerfile_has_nothing_that_the_trial_does_not_know(trial: Trial) -> None:
    kinds = {each.keyword for each in instructions(DOCKERFILE)}
    done = {"ARG", "ENV", "RUN", "COPY", "ADD", "USER", "ENTRYPOINT"}
    trial.build([each for each in instructions(DOCKERFILE) if each.keyword not in done])
    assert {"FROM", *done} <= kinds


def test_copy_takes_the_image_s_sources_only(trial: Trial, tmp_path: Path) -> None:
    trial.build([Instruction("COPY", "infra/images/server/*.py /opt/mlflow-server/")])
    assert (tmp_path / "root/opt/mlflow-server/tracking_server.py").is_file()
    with pytest.raises(TrialError, match=r"COPY README\.md: the image's sources have no such file"):
        trial.build([Instruction("COPY", "README.md /opt/")])


def test_what_it_does_not_know_is_not_passed_over(trial: Trial) -> None:
    with pytest.raises(TrialError, match="ONBUILD is not known here"):
        trial.build([Instruction("ONBUILD", "RUN true")])


def test_without_what_it_needs_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--python", "false"]) == 2
    assert "needs root" in (said := capsys.readouterr().err) or "is no Python 3.12" in said
