"""Models as people register them by hand: what models_by_hand.py deploys and compares.

Each function logs one, in an environment that has all libraries:

    python benchmarks/hand_models.py NAME FOLDER

`requires` is what its requirements.txt names (pinned to what is installed here), besides MLflow.
`skops_types` are those that log_model must be told. `expect` is what becomes of it: compared (equal
to the recording), differs (the endpoint answers something else, so its test fails) or refused, with
words of the refusal. `by_hand` says what the user has to do besides registering it.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMPARED, DIFFERS, REFUSED = "compared", "differs", "refused"
# What logs them all.
LIBRARIES = (
    *("mlflow==3.17.2", "scikit-learn==1.9.0", "skops==0.16.0", "pip", "setuptools"),
    *("lightgbm==4.7.0", "xgboost-cpu==3.2.0", "catboost==1.2.10", "statsmodels==0.15.0"),
    *("onnx==1.23.2", "skl2onnx==1.20.0", "onnxruntime==1.32.0", "pandas==3.1.1"),
)


@dataclass(frozen=True, kw_only=True)
class HandModel:
    """One model; `cases` are files of model_deploy/cases/<model>/, by name."""

    name: str
    log: Callable[[Path], None]
    requires: Sequence[str] = ()
    expect: str = COMPARED
    words: str = ""
    by_hand: str = ""
    skops_types: Sequence[str] = ()
    cases: Mapping[str, str] = field(default_factory=dict)


MODELS: dict[str, HandModel] = {}


def hand_model(name: str, **about: Any) -> Callable[[Callable[[Path], None]], Any]:
    def add(log: Callable[[Path], None]) -> Callable[[Path], None]:
        MODELS[name] = HandModel(name=name, log=log, **about)
        return log

    return add


def pins(name: str) -> list[str]:
    """The requirements of a model, as installed here unless they say otherwise."""
    return [
        each if "==" in each else f"{each}=={importlib.metadata.version(each)}"
        for each in MODELS[name].requires
    ]


def numbers(rows: int = 40) -> tuple[Any, Any]:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=rows), "b": random.uniform(size=rows)})
    return frame, 3 * frame["a"] - frame["b"]


def described(frame: Any, predictions: Any, name: str, rows: int = 3) -> dict[str, Any]:
    """What each save_model is told besides the model."""
    from mlflow.models import infer_signature

    return {
        "signature": infer_signature(frame, predictions),
        "input_example": frame.head(rows) if hasattr(frame, "head") else frame[:rows],
        "pip_requirements": pins(name),
    }


SKLEARN = ("scikit-learn", "skops", "pandas")
TREE = "sklearn.tree._tree.Tree"


def log_sklearn(folder: Path, name: str, model: Any, frame: Any, target: Any, **more: Any) -> None:
    import mlflow.sklearn

    model.fit(frame, target)
    told = described(frame, model.predict(frame), name)
    trusted = list(MODELS[name].skops_types)
    if "serialization_format" not in more:
        more = {"skops_trusted_types": trusted, **more}
    mlflow.sklearn.save_model(model, folder, **told, **more)


@hand_model("lightgbm-default", requires=("lightgbm", *SKLEARN))
def _(folder: Path) -> None:
    """As MLflow 3.17 writes it: skops."""
    import lightgbm
    import mlflow.lightgbm

    frame, target = numbers()
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(frame, target)
    told = described(frame, model.predict(frame), "lightgbm-default")
    mlflow.lightgbm.save_model(model, folder, **told)


@hand_model("lightgbm-cloudpickle", requires=("lightgbm", *SKLEARN))
def _(folder: Path) -> None:
    import lightgbm
    import mlflow.lightgbm

    frame, target = numbers()
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(frame, target)
    told = described(frame, model.predict(frame), "lightgbm-cloudpickle")
    mlflow.lightgbm.save_model(model, folder, serialization_format="cloudpickle", **told)


@hand_model("lightgbm-booster", requires=("lightgbm", "pandas"))
def _(folder: Path) -> None:
    import lightgbm
    import mlflow.lightgbm

    frame, target = numbers()
    model = lightgbm.train({"verbose": -1}, lightgbm.Dataset(frame, target), 5)
    told = described(frame, model.predict(frame), "lightgbm-booster")
    mlflow.lightgbm.save_model(model, folder, **told)


@hand_model(
    "xgboost",
    requires=("xgboost-cpu", *SKLEARN),
    by_hand='`pip_requirements=["xgboost-cpu==...", ...]`: `xgboost` brings libraries for GPUs',
)
def _(folder: Path) -> None:
    import mlflow.xgboost
    import xgboost

    frame, target = numbers()
    model = xgboost.XGBRegressor(n_estimators=5).fit(frame, target)
    told = described(frame, model.predict(frame), "xgboost")
    mlflow.xgboost.save_model(model, folder, **told)


@hand_model("catboost", requires=("catboost", "pandas"))
def _(folder: Path) -> None:
    import catboost
    import mlflow.catboost

    frame, target = numbers()
    model = catboost.CatBoostRegressor(iterations=5, allow_writing_files=False, verbose=0)
    model.fit(frame, target)
    told = described(frame, model.predict(frame), "catboost")
    mlflow.catboost.save_model(model, folder, **told)


@hand_model("onnx", requires=("onnx", "onnxruntime", "pandas"))
def _(folder: Path) -> None:
    """A table of 32-bit columns in, one tensor out."""
    import mlflow.onnx
    import numpy as np
    from mlflow.models import infer_signature
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor

    frame, target = numbers()
    rows = frame.to_numpy().astype(np.float32)
    forest = RandomForestRegressor(n_estimators=3, random_state=0).fit(rows, target)
    model = to_onnx(forest, rows[:1])
    mlflow.onnx.save_model(
        model,
        folder,
        signature=infer_signature(rows, forest.predict(rows).astype(np.float32)),
        input_example=rows[:3],
        pip_requirements=pins("onnx"),
    )


@hand_model("statsmodels", requires=("statsmodels", "pandas"))
def _(folder: Path) -> None:
    import mlflow.statsmodels
    import statsmodels.api

    frame, target = numbers()
    model = statsmodels.api.OLS(target, frame).fit()
    told = described(frame, model.predict(frame), "statsmodels")
    mlflow.statsmodels.save_model(model, folder, **told)


@hand_model("sklearn-forest", requires=SKLEARN, skops_types=(TREE,))
def _(folder: Path) -> None:
    from sklearn.ensemble import RandomForestRegressor

    frame, target = numbers()
    log_sklearn(
        folder,
        "sklearn-forest",
        RandomForestRegressor(n_estimators=3, random_state=0),
        frame,
        target,
    )


KNN_TYPES = (
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
)


@hand_model("sklearn-knn", requires=SKLEARN, skops_types=KNN_TYPES)
def _(folder: Path) -> None:
    from sklearn.neighbors import KNeighborsRegressor

    log_sklearn(folder, "sklearn-knn", KNeighborsRegressor(), *numbers())


MLP_TYPES = ("sklearn.neural_network._stochastic_optimizers.AdamOptimizer",)


@hand_model("sklearn-mlp", requires=SKLEARN, skops_types=MLP_TYPES)
def _(folder: Path) -> None:
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=20, random_state=0)
    log_sklearn(folder, "sklearn-mlp", model, *numbers())


HISTOGRAM_TYPES = (
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "numpy.dtype",
)


@hand_model("sklearn-histogram-boosting", requires=SKLEARN, skops_types=HISTOGRAM_TYPES)
def _(folder: Path) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(max_iter=5, random_state=0)
    log_sklearn(folder, "sklearn-histogram-boosting", model, *numbers())


@hand_model("sklearn-svc-strings", requires=SKLEARN)
def _(folder: Path) -> None:
    """Labels that are texts."""
    import numpy as np
    from sklearn.svm import SVC

    frame, target = numbers()
    log_sklearn(folder, "sklearn-svc-strings", SVC(), frame, np.where(target > 0, "yes", "no"))


@hand_model(
    "sklearn-pipeline-text",
    requires=SKLEARN,
    skops_types=("numpy.dtype",),
    cases={
        "unseen-town.json": '{"dataframe_records": [{"a": 1.5, "town": "Oz"}]}',
        "rows.csv": "a,town\n0.25,Aix\n-1,Bor\n",
    },
    by_hand="two files in `model_deploy/cases/`: a town that training never saw, and rows as CSV",
)
def _(folder: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, target = numbers()
    frame = frame[["a"]].assign(town=["Aix", "Bor", "Caen", "Dax"] * 10)
    columns = make_column_transformer(
        (StandardScaler(), ["a"]), (OneHotEncoder(handle_unknown="ignore"), ["town"])
    )
    log_sklearn(folder, "sklearn-pipeline-text", make_pipeline(columns, Ridge()), frame, target)


@hand_model("sklearn-multi-output", requires=SKLEARN)
def _(folder: Path) -> None:
    import numpy as np
    from sklearn.linear_model import LinearRegression

    frame, target = numbers()
    both = np.column_stack([target, -target])
    log_sklearn(folder, "sklearn-multi-output", LinearRegression(), frame, both)


@hand_model("sklearn-probabilities", requires=SKLEARN)
def _(folder: Path) -> None:
    import mlflow.sklearn
    from sklearn.linear_model import LogisticRegression

    frame, target = numbers()
    model = LogisticRegression().fit(frame, target > 0)
    told = described(frame, model.predict_proba(frame), "sklearn-probabilities")
    mlflow.sklearn.save_model(model, folder, pyfunc_predict_fn="predict_proba", **told)


@hand_model("sklearn-missing-values", requires=SKLEARN, skops_types=HISTOGRAM_TYPES)
def _(folder: Path) -> None:
    """Gaps in the input example, too."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor

    frame, target = numbers()
    frame.loc[::2, "a"] = np.nan
    model = HistGradientBoostingRegressor(max_iter=5, random_state=0)
    log_sklearn(folder, "sklearn-missing-values", model, frame, target)


@hand_model("sklearn-booleans", requires=SKLEARN, skops_types=(TREE,))
def _(folder: Path) -> None:
    """A column and labels that are true or false."""
    from sklearn.tree import DecisionTreeClassifier

    frame, target = numbers()
    frame["b"] = frame["b"] > 0.5
    log_sklearn(folder, "sklearn-booleans", DecisionTreeClassifier(), frame, target > 0)


@hand_model(
    "sklearn-cloudpickle",
    requires=(*SKLEARN, "cloudpickle"),
    expect=REFUSED,
    words="scikit-learn saved with cloudpickle",
    by_hand='save it with `serialization_format="skops"`',
)
def _(folder: Path) -> None:
    from sklearn.linear_model import Ridge

    log_sklearn(
        folder, "sklearn-cloudpickle", Ridge(), *numbers(), serialization_format="cloudpickle"
    )


def log_python_model(
    folder: Path, name: str, code: str, example: Any, predictions: Any = None, **more: Any
) -> None:
    """Models-from-code: `code` is a file that ends with set_model."""
    import mlflow.pyfunc
    from mlflow.models import infer_signature

    file = folder.parent / f"{name}-code" / "model.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(code)
    more.setdefault("signature", infer_signature(example, predictions, more.pop("params", None)))
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(file),
        input_example=more.pop("input_example", example),
        pip_requirements=pins(name),
        **more,
    )


CODE = """\
import mlflow.pyfunc
from mlflow.models import set_model

class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
{body}

set_model(Model())
"""


def code(*lines: str) -> str:
    return CODE.format(body="\n".join(f"        {line}" for line in lines))


@hand_model("from-code", requires=("pandas",))
def _(folder: Path) -> None:
    frame, target = numbers()
    text = code("return model_input['a'] * 3 - model_input['b']")
    log_python_model(folder, "from-code", text, frame.head(3), target)


@hand_model("params", requires=("pandas",))
def _(folder: Path) -> None:
    """A signature with parameters, and an example that sets one."""
    frame, target = numbers()
    text = code("return list(model_input['a'] * params['factor'] + params['shift'])")
    defaults = {"factor": 2.0, "shift": 1.0}
    example = (frame.head(3), {"factor": 5.0, "shift": 1.0})
    log_python_model(
        folder, "params", text, frame.head(3), target, params=defaults, input_example=example
    )


@hand_model("tensor", requires=("pandas",))
def _(folder: Path) -> None:
    import numpy as np

    example = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    text = code("return model_input.sum(axis=(1, 2))")
    log_python_model(folder, "tensor", text, example, example.sum(axis=(1, 2)))


@hand_model("datetime", requires=("pandas",))
def _(folder: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"at": pd.to_datetime(["2026-01-01 10:30:00", "2026-06-15 23:59:59"])})
    text = code("return model_input['at'].dt.dayofyear + model_input['at'].dt.hour / 24")
    log_python_model(folder, "datetime", text, frame, [1.5, 2.5])


@hand_model("chat", requires=("pandas",))
def _(folder: Path) -> None:
    """Messages in, and the answer unwrapped, as MLflow's server does it for chats."""
    import mlflow.pyfunc

    text = """\
import mlflow.pyfunc
from mlflow.models import set_model
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage

class Chat(mlflow.pyfunc.ChatModel):
    def predict(self, context, messages, params):
        said = ChatMessage(role="assistant", content=messages[-1].content.upper())
        choice = ChatChoice(index=0, message=said)
        return ChatCompletionResponse(choices=[choice], model="loud", created=1)

set_model(Chat())
"""
    file = folder.parent / "chat.py"
    file.write_text(text)
    example = {"messages": [{"role": "user", "content": "hello"}]}
    mlflow.pyfunc.save_model(
        folder, python_model=str(file), input_example=example, pip_requirements=pins("chat")
    )


@hand_model("code-paths", requires=("pandas",))
def _(folder: Path) -> None:
    """A module of the user's own beside the model."""
    frame, target = numbers()
    package = folder.parent / "ours_by_hand"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("def predict(frame):\n    return frame['a'] * 7\n")
    text = "import ours_by_hand\n" + code("return ours_by_hand.predict(model_input)")
    sys.path.insert(0, str(folder.parent))
    log_python_model(folder, "code-paths", text, frame.head(3), target, code_paths=[str(package)])


@hand_model("artifact-rf.skops", requires=SKLEARN, skops_types=(TREE,))
def _(folder: Path) -> None:
    """A PythonModel that reads an artifact which ends in .skops."""
    from sklearn.ensemble import RandomForestRegressor
    from skops.io import dump

    frame, target = numbers()
    dump(
        RandomForestRegressor(n_estimators=3, random_state=0).fit(frame, target),
        folder.parent / "rf.skops",
    )
    text = """\
import mlflow.pyfunc
from mlflow.models import set_model

class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        from skops.io import load
        self.forest = load(context.artifacts["forest"], trusted=["sklearn.tree._tree.Tree"])

    def predict(self, context, model_input, params=None):
        return self.forest.predict(model_input)

set_model(Model())
"""
    log_python_model(
        folder,
        "artifact-rf.skops",
        text,
        frame.head(3),
        target,
        artifacts={"forest": str(folder.parent / "rf.skops")},
    )


@hand_model("table-out", requires=("pandas",))
def _(folder: Path) -> None:
    """A table as the answer, one of its columns with texts."""
    import pandas as pd

    frame, _target = numbers()
    text = code(
        "low = model_input['a'] < 0",
        "return model_input.assign(note=low.map({True: 'low', False: 'high'}))",
    )
    out = pd.DataFrame({"a": [1.0], "b": [1.0], "note": ["x"]})
    log_python_model(folder, "table-out", text, frame.head(3), out)


@hand_model(
    "table-out-with-gaps",
    requires=("pandas",),
    expect=REFUSED,
    words="it holds NaN",
    by_hand="`table.astype(object).where(table.notna(), None)`: then a gap is `null`",
)
def _(folder: Path) -> None:
    """As before, but without a text in some rows, which MLflow's server writes as NaN."""
    import pandas as pd

    frame, _target = numbers()
    text = code(
        "low = model_input['a'] < 0",
        "return model_input.assign(note=low.map({True: 'low', False: None}))",
    )
    out = pd.DataFrame({"a": [1.0], "b": [1.0], "note": ["x"]})
    log_python_model(folder, "table-out-with-gaps", text, frame.head(3), out)


@hand_model("dict-out", requires=("pandas",))
def _(folder: Path) -> None:
    frame, _target = numbers()
    text = code(
        "return {'mean': float(model_input['a'].mean()), 'rows': len(model_input),",
        "        'each': [{'a': a} for a in model_input['a']]}",
    )
    log_python_model(folder, "dict-out", text, frame.head(3), {"mean": 1.0, "rows": 1})


@hand_model("large-integers", requires=("pandas",))
def _(folder: Path) -> None:
    """Beyond what a float holds exactly."""
    import pandas as pd

    frame = pd.DataFrame({"id": [2**53 + 1, 2**62 + 3]})
    log_python_model(folder, "large-integers", code("return model_input['id'] + 1"), frame, [1, 2])


@hand_model("nested-columns", requires=("pandas",))
def _(folder: Path) -> None:
    """A column of lists and one of objects."""
    import pandas as pd

    frame = pd.DataFrame({"values": [[1.0, 2.0], [3.0]], "who": [{"name": "Ann"}, {"name": "Bob"}]})
    text = code(
        "pairs = zip(model_input['values'], model_input['who'])",
        "return [f\"{who['name']} {sum(values)}\" for values, who in pairs]",
    )
    log_python_model(folder, "nested-columns", text, frame, ["x"])


@hand_model("bytes", requires=("pandas",))
def _(folder: Path) -> None:
    """A binary column, which requests carry in base64."""
    import pandas as pd

    frame = pd.DataFrame({"image": [b"\x00\x01\xff", b"ab"]})
    log_python_model(folder, "bytes", code("return model_input['image'].map(len)"), frame, [3, 2])


@hand_model("dates-out", requires=("pandas",))
def _(folder: Path) -> None:
    """Timestamps as the answer."""
    import pandas as pd

    frame = pd.DataFrame({"days": [1, 2]})
    text = "import pandas as pd\n" + code(
        "return pd.Timestamp('2026-01-01') + pd.to_timedelta(model_input['days'], unit='D')"
    )
    out = pd.Series([datetime.datetime(2026, 1, 1)])
    log_python_model(folder, "dates-out", text, frame, out)


@hand_model("other-pandas", requires=("pandas==2.2.2", "numpy==2.2.6"))
def _(folder: Path) -> None:
    """Other versions than the test's environment has; its answer names them."""
    frame, _target = numbers()
    text = "import pandas\n" + code("return [pandas.__version__] * len(model_input)")
    log_python_model(folder, "other-pandas", text, frame.head(3), ["x"])


@hand_model("typed", requires=("pandas",))
def _(folder: Path) -> None:
    """The signature is from the type hints of predict."""
    import mlflow.pyfunc

    text = """\
import mlflow.pyfunc
import pydantic
from mlflow.models import set_model

class Row(pydantic.BaseModel):
    a: float
    tags: list[str] = []

class Model(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[Row]) -> list[str]:
        return [f"{row.a:.1f} {len(row.tags)}" for row in model_input]

set_model(Model())
"""
    file = folder.parent / "typed.py"
    file.write_text(text)
    example = [{"a": 1.25, "tags": ["x", "y"]}, {"a": 2.0, "tags": []}]
    mlflow.pyfunc.save_model(
        folder, python_model=str(file), input_example=example, pip_requirements=pins("typed")
    )


@hand_model(
    "differ",
    requires=("pandas",),
    expect=DIFFERS,
    words="130.0",
    by_hand="nothing helps: it answers otherwise when it serves, so its endpoint's test fails",
)
def _(folder: Path) -> None:
    """Adds 100 where it is served by SageMaker."""
    import pandas as pd

    frame = pd.DataFrame({"x": [3.0]})
    text = "import os\n" + code(
        "extra = 100 if os.path.exists('/opt/ml/model/MLmodel') else 0",
        "return list(model_input['x'] * 10 + extra)",
    )
    log_python_model(folder, "differ", text, frame, [30.0])


@hand_model(
    "random",
    requires=("pandas",),
    expect=REFUSED,
    words="differently when asked again",
    by_hand="a seed, or `no_offline_comparison` with the reason",
)
def _(folder: Path) -> None:
    frame, target = numbers()
    text = "import numpy\n" + code(
        "return numpy.random.default_rng().normal(size=len(model_input))"
    )
    log_python_model(folder, "random", text, frame.head(3), target)


@hand_model(
    "not-a-number",
    requires=("pandas",),
    expect=REFUSED,
    words="it holds NaN",
    by_hand="answer `None`, or a number that means it",
)
def _(folder: Path) -> None:
    frame, target = numbers()
    log_python_model(folder, "not-a-number", code("return [float('nan')]"), frame.head(1), target)


@hand_model(
    "crashes",
    requires=("pandas",),
    expect=REFUSED,
    words="KeyError: 'c'",
    by_hand="an input example that the model can answer",
)
def _(folder: Path) -> None:
    frame, target = numbers()
    log_python_model(folder, "crashes", code("return model_input['c']"), frame.head(1), target)


@hand_model(
    "requirement-that-is-nowhere",
    requires=("pandas==9999.1",),
    expect=REFUSED,
    words="requirements.txt can not be installed",
    by_hand="requirements that an index has",
)
def _(folder: Path) -> None:
    frame, target = numbers()
    text = code("return model_input['a']")
    log_python_model(folder, "requirement-that-is-nowhere", text, frame.head(1), target)


if __name__ == "__main__":
    names = sys.argv[1].split(",")
    failures = {}
    for each in names:
        try:
            MODELS[each].log(Path(sys.argv[2], each, "model"))
        except Exception as err:  # noqa: BLE001 - told at the end, with all others
            failures[each] = f"{type(err).__name__}: {err}"
    sys.stdout.write(json.dumps(failures) + "\n")
