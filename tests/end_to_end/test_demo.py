"""`local-aws demo`, and whether `demo.json` is true."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR, clean_environment

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    state_dir = tmp_path_factory.mktemp("demo") / "state"
    process = subprocess.run(
        [BIN_DIR / "local-aws", "demo", "--yes", "--exit", "--state-dir", state_dir],
        cwd=PROJECT_DIR,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert process.returncode == 0, process.stderr
    return process, state_dir


def test_demo_ends_with_version_2_in_production_and_version_1_archived(demo):
    report = json.loads((demo[1] / "demo.json").read_text())

    stages = {row["version"]: (row["stage"], row["aliases"]) for row in report["versions"]}
    assert stages == {"1": ("Archived", []), "2": ("Production", ["champion"])}
    arns = {row["pipeline_execution_arn"] for row in report["versions"]}
    assert len(arns) == 2
    assert len({row["run_id"] for row in report["versions"]}) == 2
    assert all(20 < row["median_absolute_error"] < 80 for row in report["versions"])


def test_both_endpoints_serve_version_2_from_one_archive(demo):
    report = json.loads((demo[1] / "demo.json").read_text())

    assert [(e["name"], e["status"], e["model_version"]) for e in report["endpoints"]] == [
        ("local-prod", "InService", "2"),
        ("local-staging", "InService", "2"),
    ]
    assert len({endpoint["model_data_url"] for endpoint in report["endpoints"]}) == 1


def test_prod_predicts_what_the_registered_model_predicts_offline(demo):
    prediction = json.loads((demo[1] / "demo.json").read_text())["prediction"]

    assert len(prediction["inputs"]) == len(prediction["endpoint"]) > 0
    assert prediction["endpoint"] == pytest.approx(prediction["offline"], rel=1e-9)


def test_demo_says_where_the_time_went_and_shows_the_table(demo):
    process, state_dir = demo
    seconds = json.loads((state_dir / "demo.json").read_text())["seconds"]

    assert set(seconds) == {"up", "train", "build", "staging", "prod", "total"}
    parts = sum(value for name, value in seconds.items() if name != "total")
    assert parts > 0.8 * seconds["total"]
    assert parts <= seconds["total"] + 1
    for text in ("registered version 2", "Production", "champion", "Archived", "MLflow: http"):
        assert text in process.stderr


def test_demo_leaves_no_process_and_no_announcement(demo):
    assert not (demo[1] / "running.json").exists()
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(demo[1]) not in listing
