"""What an endpoint must answer, and how it is judged: written by the build, read by both tests.

    build: raw rows of training, or answers recorded in the model's own environment
      ─▶ endpoint-test.json ─▶ TestStaging, TestProd

The test loads no model: all that it compares with stands here. The stage configuration carries the
file's SHA-256 as a tag, so that a configuration and its plan belong together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model_deploy.errors import ConfigError

PLAN_TAG = "endpoint-test-sha256"
NO_OFFLINE_COMPARISON = "no_offline_comparison"

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request, and what the model answered to it offline.

    `status` and `answer` are those of MLflow's scoring protocol: the HTTP status and the exact text
    of the body. `answer` is None where nothing was recorded.
    """

    name: str
    body: str
    content_type: str = "application/json"
    status: int = 200
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """How one stage's endpoint is judged; latencies in milliseconds."""

    max_p95_ms: float = 1000.0
    requests: int = 90
    concurrent: int = 4


@dataclass(frozen=True, kw_only=True)
class EndpointTestPlan:
    """`raw_rows` is the run's raw_rows.json as it stood at the build, or None.

    `cases[0]` is the input example. `recorded` says where the answers are from: interpreter,
    packages, what the process was kept from. `waived` has the reviewed reason of each check that
    deploy.json accepts not to be made; `code_on_load` one sentence for each thing that runs code
    when the model is loaded.
    """

    model_name: str
    model_version: str
    archive_sha256: str
    inputs: Sequence[Mapping[str, Any]] = ()
    cases: Sequence[Case] = ()
    raw_rows: Mapping[str, Any] | None = None
    recorded: Mapping[str, Any] = field(default_factory=dict)
    waived: Mapping[str, str] = field(default_factory=dict)
    code_on_load: Sequence[str] = ()
    stages: Mapping[str, Thresholds] = field(default_factory=dict)

    def to_json(self) -> str:
        """Sorted JSON."""
        document = {"version": _VERSION, **asdict(self)}
        return json.dumps(document, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, path: Path, sha256: str = "") -> EndpointTestPlan:
        """Raises ConfigError; also where the file's digest is not `sha256`, if that is given."""
        try:
            content = path.read_bytes()
        except OSError as err:
            raise ConfigError(str(path), [f"it can not be read: {err.strerror}"]) from err
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256:
            raise ConfigError(
                str(path),
                [
                    f"its SHA-256 is {found}, the stage configuration was written with {sha256}; "
                    "take both from the same build"
                ],
            )
        try:
            document: Any = json.loads(content)
            if document.pop("version") != _VERSION:
                raise ValueError(f"this test reads version {_VERSION}")
            cases = [Case(**each) for each in document.pop("cases")]
            stages = {k: Thresholds(**each) for k, each in document.pop("stages").items()}
            return cls(**document, cases=cases, stages=stages)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
            raise ConfigError(
                str(path), [f"it is not what model_deploy.build writes: {err}"]
            ) from err
