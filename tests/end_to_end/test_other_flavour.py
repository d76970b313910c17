"""A model that is not scikit-learn, registered by hand, takes the same road."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.e2e

# In a process of its own: logging a model changes MLflow's global state.
REGISTER = """
import sys
import mlflow
import pandas as pd

class Doubles(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["x"] * 2).tolist()

mlflow.set_tracking_uri(sys.argv[1])
example = pd.DataFrame({"x": [1.5, 2.0]})
with mlflow.start_run():
    mlflow.pyfunc.log_model(
        name="model", python_model=Doubles(), registered_model_name="doubles",
        input_example=example, pip_requirements=["mlflow==3.17.2", "pandas==2.2.3"],
        signature=mlflow.models.infer_signature(example, [3.0, 4.0]),
    )
"""


def test_a_model_of_another_flavour_is_built_deployed_and_predicts(terminal):
    uri = terminal.environment["MLFLOW_TRACKING_URI"]
    registered = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REGISTER, uri],
        env=dict(terminal.environment),
        capture_output=True,
        text=True,
    )
    assert registered.returncode == 0, registered.stderr

    released = terminal.run(
        "local-aws",
        *("release", "--model-name", "doubles", "--yes"),
        *("--state-dir", str(terminal.state_dir)),
    )

    assert released.returncode == 0, released.stderr
    assert "version 1 Production" in released.stderr
    body = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[21.0]]}})
    answer = terminal.run(
        "local-aws",
        *("invoke", "local-prod", "--data", body),
        *("--state-dir", str(terminal.state_dir)),
    )
    assert json.loads(answer.stdout) == {"predictions": [42.0]}
    version = MlflowClient(uri).get_model_version_by_alias("doubles", "champion")
    assert str(version.version) == "1"
