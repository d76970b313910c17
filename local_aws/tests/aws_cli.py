"""The `aws` command line as the developer types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from local_aws.own_aws import OwnAws


def run_aws(own: OwnAws, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it against that account; both outputs are captured."""
    return subprocess.run(
        [Path(sys.executable).with_name("aws"), "--output", "json", *arguments],
        env={
            **os.environ,
            **own.credentials_environment(None),
            "AWS_PAGER": "",
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
