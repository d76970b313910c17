"""`mlops train` and `mlops release` as programs use them: their JSON, as docs/mlops.md says."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import jsonschema
import pytest

from tests.end_to_end.project import versions_of
from tests.end_to_end.shell import BIN_DIR, PROJECT_DIR
from tests.end_to_end.typed import copy_tree

pytestmark = pytest.mark.e2e

SCHEMA = json.loads((PROJECT_DIR / "docs/mlops.schema.json").read_text())
MODEL = "released-by-a-command"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copy_tree(tmp_path_factory.mktemp("tree") / "copy")


def typed(terminal, folder, *words, exit_code=0):
    """`mlops WORDS --json` without a terminal; what it prints, which is as the schema says."""
    done = subprocess.run(
        [BIN_DIR / "mlops", *words, "--json"],
        cwd=folder,
        env=dict(terminal.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == exit_code, done.stderr
    found = json.loads(done.stdout)
    schema = {"$ref": f"#/$defs/{words[0]}", "$defs": SCHEMA["$defs"]}
    jsonschema.validate(found, schema)
    return found


@pytest.fixture(scope="module")
def trained(deployed, tree):
    words = ("train", "sklearn:diabetes", "--target", "target", "--model", MODEL)
    return typed(deployed, tree, *words, "--parameter", "NEstimators=10")


def test_what_was_registered_is_the_result(deployed, trained):
    assert (trained["status"], trained["model_name"], trained["version"]) == (
        "Succeeded",
        MODEL,
        1,
    )
    assert list(versions_of(deployed, MODEL)) == ["1"]


def test_a_gate_that_was_not_met_is_exit_code_4_and_its_reason(deployed, tree):
    script = "import random; print('a,b'); [print(random.random(), i, sep=',') for i in range(99)]"
    noise = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    (tree / "noise.csv").write_text(noise.stdout)
    words = ("train", "noise.csv", "--target", "a", "--parameter", "NEstimators=5")

    found = typed(deployed, tree, *words, exit_code=4)

    assert found["status"] == "GateNotMet"
    assert "not better beyond chance" in found["reason"]
    assert not versions_of(deployed, "noise")


def test_a_release_without_a_terminal_goes_to_prod(deployed, tree, trained):
    found = typed(deployed, tree, "release", MODEL, "--version", "1", "--yes")

    assert found["status"] == "Succeeded"
    assert found["approval"] is None
    asked = json.loads((tree / "model_deploy/deploy.json").read_text())
    assert asked == {"model_name": MODEL, "model_version": "1"}
    shown = deployed.run("mlops", "status").stdout
    assert re.search(rf"local-prod +InService +{MODEL} +1 +Production +champion", shown)


def test_a_release_that_fails_says_why_and_leaves_prod(deployed, tree, trained):
    done = subprocess.run(
        [BIN_DIR / "mlops", "release", MODEL, "--version", "9", "--yes"],
        cwd=tree,
        env=dict(deployed.environment),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith("error: sagemaker-local-p-local-modeldeploy ended Failed: Build/")
    assert f"no version 9 of '{MODEL}'" in told
    assert "`mlops logs sagemaker-local-p-local-modeldeploy:" in told
