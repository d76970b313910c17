from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import model_deploy

_TEMPLATE = Path(model_deploy.__file__).with_name("endpoint-config-template.yml")


def test_cfn_lint_reports_nothing() -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    ended = subprocess.run(
        [str(linter), str(_TEMPLATE)], capture_output=True, text=True, check=False
    )
    assert ended.stdout == ""
    assert ended.returncode == 0


def test_template_fits_into_a_request() -> None:
    assert _TEMPLATE.stat().st_size < 51_200
