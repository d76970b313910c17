from __future__ import annotations

import importlib.util
import logging
import pickle
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_deploy.deploy_request import DeployRequest
from model_deploy.errors import ModelNotDeployable
from model_deploy.model_loading import _LOADERS
from model_deploy.model_validation import Findings, validate_model

_MODEL = "version 3 of 'housing'"
_LIGHTGBM_TYPES = [
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
]


def _write_flavors(folder: Path, **flavors: Any) -> Path:
    path = folder / "MLmodel"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "flavors": flavors}))
    return folder


def _read_flavors(folder: Path) -> Any:
    return yaml.safe_load((folder / "MLmodel").read_text())["flavors"]


def _told(folder: Path) -> list[str]:
    return list(validate_model(folder, _MODEL).code_on_load)


def _problems(folder: Path, **reviewed: Any) -> list[str]:
    request = DeployRequest(model_name="housing", model_version="3", **reviewed)
    with pytest.raises(ModelNotDeployable) as caught:
        validate_model(folder, _MODEL, request)
    return list(caught.value.problems)


def _stand_in(name: str, **attributes: Any) -> Any:
    """An instance of a class of that name, whose package is not installed."""
    module, _, own = name.rpartition(".")
    instance = type(own, (), {"__module__": module})()
    instance.__dict__.update(attributes)
    return instance


def _lightgbm(registry: Any, *more: Any, **conf: Any) -> Path:
    """A model as mlflow.lightgbm.log_model of 3.17 writes one of LGBMClassifier."""
    import skops.io
    from sklearn.preprocessing import LabelEncoder

    folder: Path = registry.copy_of_model()
    booster = _stand_in("lightgbm.basic.Booster", _handle="tree\nversion=v4\n")
    encoder = LabelEncoder().fit(["no", "yes"])
    content = {"_Booster": booster, "_le": encoder, "more": list(more)}
    skops.io.dump(_stand_in("lightgbm.sklearn.LGBMClassifier", **content), folder / "model.skops")
    return _write_flavors(
        folder,
        lightgbm={
            "code": None,
            "data": "model.skops",
            "lgb_version": "4.7.0",
            "model_class": "lightgbm.sklearn.LGBMClassifier",
            "serialization_format": "skops",
            "skops_trusted_types": _LIGHTGBM_TYPES,
            **conf,
        },
        python_function={
            "data": "model.skops",
            "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            "loader_module": "mlflow.lightgbm",
            "python_version": "3.11.7",
        },
    )


def _one_file(registry: Any, flavor: str, **conf: Any) -> Path:
    """A model of one library, whose one file is model.bin."""
    folder: Path = registry.copy_of_model()
    (folder / "model.bin").write_bytes(b"trees")
    pyfunc = {"loader_module": f"mlflow.{flavor}", "data": "model.bin"}
    return _write_flavors(folder, python_function=pyfunc, **{flavor: {"data": "model.bin", **conf}})


def test_lightgbm_as_mlflow_writes_it_can_be_deployed(registry: Any) -> None:
    assert validate_model(_lightgbm(registry), _MODEL) == Findings()


def test_a_flavour_s_own_list_is_held_to_the_reviews(registry: Any) -> None:
    name = "evil.Type"
    folder = _lightgbm(registry, _stand_in(name), skops_trusted_types=[*_LIGHTGBM_TYPES, name])
    (problem,) = _problems(folder)
    assert problem.startswith(f"model.skops needs types that nobody reviewed: {name}. ")
    reviewed = DeployRequest(
        model_name="housing", model_version="3", trusted_types={name: "an empty class"}
    )
    assert validate_model(folder, _MODEL, reviewed) == Findings()


def test_types_that_a_flavour_s_own_list_lacks_are_refused(registry: Any) -> None:
    folder = _lightgbm(registry, skops_trusted_types=_LIGHTGBM_TYPES[:2])
    (problem,) = _problems(folder)
    assert "that its MLmodel does not list, so no server can load it: lightgbm.sklearn" in problem


def test_a_skops_file_of_a_library_that_nobody_knows_is_reviewed_too(registry: Any) -> None:
    folder = _lightgbm(registry)
    flavors = _read_flavors(folder)
    flavors["python_function"]["loader_module"] = "newboost.mlflow"
    flavors["newboost"] = {**flavors.pop("lightgbm"), "skops_trusted_types": []}
    (problem,) = _problems(_write_flavors(folder, **flavors))
    assert "that its MLmodel does not list" in problem


def test_lightgbm_s_text_runs_nothing_and_its_pickle_is_told(registry: Any) -> None:
    folder = _lightgbm(registry, model_class="lightgbm.basic.Booster")
    (folder / "model.skops").write_text("tree\nversion=v4\n")
    assert _told(folder) == []
    told = "model.skops is a cloudpickle of a LightGBM estimator, which runs what is in it"
    assert _told(_lightgbm(registry, serialization_format="cloudpickle")) == [told]


def test_an_artifact_that_ends_in_skops_is_no_business_of_ours(registry: Any) -> None:
    folder = registry.copy_of_model()
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "rf.skops").write_bytes(b"anything")
    pyfunc = {
        "loader_module": "mlflow.pyfunc.model",
        "python_model": "python_model.pkl",
        "artifacts": {"rf": {"path": "artifacts/rf.skops", "uri": "/elsewhere/rf.skops"}},
    }
    assert _told(_write_flavors(folder, python_function=pyfunc)) == [
        "python_model.pkl is a PythonModel by cloudpickle, which runs what is in it"
    ]


def _plant(folder: Path, marker: Path) -> None:
    """A module that leaves a mark when it is loaded as MLflow loads one."""
    (folder / "code").mkdir()
    text = (
        f"class Evil:\n    predict = print\n\n\n"
        f"def _load_pyfunc(path):\n    open({str(marker)!r}, 'w').close()\n    return Evil()\n"
    )
    (folder / "code" / "evil_loader.py").write_text(text)


def _load_as_mlflow_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.pyfunc

    monkeypatch.setattr(sys, "path", list(sys.path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)


def test_a_loader_in_the_place_of_scikit_learn_s_is_refused_as_mlflow_runs_it(
    registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker = registry.copy_of_model(), tmp_path / "ran"
    _plant(folder, marker)
    flavors = _read_flavors(folder)
    flavors["python_function"] |= {"loader_module": "evil_loader", "code": "code"}
    _write_flavors(folder, **flavors)
    _load_as_mlflow_does(folder, monkeypatch)
    assert marker.exists()
    assert _problems(folder) == [
        "it has the flavour sklearn, but python_function.loader_module is 'evil_loader': the "
        "server would import and run that, and not load what sklearn says with mlflow.sklearn. No "
        "MLflow writes that; log the model again."
    ]


@pytest.mark.parametrize("flavor", ["lightgbm", "xgboost", "catboost", "onnx", "prophet"])
def test_a_loader_in_the_place_of_any_library_s_is_refused(registry: Any, flavor: str) -> None:
    folder = _one_file(registry, flavor)
    flavors = _read_flavors(folder)
    flavors["python_function"]["loader_module"] = "mlflow.pyfunc.model"
    (problem,) = _problems(_write_flavors(folder, **flavors))
    assert problem.startswith(f"it has the flavour {flavor}, but python_function.loader_module is ")


class _Mark:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_scikit_learn_s_loader_without_its_flavour_is_refused_as_mlflow_unpickles(
    registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker = registry.copy_of_model(), tmp_path / "ran"
    (folder / "model.skops").write_bytes(pickle.dumps(_Mark(marker)))
    _write_flavors(folder, python_function=_read_flavors(folder)["python_function"])
    _load_as_mlflow_does(folder, monkeypatch)
    assert marker.exists()
    assert _problems(folder) == [
        "python_function.loader_module is 'mlflow.sklearn', but the flavour sklearn is not there, "
        "which tells it what the file is. No MLflow writes that; log the model again."
    ]


def test_a_folder_in_the_place_of_the_file_is_refused_as_mlflow_reads_its_mlmodel(
    registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker = registry.copy_of_model(), tmp_path / "ran"
    shutil.copytree(registry.model_folder, folder / "inner")
    (folder / "inner" / "model.skops").write_bytes(pickle.dumps(_Mark(marker)))
    inner = _read_flavors(folder / "inner")
    inner["sklearn"]["serialization_format"] = "pickle"
    _write_flavors(folder / "inner", **inner)
    flavors = _read_flavors(folder)
    flavors["python_function"]["data"] = flavors["sklearn"]["pickled_model"] = "inner"
    _write_flavors(folder, **flavors)
    _load_as_mlflow_does(folder, monkeypatch)
    assert marker.exists()
    (problem,) = _problems(folder)
    assert problem == "inner, which is the model, is not there as a file."


@pytest.mark.parametrize(
    ("conf", "problem"),
    [
        (
            {"model_path": "other.skops"},
            "python_function would load 'other.skops' (model_path), its library's flavour says "
            "'model.skops'.",
        ),
        (
            {"data": "other.skops"},
            "python_function would load 'other.skops' (data), its library's flavour says",
        ),
        ({"loader_module": None}, "python_function names no loader_module, so MLflow can not load"),
        ({"loader_module": ["mlflow.sklearn"]}, "python_function names no loader_module"),
    ],
)
def test_what_was_not_reviewed_is_not_loaded(
    registry: Any, conf: dict[str, Any], problem: str
) -> None:
    folder = registry.copy_of_model()
    flavors = _read_flavors(folder)
    flavors["python_function"] |= conf
    (found,) = _problems(_write_flavors(folder, **flavors))
    assert found.startswith(problem)


def test_the_model_s_file_lies_beside_mlmodel(registry: Any) -> None:
    """MLflow looks for MLmodel beside the file that it loads."""
    folder = registry.copy_of_model()
    (folder / "inner").mkdir()
    shutil.copy(folder / "model.skops", folder / "inner" / "model.skops")
    flavors = _read_flavors(folder)
    flavors["python_function"]["data"] = "inner/model.skops"
    flavors["sklearn"]["pickled_model"] = "inner/model.skops"
    (problem,) = _problems(_write_flavors(folder, **flavors))
    assert "'inner/model.skops' (data), which is no file beside MLmodel." in problem
    flavors["python_function"]["data"] = flavors["sklearn"]["pickled_model"] = "gone.skops"
    (problem,) = _problems(_write_flavors(folder, **flavors))
    assert problem == "gone.skops, which is the model, is not there as a file."


@pytest.mark.parametrize(
    "conf",
    [
        {"data": "../other/model.skops"},
        {"data": "/tmp/model.skops"},
        {"code": "inside/../../code"},
        {"python_model": "/opt/ml/python_model.pkl"},
        {"artifacts": {"rf": {"path": "../rf.pkl", "uri": "rf.pkl"}}},
        {"env": {"virtualenv": "../python_env.yaml"}},
        {"data": "link/model.skops"},
        {"data": "model\x00.skops"},
    ],
)
def test_a_path_out_of_the_model_is_refused(
    registry: Any, tmp_path: Path, conf: dict[str, Any]
) -> None:
    folder = registry.copy_of_model()
    (folder / "link").symlink_to(tmp_path)
    flavors = _read_flavors(folder)
    flavors["python_function"] |= conf
    (problem,) = _problems(_write_flavors(folder, **flavors))
    assert re.match(r"its MLmodel names '.*' \(\w+\), which is outside of the model\. ", problem)


def test_what_a_model_is_configured_with_is_its_own_affair(registry: Any) -> None:
    folder = registry.copy_of_model()
    config = {"data": "/mnt/tables", "path": "../x", "env": "prod"}
    pyfunc = {"loader_module": "mlflow.pyfunc.model", "model_code_path": "/elsewhere/agent.py"}
    _write_flavors(folder, python_function={**pyfunc, "config": config})
    assert _told(folder) == ["agent.py is run as the model (models from code)"]


@pytest.mark.parametrize(
    ("model_class", "told"),
    [
        ("xgboost.core.Booster", []),
        ("xgboost.sklearn.XGBClassifier", []),
        ("os.abort", ["mlflow.xgboost imports and calls os.abort, which is none of XGBoost's own"]),
        (
            "xgboost.sklearn.os._exit",
            [
                "mlflow.xgboost imports and calls xgboost.sklearn.os._exit, which is none of "
                "XGBoost's own"
            ],
        ),
    ],
)
def test_the_class_that_xgboost_s_loader_calls_is_told_unless_it_is_xgboost_s(
    registry: Any, model_class: str, told: list[str]
) -> None:
    assert _told(_one_file(registry, "xgboost", model_class=model_class)) == told


@pytest.mark.parametrize(
    ("conf", "count"),
    [
        ({"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]}, 0),
        ({"providers": "CPUExecutionProvider", "onnx_session_options": None}, 0),
        ({"onnx_session_options": {"execution_mode": "sequential"}}, 0),
        ({"providers": [["QNNExecutionProvider", {"backend_path": "evil.so"}]]}, 1),
        ({"onnx_session_options": {"extra_session_config": {"a": "b"}}}, 1),
    ],
)
def test_settings_that_onnx_runtime_gets_as_they_are_are_told(
    registry: Any, conf: dict[str, Any], count: int
) -> None:
    told = "its settings go to ONNX Runtime as they are, whose providers load libraries"
    assert _told(_one_file(registry, "onnx", **conf)) == [told] * count


@pytest.mark.parametrize("flavor", ["catboost", "prophet", "openai"])
def test_data_that_a_library_reads_as_data_runs_nothing(registry: Any, flavor: str) -> None:
    assert _told(_one_file(registry, flavor)) == []


@pytest.mark.parametrize(
    ("flavor", "told"),
    [
        ("statsmodels", "mlflow.statsmodels unpickles the model, which runs what is in it"),
        ("pmdarima", "mlflow.pmdarima unpickles the model, which runs what is in it"),
        (
            "pytorch",
            "mlflow.pytorch calls torch.load with the pickle module that the model names, or "
            "torch.export.load",
        ),
        ("transformers", "mlflow.transformers trusts code that lies beside the weights"),
        (
            "keras",
            "mlflow.keras makes the layers that the model's file names, or runs its graph",
        ),
    ],
)
def test_a_library_that_runs_code_on_load_is_told(registry: Any, flavor: str, told: str) -> None:
    assert _told(_one_file(registry, flavor)) == [told]


@pytest.mark.parametrize(
    ("pyfunc", "told"),
    [
        (
            {"loader_module": "my.loader"},
            "its loader_module my.loader is imported and run, which is none of MLflow's",
        ),
        (
            {"loader_module": "mlflow.newest"},
            "its loader_module mlflow.newest is imported and run, which nobody has read here",
        ),
        (
            {"loader_module": "mlflow.pyfunc.model", "model_code_path": "/elsewhere/agent.py"},
            "agent.py is run as the model (models from code)",
        ),
        (
            {"loader_module": "mlflow.pyfunc.loaders.chat_model", "python_model": "a.pkl"},
            "a.pkl is a PythonModel by cloudpickle, which runs what is in it",
        ),
    ],
)
def test_code_of_the_model_s_own_is_told(registry: Any, pyfunc: dict[str, Any], told: str) -> None:
    folder = registry.copy_of_model()
    assert _told(_write_flavors(folder, python_function=pyfunc)) == [told]
    own = "its own modules in code/ (code_paths) come before all installed ones, also in the place"
    folder = _write_flavors(folder, python_function={**pyfunc, "code": "code"})
    assert _told(folder) == [told, f"{own} of one"]


def test_scikit_learn_with_code_paths_is_told_and_its_own_word_does_not_count(
    registry: Any,
) -> None:
    folder = registry.copy_of_model()
    flavors = _read_flavors(folder)
    flavors["python_function"]["code"] = "code"
    (sentence,) = _told(_write_flavors(folder, **flavors))
    assert sentence.startswith("its own modules in code/ (code_paths)")
    name = "mine.Type"
    folder = _lightgbm(registry, _stand_in(name), skops_trusted_types=[*_LIGHTGBM_TYPES, name])
    flavors = _read_flavors(folder)
    (folder / "requirements.txt").write_text("mine==1.0\n")
    path = folder / "MLmodel"
    said = {**yaml.safe_load(path.read_text()), "metadata": {"reviewed_types": {name: "empty"}}}
    path.write_text(yaml.safe_dump(said))
    assert _told(folder) == []
    flavors["python_function"]["code"] = "code"
    (problem,) = _problems(_write_flavors(folder, **flavors))
    assert f"{name} (its metadata can't speak for it, as the model's own modules may" in problem


@pytest.mark.parametrize(
    ("file", "text", "shown"),
    [
        (
            "requirements.txt",
            "--index-url https://me:secret@example.com/simple",
            "--index-url https://example.com/simple",
        ),
        ("requirements.txt", "evil @ git+https://example.com/evil", None),
        ("requirements.txt", "code/mine-1.0-py3-none-any.whl", None),
        ("requirements.txt", "-e ./code", None),
        (
            "conda.yaml",
            "dependencies:\n- pip:\n  - https://example.com/e.zip",
            "https://example.com/e.zip",
        ),
    ],
)
def test_what_is_installed_from_elsewhere_is_told_without_credentials(
    registry: Any, file: str, text: str, shown: str | None
) -> None:
    folder = registry.copy_of_model()
    (folder / file).write_text(text + "\n")
    assert _told(folder) == [
        f"{file} installs from elsewhere than the index, which runs code: {shown or text}"
    ]


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"virtualenv": "other.yaml"}, "has 'other.yaml' for virtualenv, and the server would"),
        ({"conda": "other.yaml"}, "has 'other.yaml' for conda"),
        ({"virtualenv": "./python_env.yaml"}, "has './python_env.yaml' for virtualenv"),
        ({"virtualenv": "conda.yaml"}, "has 'conda.yaml' for virtualenv"),
        ({"uv": "python_env.yaml"}, "has 'python_env.yaml' for uv"),
        ({"virtualenv": {"file": "python_env.yaml"}}, "for virtualenv"),
        ("other.yaml", "has 'other.yaml' for conda"),
        (["other.yaml"], "is ['other.yaml'], which names no environment's file"),
        (None, "is None, which names no environment's file"),
    ],
)
def test_environments_of_another_name_are_refused(registry: Any, env: Any, told: str) -> None:
    """MLflow's container installs from whatever file `env` names."""
    folder = registry.copy_of_model()
    (folder / "other.yaml").write_text("dependencies:\n- evil==1.0\n")
    flavors = _read_flavors(folder)
    flavors["python_function"]["env"] = env
    (problem,) = _problems(_write_flavors(folder, **flavors))
    assert problem.startswith("python_function.env ")
    assert told in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dependencies:\n- evil==1.0\n", "has evil==1.0 (dependencies), which the server would"),
        ("dependencies:\n- -r other.txt\n", "has -r other.txt (dependencies)"),
        ("dependencies: evil\n", "has evil (dependencies)"),
        ("build_dependencies:\n- pip==25.0\n- evil\n", "has evil (build_dependencies)"),
        ("build_dependencies:\n- pip @ https://a:b@x.org/p\n", "pip @ https://x.org/p (build_"),
        ("build_dependencies:\n- pip==25.0 --index-url https://x.org\n", "(build_dependencies)"),
        ("dependencies:\n- {pip: [evil]}\n", "has {'pip': ['evil']} (dependencies)"),
        ("- evil\n", "holds no mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_python_env_that_installs_more_than_is_recorded_is_refused(
    registry: Any, text: str, told: str
) -> None:
    folder = registry.copy_of_model()
    (folder / "python_env.yaml").write_text(text)
    (problem,) = _problems(folder)
    assert told in problem


@pytest.mark.parametrize("code", [["../.."], ["code"], 5])
def test_code_that_is_no_folder_s_name_is_refused(registry: Any, code: Any) -> None:
    folder = registry.copy_of_model()
    flavors = _read_flavors(folder)
    flavors["python_function"]["code"] = code
    problems = _problems(_write_flavors(folder, **flavors))
    assert f"its MLmodel names {code!r} (code), which is no folder's name" in problems[-1]


def test_what_mlflow_writes_of_requirements_is_from_the_index(registry: Any) -> None:
    folder = registry.copy_of_model()
    (folder / "requirements.txt").write_text(
        "# by hand\nmlflow==3.17.2  # pinned\n-c constraints.txt\nscikit-learn[x]>=1.9,<2\n\n"
    )
    (folder / "python_env.yaml").write_text(
        "python: 3.11.7\nbuild_dependencies:\n- pip==25.0\ndependencies:\n- -r requirements.txt\n"
    )
    assert _told(folder) == []


@pytest.mark.parametrize("version", ["0.10.0", "0.13.0", "0.14.dev0"])
def test_a_server_with_an_old_skops_is_refused(registry: Any, version: str) -> None:
    folder = registry.copy_of_model()
    (folder / "requirements.txt").write_text(f"scikit-learn==1.9.0\nskops=={version}\n")
    assert _problems(folder) == [
        f"its requirements.txt asks for skops {version}, and before 0.14 a file could create more "
        "than skops lists. Log the model again with a newer one."
    ]
    (folder / "requirements.txt").write_text("skops==0.14.0\n")
    assert _told(folder) == []


@pytest.mark.parametrize(
    ("flavors", "problem"),
    [
        (["sklearn"], "its MLmodel file has no mapping of flavours"),
        (
            {"python_function": "mlflow.sklearn"},
            "what its MLmodel says of python_function is no mapping",
        ),
        (
            {"python_function": {"loader_module": "mlflow.pyfunc.model"}},
            "python_function has "
            "neither python_model nor model_code_path, so MLflow can not load it. Log it again.",
        ),
        (
            {
                "python_function": {"loader_module": "mlflow.sklearn"},
                "sklearn": {"serialization_format": "joblib"},
            },
            "scikit-learn saved in a format that MLflow has not: 'joblib'.",
        ),
    ],
)
def test_what_mlflow_could_not_load_is_refused(registry: Any, flavors: Any, problem: str) -> None:
    folder = registry.copy_of_model()
    path = folder / "MLmodel"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "flavors": flavors}))
    assert problem in _problems(folder)


def test_every_loader_that_mlflow_writes_was_read() -> None:
    """A new MLflow with a new one fails here, not at a customer's."""
    found = importlib.util.find_spec("mlflow")
    assert found is not None
    assert found.origin is not None
    written: set[str] = set()
    for path in Path(found.origin).parent.rglob("*.py"):
        written |= set(re.findall(r'loader_module="(mlflow\.[\w.]+)"', path.read_text("utf-8")))
    loaders = Path(found.origin).parent / "pyfunc" / "loaders"
    written |= {f"mlflow.pyfunc.loaders.{path.stem}" for path in loaders.glob("[a-z]*.py")}
    assert written <= set(_LOADERS)
    assert set(_LOADERS) - written <= {"mlflow.pyfunc.model"}


def test_nothing_is_logged_of_a_model_that_runs_nothing(
    registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        validate_model(registry.model_folder, _MODEL)
    assert caplog.messages == []
