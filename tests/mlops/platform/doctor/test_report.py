from __future__ import annotations

import json

from mlops.platform.doctor.examination import Result
from mlops.platform.doctor.finding import failed, ok, skipped, warning
from mlops.platform.doctor.registry import Check
from mlops.platform.doctor.report import has_failed, lines_of, summary_of, to_json


def _look(patient):
    """Whether all is well."""


def _result(*findings):
    return Result(check=Check(name="images", look=_look), findings=findings, seconds=1.26)


def test_a_finding_is_a_line_and_its_remedy_one_below():
    assert lines_of(_result(ok("there"), failed("gone", "bring it back"))) == [
        "ok       images         there",
        "failed   images         gone",
        "                        -> bring it back",
    ]


def test_color_changes_nothing_but_the_status():
    [line] = lines_of(_result(warning("old", "")), color=True)
    assert line == "\x1b[33mwarning \x1b[0m images         old"


def test_the_summary_counts_findings_by_status():
    results = [_result(ok("a"), warning("b", "x")), _result(skipped("c"))]
    assert summary_of(results) == "2 checks: 1 ok, 1 warning, 1 skipped"


def test_only_failures_fail():
    assert not has_failed([_result(ok("a"), warning("b", "x"), skipped("c"))])
    assert has_failed([_result(ok("a")), _result(failed("b", "x"))])


def test_json_has_all_of_it():
    assert json.loads(to_json([_result(failed("gone", "bring it back"))])) == {
        "failed": True,
        "checks": [
            {
                "name": "images",
                "looks_at": "Whether all is well.",
                "seconds": 1.3,
                "findings": [{"status": "failed", "message": "gone", "remedy": "bring it back"}],
            }
        ],
    }
