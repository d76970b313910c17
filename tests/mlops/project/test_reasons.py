"""What a build's log says of why it failed: logs as they were, shortened."""

from __future__ import annotations

import pytest

from mlops.project.reasons import sentence_of, sentence_of_build, sentence_of_summary

_AT = "[Container] 2026/11/30 20:10:25.429968"


def _log(*printed: str, status: int = 1, after: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{_AT} Running command python -m pip install --quiet -r requirements/uv.txt",
        "WARNING: error-like noise of a command that succeeded",
        "error: of a command that went on",
        f"{_AT} Running command .venv/bin/python -m program",
        *printed,
        f"{_AT} Command did not exit successfully .venv/bin/python -m program exit status {status}",
        f"{_AT} Phase complete: BUILD State: FAILED",
        f"{_AT} Phase context status code: COMMAND_EXECUTION_ERROR Message: Error while executing "
        f"command: .venv/bin/python -m program. Reason: exit status {status}",
        *after,
    ]


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        pytest.param(
            [
                "F401 [*] `nosuch` imported but unused",
                "  --> model_build/config.py:130:8",
                "   |",
                "130 | import nosuch",
                "help: Remove unused import: `nosuch`",
                "Found 2 errors.",
                "[*] 1 fixable with `--fix`.",
            ],
            "model_build/config.py:130:8: F401 [*] `nosuch` imported but unused",
            id="ruff",
        ),
        pytest.param(
            [
                "invalid-syntax: Expected ')', found ':'",
                "   --> model_build/pipeline.py:323:12",
                "invalid-syntax: unexpected EOF while parsing",
                "   --> model_build/pipeline.py:323:14",
                "Found 2 errors.",
            ],
            "model_build/pipeline.py:323:12: invalid-syntax: Expected ')', found ':'",
            id="syntax error",
        ),
        pytest.param(
            [
                "=== FAILURES ===",
                "E   AssertionError: assert 1 == 2",
                "=== short test summary info ===",
                "FAILED tests/test_x.py::test_sum - AssertionError: assert 1 == 2",
                "FAILED tests/test_x.py::test_b - KeyError: 'b'",
                "2 failed in 0.12s",
            ],
            "tests/test_x.py::test_sum - AssertionError: assert 1 == 2",
            id="pytest",
        ),
        pytest.param(
            [
                "compiling",
                "Traceback (most recent call last):",
                '  File "pipeline.py", line 3, in <module>',
                "KeyError: 'error: 3'",
                "",
                "During handling of the above exception, another exception occurred:",
                "",
                "Traceback (most recent call last):",
                '  File "pipeline.py", line 5, in <module>',
                '    raise ValueError("planted")',
                "botocore.exceptions.NoRegionError: You must specify a region.",
            ],
            "botocore.exceptions.NoRegionError: You must specify a region.",
            id="traceback",
        ),
        pytest.param(
            ["/opt/codebuild/control/command-1: line 1: nosuchprogram: command not found"],
            "nosuchprogram: command not found",
            id="command missing",
        ),
        pytest.param(
            ["/codebuild/output/tmp/script.sh: line 4: nosuchprogram: command not found", ""],
            "nosuchprogram: command not found",
            id="command missing on AWS",
        ),
        pytest.param(
            [
                "ERROR: Could not find a version that satisfies uv==99 (from versions: 0.0.5)",
                "ERROR: No matching distribution found for uv==99",
            ],
            "No matching distribution found for uv==99",
            id="pip",
        ),
        pytest.param(
            [
                "error: No solution found when resolving dependencies",
                "  cause: Because nosuchpackage was not found, your requirements can't be met.",
            ],
            "No solution found when resolving dependencies: Because nosuchpackage was not found, "
            "your requirements can't be met.",
            id="uv",
        ),
        pytest.param(
            [
                "2026-11-30 20:12:24,101 ERROR model_deploy/deploy.json can not be used:",
                "  - line 1: not JSON",
                "  - model_version is missing",
            ],
            "model_deploy/deploy.json can not be used: line 1: not JSON; model_version is missing",
            id="problems listed below",
        ),
        pytest.param(
            [
                "error: PrepareData failed: no column 'price' in the table",
                "  its log: mlops logs pipelines-abc-PrepareData",
                "Failed: arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/e",
            ],
            "PrepareData failed: no column 'price' in the table",
            id="our own",
        ),
        pytest.param(
            ["TASK is 'tst'; it is test, archive or reconcile", "}"],
            "TASK is 'tst'; it is test, archive or reconcile",
            id="nothing known: the last line with words",
        ),
    ],
)
def test_the_sentence_is_the_failed_command_s_own(printed, sentence):
    log = _log(*printed, after=(f"{_AT} Running command look", "error: of a later command"))

    assert sentence_of_build(log) == sentence


def test_what_the_system_killed_says_so():
    told = "killed (exit status 137), as by the system when memory runs out"

    assert sentence_of_build(_log(status=137)) == told
    assert (
        sentence_of_build(_log("row 9 of 10", status=137)) == f"{told}; printed last: row 9 of 10"
    )


def test_a_log_whose_failed_command_is_not_in_sight_is_read_whole():
    lines = ["error: the first", f"{_AT} Waiting for agent ping", "pip: error: the last"]

    assert sentence_of_build(lines) == "the last"
    assert sentence_of_build([f"{_AT} Waiting for agent ping"]) == ""
    # CodeBuild's own message of several lines is the action's summary.
    no_yaml = [f"{_AT} Phase context status code: YAML_FILE_ERROR Message: not YAML:", "line 48"]
    assert sentence_of_build(no_yaml) == ""


def test_a_sentence_is_one_line_of_bearable_length():
    long = sentence_of(["error: it ended; its log: " + "long " * 1000 + "the weights are gone"])
    assert len(long) <= 500
    assert long.startswith("it ended; its log: long")
    assert long.endswith("long the weights are gone")


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        (
            "Build terminated with state: FAILED. Phase: DOWNLOAD_SOURCE, Code: YAML_FILE_ERROR, "
            "Message: the buildspec is not valid YAML: while parsing\n  line 48. "
            "Log: /aws/codebuild/x, stream y",
            "the buildspec is not valid YAML: while parsing line 48",
        ),
        ("Build terminated with state: STOPPED", "Build terminated with state: STOPPED"),
        ("rejected: not today", "rejected: not today"),
    ],
)
def test_of_codepipeline_s_message_the_part_that_tells_is_kept(summary, sentence):
    assert sentence_of_summary(summary) == sentence
