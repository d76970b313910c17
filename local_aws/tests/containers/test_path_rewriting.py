"""/opt/ml where there is no mount namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_aws.containers.path_rewriting import rewrite, rewrite_files, shell_safe

HERE = Path("/jobs/a/opt/ml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/opt/ml", "/jobs/a/opt/ml"),
        ("--data=/opt/ml/input/data", "--data=/jobs/a/opt/ml/input/data"),
        ("open('/opt/ml/x')", "open('/jobs/a/opt/ml/x')"),
        ("file:///opt/ml/model", "file:///jobs/a/opt/ml/model"),
        ("s3://bucket/opt/ml/x", "s3://bucket/opt/ml/x"),
        ("/opt/mlflow", "/opt/mlflow"),
        ("/usr/opt/ml", "/usr/opt/ml"),
    ],
)
def test_only_the_path_itself_is_rewritten(text: str, expected: str) -> None:
    assert rewrite(text, HERE) == expected


def test_rewriting_twice_changes_nothing_more() -> None:
    once = rewrite("cat /opt/ml/x", HERE)
    assert rewrite(once, HERE) == once


def test_scripts_and_settings_are_rewritten_but_data_are_not(tmp_path: Path) -> None:
    opt_ml = tmp_path / "opt/ml"
    rewritten = ["input/data/code/train.py", "input/config/inputdataconfig.json", "run.sh"]
    kept = ["input/data/train/table.csv", "input/data/train/table.json", "model/weights.bin"]
    for name in [*rewritten, *kept]:
        (opt_ml / name).parent.mkdir(parents=True, exist_ok=True)
        (opt_ml / name).write_bytes(b"see /opt/ml/x")
    (opt_ml / "binary.py").write_bytes(b"\xff/opt/ml")
    rewrite_files(opt_ml)
    for name in rewritten:
        assert (opt_ml / name).read_text() == f"see {opt_ml}/x"
    for name in kept:
        assert (opt_ml / name).read_text() == "see /opt/ml/x"
    assert (opt_ml / "binary.py").read_bytes() == b"\xff/opt/ml"


def test_folder_with_a_space_gets_a_name_that_shell_scripts_survive(tmp_path: Path) -> None:
    awkward = tmp_path / "my jobs"
    awkward.mkdir()
    alias = shell_safe(awkward)
    try:
        assert " " not in str(alias)
        (alias / "x").write_text("1")
        assert (awkward / "x").read_text() == "1"
        assert shell_safe(awkward) == alias
        assert shell_safe(tmp_path) == tmp_path
    finally:
        alias.unlink()
