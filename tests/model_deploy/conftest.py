"""A saved scikit-learn model, and versions of it in a real registry on SQLite."""

from __future__ import annotations

import itertools
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Registry:
    """The registry, and a way to fill it without MLflow's global state."""

    uri: str
    client: Any
    model_folder: Path
    scratch: Path

    def unique_name(self) -> str:
        return f"housing-{next(_numbers)}"

    def register(self, name: str, folder: Path | None = None, run_id: str | None = None) -> str:
        """A new version of `name`, made of `folder`; its number."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as err:
            if err.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = str(folder or self.model_folder)
        return str(self.client.create_model_version(name, source, run_id=run_id).version)

    def copy_of_model(self) -> Path:
        """A copy of the saved model that a test may change."""
        return shutil.copytree(self.model_folder, self.scratch / f"model-{next(_numbers)}")

    def run_with_sample(self, sample: Any) -> str:
        """A run that carries `held_out_sample.json`; its id."""
        run = self.client.create_run(self.client.create_experiment(f"e-{next(_numbers)}"))
        file = self.scratch / f"run-{next(_numbers)}" / "held_out_sample.json"
        file.parent.mkdir()
        file.write_text(json.dumps(sample))
        self.client.log_artifact(run.info.run_id, str(file))
        return str(run.info.run_id)

    def stages(self, name: str) -> dict[str, str]:
        found = self.client.search_model_versions(f"name='{name}'")
        return {str(v.version): v.current_stage for v in sorted(found, key=lambda v: v.version)}

    def aliases(self, name: str) -> dict[str, str]:
        model = self.client.get_registered_model(name)
        return {alias: str(version) for alias, version in model.aliases.items()}

    def tags(self, name: str, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(name, version).tags)

    def set_stage(self, name: str, version: str, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.client.transition_model_version_stage(name, version, stage)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forest behind imputing and encoding, saved with skops, signature and input example."""
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pd.DataFrame(
        {"rooms": [1.0, 2.0, 3.0, 4.0] * 5, "town": ["Aix", "Bor", "Aix", "Caen"] * 5}
    )
    model = Pipeline(
        [
            (
                "columns",
                ColumnTransformer(
                    [
                        ("numbers", SimpleImputer(), ["rooms"]),
                        ("texts", OneHotEncoder(handle_unknown="ignore"), ["town"]),
                    ]
                ),
            ),
            ("forest", RandomForestRegressor(n_estimators=3, random_state=0)),
        ]
    ).fit(rows, rows["rooms"] * 10)
    folder = tmp_path_factory.mktemp("saved") / "model"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(rows, model.predict(rows)),
        input_example=rows.head(2),
        pip_requirements=["scikit-learn", "skops"],
        skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"],
    )
    return folder


@pytest.fixture(scope="session")
def registry(
    mlflow_sqlite: str, saved_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Registry:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_sqlite, registry_uri=mlflow_sqlite)
    return Registry(mlflow_sqlite, client, saved_model, tmp_path_factory.mktemp("registry"))


@pytest.fixture
def register_versions(registry: Registry) -> Callable[[int], str]:
    """Registers that many versions of a new model; its name."""

    def register(count: int) -> str:
        name = registry.unique_name()
        for _ in range(count):
            registry.register(name)
        return name

    return register
