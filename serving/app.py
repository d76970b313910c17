"""The application that uvicorn serves: the model of MLflow's environment variables, loaded once.

In place of mlflow.pyfunc.scoring_server.app, which does the same without reading tables.
"""

from __future__ import annotations

import os

from mlflow.pyfunc import scoring_server

from serving.server import TableServer
from serving.warnings_once import print_each_once

# As MLflow's container code and local_aws set it.
MODEL_PATH_VARIABLE = "__pyfunc_model_path__"

print_each_once()
_model = scoring_server.load_model_with_mlflow_config(os.environ[MODEL_PATH_VARIABLE])
app = TableServer(_model, scoring_server.init(_model))
