"""The model that an inference image is tried with: twice what it is given."""

import mlflow


class Doubling(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # a class without type information
    """Needs nothing but MLflow itself, so the environment made for it is the smallest there is."""

    def predict(self, model_input: list[float]) -> list[float]:
        return [2 * number for number in model_input]


mlflow.models.set_model(Doubling())
