"""The model that an inference image is tried with: twice what it is given, text repeated."""

import mlflow


class Doubling(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # a class without type information
    """Needs nothing but MLflow itself, so the environment made for it is the smallest there is."""

    # Without hints, from which MLflow would make a signature.
    def predict(self, context, model_input):  # type: ignore[no-untyped-def]  # noqa: ARG002
        return model_input + model_input


mlflow.models.set_model(Doubling())
