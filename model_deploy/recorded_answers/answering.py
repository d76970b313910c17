"""A program: load a model and answer requests, as MLflow's scoring server does.

    answering.py JOB

JOB is a file: {"model": folder, "cases": [{"body": ..., "content_type": ...}], "answers": file,
"progress": file}. All is answered twice, each time by a model loaded anew and the second time in
reverse order, so that a model that remembers, draws or looks at the clock can be told from one that
computes. The answers go to a file, as models print:

    {"rounds": [[{"status": 200, "body": "...", "crashed": false}, ...], [...]]}
    {"failed": "loading", "error": "ValueError: ..."}

The progress file says what is being done ("load", "case 3"), a line for each thing that began.
Run by the model's own Python, so it needs the standard library and the model's MLflow alone.
"""

# ruff: noqa: PTH123

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

ROUNDS = 2


def main(arguments: Sequence[str]) -> int:
    """Write the answers, or what failed; the exit code is 0 either way."""
    with open(arguments[0], encoding="utf-8") as file:
        job = json.load(file)
    try:
        result: dict[str, Any] = {"rounds": answer_all(job)}
    except Exception as err:  # noqa: BLE001 - whatever the model's code raises
        traceback.print_exc()
        result = {"failed": "loading", "error": f"{type(err).__name__}: {err}"}
    with open(job["answers"], "w", encoding="utf-8") as file:
        json.dump(result, file)
    return 0


def answer_all(job: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The answers of each round, in the order of the cases."""
    _tell(job, "import")
    from mlflow.pyfunc import scoring_server

    rounds = []
    for number in range(ROUNDS):
        _tell(job, "load")
        model = scoring_server.load_model_with_mlflow_config(job["model"])
        # As scoring_server.init says it to models.
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        schema = model.metadata.get_input_schema()
        answers: dict[int, dict[str, Any]] = {}
        order = range(len(job["cases"]))
        for index in order if number == 0 else reversed(order):
            _tell(job, f"case {index}")
            answers[index] = answer(scoring_server, model, schema, job["cases"][index])
        rounds.append([answers[index] for index in order])
        del model
    _tell(job, "write")
    return rounds


def answer(scoring_server: Any, model: Any, schema: Any, case: dict[str, str]) -> dict[str, Any]:
    """Status and text of MLflow's answer; errors as `_async_catch_mlflow_exception` answers them.

    `crashed`: it was no refusal, the model or the writing of its answer raised.
    """
    from mlflow.exceptions import MlflowException

    data = case["body"].encode()
    try:
        found = scoring_server.invocations(data, case["content_type"], model, schema)
    except MlflowException as err:
        body = err.serialize_as_json()
        # A crash carries the model's traceback, a refusal of the request does not.
        crashed = "stack_trace" in json.loads(body)
        return {"status": err.get_http_status_code(), "body": body, "crashed": crashed}
    except Exception as err:  # noqa: BLE001 - MLflow's server answers these with 500
        traceback.print_exc()
        return {"status": 500, "body": f"{type(err).__name__}: {err}", "crashed": True}
    text = found.response
    body = text.decode() if isinstance(text, bytes) else text
    return {"status": found.status, "body": body, "crashed": False}


def _tell(job: dict[str, Any], what: str) -> None:
    with open(job["progress"], "a", encoding="utf-8") as file:
        file.write(f"{what}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
