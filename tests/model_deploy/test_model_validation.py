from __future__ import annotations

import json
import logging
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_deploy.deploy_request import DeployRequest
from model_deploy.errors import ModelNotDeployable
from model_deploy.model_validation import Findings, validate_model

_MODEL = "version 3 of 'housing'"


def _edit(folder: Path, **changes: Any) -> None:
    """Change MLmodel's top-level keys; None removes one."""
    path = folder / "MLmodel"
    description = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        description.pop(key) if value is None else description.update({key: value})
    path.write_text(yaml.safe_dump(description))


def _flavors(folder: Path) -> dict[str, Any]:
    flavors: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]
    return flavors


def _reviewed(*trusted: str, code_on_load: str = "tell") -> DeployRequest:
    return DeployRequest(
        model_name="housing",
        model_version="3",
        trusted_types=dict.fromkeys(trusted, "read"),
        code_on_load=code_on_load,
    )


def _problems(folder: Path, *trusted: str) -> tuple[str, ...]:
    with pytest.raises(ModelNotDeployable) as caught:
        validate_model(folder, _MODEL, _reviewed(*trusted))
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{_MODEL} can not be deployed:\n  - ")
    return caught.value.problems


def test_a_forest_behind_encoding_and_imputing_can_be_deployed(registry: Any) -> None:
    validate_model(registry.model_folder, _MODEL)


def test_all_problems_are_told_at_once(registry: Any) -> None:
    folder = registry.copy_of_model()
    sklearn = _flavors(folder)["sklearn"]
    _edit(
        folder,
        signature=None,
        saved_input_example_info=None,
        flavors={"sklearn": {**sklearn, "serialization_format": "cloudpickle"}},
    )
    with pytest.raises(ModelNotDeployable) as caught:
        validate_model(folder, _MODEL)
    assert str(caught.value) == (
        "version 3 of 'housing' can not be deployed:\n"
        "  - no python_function flavour (it has: sklearn); MLflow's server loads only that. "
        "Log it with an MLflow flavour that has one.\n"
        "  - no signature with inputs, so wrong requests would be answered. Pass "
        "signature=infer_signature(...) to log_model (nullable integer columns give none "
        "silently).\n"
        "  - no input example, so the endpoint could not be tested. Pass input_example=... to "
        "log_model.\n"
        "  - scikit-learn saved with cloudpickle, which runs code when it is loaded. Save it with "
        'serialization_format="skops" and skops_trusted_types=[...].'
    )


@pytest.mark.parametrize("signature", [None, {}, {"inputs": None}, {"inputs": "[]"}])
def test_signature_needs_inputs(registry: Any, signature: Any) -> None:
    folder = registry.copy_of_model()
    _edit(folder, signature=signature)
    (problem,) = _problems(folder)
    assert problem.startswith("no signature with inputs")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"signature": [1]}, "its signature is [1], which is no mapping"),
        ({"signature": {"inputs": "not json"}}, "its signature's inputs are 'not json', which is"),
        ({"signature": {"inputs": 5}}, "its signature's inputs are 5, which is no JSON list"),
        ({"signature": {"inputs": "[1]"}}, "its signature's inputs are '[1]'"),
        ({"saved_input_example_info": "hello"}, "its saved_input_example_info is 'hello', which"),
        (
            {"saved_input_example_info": {"serving_input_path": 5}},
            "its MLmodel names 5 (serving_input_path) as its input example, which is no file",
        ),
    ],
)
def test_an_mlmodel_that_was_edited_by_hand_is_refused_in_a_sentence(
    registry: Any, changes: dict[str, Any], told: str
) -> None:
    folder = registry.copy_of_model()
    _edit(folder, **changes)
    (problem,) = _problems(folder)
    assert problem.startswith(told)
    assert "\n" not in problem


@pytest.mark.parametrize("key", ["serving_input_path", "artifact_path"])
@pytest.mark.parametrize("path", ["../outside.json", "/etc/hostname"])
def test_an_input_example_outside_of_the_model_is_refused(
    registry: Any, key: str, path: str
) -> None:
    folder = registry.copy_of_model()
    (folder.parent / "outside.json").write_text('{"inputs": [1]}')
    said = yaml.safe_load((folder / "MLmodel").read_text())["saved_input_example_info"]
    _edit(folder, saved_input_example_info={**said, key: path})
    (problem,) = _problems(folder)
    assert problem.startswith(f"its MLmodel names {path!r} ({key}) as its input example")


@pytest.mark.parametrize("text", ["run_id: 2021-99-99\n", "a: " + "[" * 5000])
def test_an_mlmodel_that_yaml_can_not_read_is_refused(registry: Any, text: str) -> None:
    folder = registry.copy_of_model()
    (folder / "MLmodel").write_text(text)
    (problem,) = _problems(folder)
    assert problem.startswith("its MLmodel file is not YAML: ")


def test_input_example_needs_its_serving_form(registry: Any) -> None:
    folder = registry.copy_of_model()
    (folder / "serving_input_example.json").unlink()
    (problem,) = _problems(folder)
    assert problem.startswith("its input example has no serving form")
    (folder / "serving_input_example.json").write_text("{")
    (problem,) = _problems(folder)
    assert problem.startswith("its input example serving_input_example.json is not JSON: ")


# A class that nobody reviewed here: what SplineTransformer keeps.
_SPLINE = "scipy.interpolate._bsplines.BSpline"
_ADVICE = (
    "Read what loading them does, then give the reason in trusted_types of deploy.json, or of the "
    "estimator's file and train again."
)


def _splines(registry: Any) -> Path:
    """A copy of the model that asks for a type of SciPy in place of the forest's."""
    return _replace_forest(registry, "scipy.interpolate._bsplines", "BSpline")


def _replace_forest(registry: Any, module: str, name: str) -> Path:
    """A copy of the model whose file asks for another type in place of the forest's."""
    folder: Path = registry.copy_of_model()

    def replace(schema: str) -> str:
        for key, old, new in (
            ("__class__", "RandomForestRegressor", name),
            ("__module__", "sklearn.ensemble._forest", module),
        ):
            assert f'"{key}": "{old}"' in schema
            schema = schema.replace(f'"{key}": "{old}"', f'"{key}": "{new}"')
        return schema

    _change_schema(folder, replace)
    _declare(folder, f"{module}.{name}")
    return folder


def _change_schema(folder: Path, change: Callable[[str], str]) -> None:
    with zipfile.ZipFile(folder / "model.skops") as packed:
        content = {name: packed.read(name) for name in packed.namelist()}
    content["schema.json"] = change(content["schema.json"].decode()).encode()
    with zipfile.ZipFile(folder / "model.skops", "w") as packed:
        for file, data in content.items():
            packed.writestr(file, data)


def _declare(folder: Path, *types: str) -> None:
    flavors = _flavors(folder)
    flavors["sklearn"]["skops_trusted_types"] += types
    _edit(folder, flavors=flavors)


def _require(folder: Path, *requirements: str) -> None:
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")


def test_unreviewed_type_is_refused_unless_named(registry: Any) -> None:
    folder = _splines(registry)
    assert _problems(folder) == (
        f"model.skops needs types that nobody reviewed: {_SPLINE}. {_ADVICE}",
    )
    validate_model(folder, _MODEL, _reviewed(_SPLINE))


def test_a_type_that_its_estimator_s_file_reviewed_needs_nothing_here(
    registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _splines(registry)
    _edit(folder, metadata={"reviewed_types": {_SPLINE: "arrays\nof numbers"}})
    _require(folder, "mlflow==3.17.2", "SciPy==1.17.1")
    with caplog.at_level(logging.INFO):
        validate_model(folder, _MODEL)
    assert caplog.messages == [
        f"model.skops: {_SPLINE} was reviewed with its estimator: 'arrays\\nof numbers'"
    ]


@pytest.mark.parametrize("requirement", ["lightgbm==4.7.0", "LightGBM[scikit-learn] == 4.7.0  # x"])
def test_a_type_of_a_package_that_is_not_installed_here_may_be_reviewed_too(
    registry: Any, requirement: str
) -> None:
    folder = _replace_forest(registry, "lightgbm.basic", "Dataset")
    _edit(folder, metadata={"reviewed_types": {"lightgbm.basic.Dataset": "its text is parsed"}})
    _require(folder, "scikit-learn==1.9.0", requirement)
    validate_model(folder, _MODEL)


@pytest.mark.parametrize(
    "requirement",
    [
        "lightgbm",
        "lightgbm>=4",
        "lightgbm==4.*",
        "lightgbm===4.7.0",
        "lightgbm==4.7.0,>=4",
        'lightgbm==4.7.0; python_version < "3"',
        "lightgbm @ https://example.com/lightgbm-4.7.0.whl",
        "# lightgbm==4.7.0",
        "lightgbm-extra==4.7.0",
    ],
)
def test_a_type_of_a_package_that_is_not_pinned_is_refused(registry: Any, requirement: str) -> None:
    folder = _replace_forest(registry, "lightgbm.basic", "Dataset")
    _edit(folder, metadata={"reviewed_types": {"lightgbm.basic.Dataset": "its text is parsed"}})
    refused = (
        "model.skops needs types that nobody reviewed: lightgbm.basic.Dataset (its metadata names "
        f"it, but its requirements.txt does not pin lightgbm with ==). {_ADVICE}",
    )
    _require(folder, "scikit-learn==1.9.0", requirement)
    assert _problems(folder) == refused
    (folder / "requirements.txt").unlink()
    assert _problems(folder) == refused


@pytest.mark.parametrize("reason", ["", " \n", 1, True, ["fine"], {}])
def test_a_type_without_a_reason_is_refused(registry: Any, reason: Any) -> None:
    folder = _splines(registry)
    _edit(folder, metadata={"reviewed_types": {_SPLINE: reason}})
    _require(folder, "scikit-learn==1.9.0")
    (problem,) = _problems(folder)
    assert f"{_SPLINE} (its metadata names it without a reason). " in problem


@pytest.mark.parametrize("metadata", ["no", {"reviewed_types": None}, {"reviewed_types": ["a"]}])
def test_metadata_that_reviews_nothing_is_as_none(registry: Any, metadata: Any) -> None:
    folder = _splines(registry)
    _edit(folder, metadata=metadata)
    _require(folder, "scikit-learn==1.9.0")
    (problem,) = _problems(folder)
    assert f": {_SPLINE}. " in problem


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "system"),
        ("os", "system"),
        ("builtins", "eval"),
        ("subprocess", "Popen"),
        ("functools", "partial"),
        ("operator", "methodcaller"),
        ("collections", "namedtuple"),
        ("collections.abc", "sys"),
        ("joblib", "load"),
        ("joblib.numpy_pickle", "load"),
        ("mlflow.sklearn", "load_model"),
        ("skops.io", "load"),
        ("JOBLIB", "Load"),
        ("OS", "System"),
        ("setuptools._distutils.spawn", "Spawn"),
        ("distutils.spawn", "spawn"),
        ("pip._internal", "Main"),
        ("__main__", "Model"),
        ("serving.app", "App"),
        ("model_deploy.build", "Build"),
        ("model_build.config", "Config"),
        ("train", "Training"),
        ("Estimators.contract", "Estimator"),
    ],
)
def test_what_runs_or_loads_is_refused_whatever_the_model_says_of_it(
    registry: Any, module: str, name: str
) -> None:
    """A forged model: its reason is as good as any, and a package of that name is pinned."""
    folder = _replace_forest(registry, module, name)
    top = module.partition(".")[0]
    _edit(folder, metadata={"reviewed_types": {f"{module}.{name}": "harmless"}})
    _require(folder, "scikit-learn==1.9.0", f"{top}==1.0")
    assert _problems(folder) == (
        f"model.skops needs types that nobody reviewed: {module}.{name} (its metadata can't speak "
        f"for {top}). {_ADVICE}",
    )


@pytest.mark.parametrize(
    "function",
    [
        "numpy.testing._private.utils.runstring",
        "numpy.load",
        "numpy.fromfile",
        "pandas.read_pickle",
        "pandas.eval",
        "pandas.io.common.urlopen",
        "sklearn.datasets.load_files",
        "scipy.io.loadmat",
        "requests.get",
        "requests._get",
        "requests. Get",
        "requests.Sess\u0131on",
        "requests..Session",
    ],
)
def test_what_has_no_name_of_a_class_needs_a_review_here(registry: Any, function: str) -> None:
    module, _, name = function.rpartition(".")
    folder = _replace_forest(registry, module, name)
    _edit(folder, metadata={"reviewed_types": {function: "harmless"}})
    _require(folder, "numpy==2.4.6", "pandas==2.3.3", "scikit-learn==1.9.0", "scipy==1.16.3")
    (problem,) = _problems(folder)
    assert (
        f"{function} (its metadata can speak for classes only, by this name it is none: read it, "
        "then trust it in deploy.json). "
    ) in problem
    validate_model(folder, _MODEL, _reviewed(function))


@pytest.mark.parametrize(
    "node",
    [
        {"__loader__": "FunctionNode"},
        {"__loader__": "TypeNode"},
        {
            "__loader__": "ConstructorFromReduceNode",
            "content": {
                "__class__": "tuple",
                "__module__": "builtins",
                "__loader__": "TupleNode",
                "content": [],
            },
        },
    ],
)
@pytest.mark.parametrize("also_an_instance", [False, True])
def test_a_class_that_the_file_may_call_needs_a_review_here(
    registry: Any, node: dict[str, Any], also_an_instance: bool
) -> None:
    name = "pandas.ExcelFile"
    folder = registry.copy_of_model()

    def forge(text: str) -> str:
        schema = json.loads(text)
        forged = {"__class__": "ExcelFile", "__module__": "pandas"}
        content = schema["content"]["content"]
        content["forged"] = {**forged, **node}
        if also_an_instance:
            content["instance"] = {**forged, "__loader__": "ObjectNode"}
        return json.dumps(schema)

    _change_schema(folder, forge)
    _declare(folder, name)
    _edit(folder, metadata={"reviewed_types": {name: "harmless"}})
    _require(folder, "pandas==2.3.3")
    (problem,) = _problems(folder)
    assert (
        f"{name} (its metadata can speak for instances of a class only, the file has it as "
        f"{node['__loader__']}: read it, then trust it in deploy.json). "
    ) in problem
    validate_model(folder, _MODEL, _reviewed(name))


def test_a_function_of_skops_oldest_protocol_hides_behind_no_instance(registry: Any) -> None:
    """There a function's name is in the node's content."""
    import skops.io
    from sklearn.linear_model import LinearRegression

    name = "pandas.ExcelFile"
    folder = registry.copy_of_model()
    skops.io.dump(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), folder / "model.skops")

    def forge(text: str) -> str:
        schema = json.loads(text)
        schema["protocol"] = 0
        content = schema["content"]["content"]
        named = {"__class__": "ExcelFile", "__module__": "pandas"}
        content["instance"] = {**named, "__loader__": "ObjectNode"}
        content["forged"] = {
            "__class__": "function",
            "__module__": "builtins",
            "__loader__": "FunctionNode",
            "content": {"module_path": "pandas", "function": "ExcelFile"},
        }
        return json.dumps(schema)

    _change_schema(folder, forge)
    _declare(folder, name)
    _edit(folder, metadata={"reviewed_types": {name: "harmless"}})
    _require(folder, "pandas==2.3.3")
    (problem,) = _problems(folder)
    assert f"{name} (its metadata can speak for instances of a class only" in problem


_SMOTE = "imblearn.over_sampling._smote.base.SMOTE"


def _with_smote(registry: Any, **metadata: Any) -> Path:
    folder = _replace_forest(registry, *_SMOTE.rsplit(".", 1))
    _edit(folder, metadata={"reviewed_types": {_SMOTE: "settings"}, **metadata})
    _require(folder, "scikit-learn==1.9.0", "imbalanced_learn==0.14.0")
    return folder


def test_a_module_is_found_in_the_package_that_training_names(registry: Any) -> None:
    folder = _with_smote(registry, package_of_module={"imblearn": "imbalanced-learn"})
    validate_model(folder, _MODEL)
    _require(folder, "imblearn==0.0")
    (problem,) = _problems(folder)
    assert "its requirements.txt does not pin imbalanced-learn with ==)" in problem


@pytest.mark.parametrize(
    "packages", [["imblearn"], "imbalanced-learn", None, {"imblearn": 1}, {"imblearn": ["x"]}]
)
def test_a_malformed_package_of_a_module_is_ignored_and_told(
    registry: Any, packages: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _with_smote(registry, package_of_module=packages)
    told = "its metadata's package_of_module is no mapping of texts to texts"
    (problem,) = _problems(folder)
    assert f"does not pin imblearn with ==; {told})" in problem
    assert f"{told}: what is none of it is ignored" in caplog.messages


_BISECTING = "sklearn.cluster._bisect_k_means._BisectingTree"


def test_no_package_of_a_module_speaks_for_python_s_own_or_scikit_learn_s(registry: Any) -> None:
    folder = _replace_forest(registry, "subprocess", "Popen")
    packages = {"subprocess": "lightgbm", "sklearn": "lightgbm"}
    reviewed = {"subprocess.Popen": "harmless"}
    _edit(folder, metadata={"reviewed_types": reviewed, "package_of_module": packages})
    _require(folder, "lightgbm==4.7.0")
    (problem,) = _problems(folder)
    assert "(its metadata can't speak for subprocess)" in problem
    folder = _replace_forest(registry, *_BISECTING.rsplit(".", 1))
    reviewed = {_BISECTING: "arrays of numbers"}
    _edit(folder, metadata={"reviewed_types": reviewed, "package_of_module": packages})
    _require(folder, "lightgbm==4.7.0")
    (problem,) = _problems(folder)
    assert "does not pin scikit-learn with ==)" in problem


def test_a_module_named_sklearn_is_scikit_learn_s_alone(registry: Any) -> None:
    folder = _replace_forest(registry, *_BISECTING.rsplit(".", 1))
    _edit(folder, metadata={"reviewed_types": {_BISECTING: "arrays of numbers"}})
    _require(folder, "sklearn==1.9.0")
    (problem,) = _problems(folder)
    assert "its requirements.txt does not pin scikit-learn with ==" in problem


def test_an_ordered_dict_may_be_reviewed(registry: Any) -> None:
    folder = _replace_forest(registry, "collections", "OrderedDict")
    _edit(folder, metadata={"reviewed_types": {"collections.OrderedDict": "holds names"}})
    validate_model(folder, _MODEL)


def test_types_that_the_server_would_not_trust_are_refused(registry: Any) -> None:
    folder = registry.copy_of_model()
    flavors = _flavors(folder)
    flavors["sklearn"]["skops_trusted_types"] = ["numpy.dtype", "numpy.interp"]
    _edit(folder, flavors=flavors)
    assert _problems(folder) == (
        "model.skops needs types that its MLmodel does not list, so no server can load it: "
        "sklearn.tree._tree.Tree. Pass skops_trusted_types=[...] to log_model.",
    )


def test_a_model_that_trusts_more_than_it_needs_in_its_own_mlmodel_gains_nothing(
    registry: Any,
) -> None:
    """MLmodel is part of the model: what it trusts is no review."""
    folder = _replace_forest(registry, "os", "system")
    (problem,) = _problems(folder)
    assert "needs types that nobody reviewed: os.system" in problem


def test_damaged_skops_file_is_refused(registry: Any) -> None:
    folder = registry.copy_of_model()
    (folder / "model.skops").write_bytes(b"no zip")
    (problem,) = _problems(folder)
    assert problem.startswith("model.skops is not a readable skops file: ")


@pytest.mark.parametrize("form", ["pickle", "cloudpickle"])
def test_pickled_scikit_learn_is_refused(registry: Any, form: str) -> None:
    folder = registry.copy_of_model()
    flavors = _flavors(folder)
    flavors["sklearn"]["serialization_format"] = form
    _edit(folder, flavors=flavors)
    (problem,) = _problems(folder)
    assert problem.startswith(f"scikit-learn saved with {form}, which runs code")


def _python_model(registry: Any) -> Path:
    folder: Path = registry.copy_of_model()
    (folder / "model.skops").unlink()
    pyfunc = {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}
    _edit(folder, flavors={"python_function": pyfunc})
    return folder


def test_what_runs_code_on_load_is_told(registry: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder = _python_model(registry)
    sentence = "python_model.pkl is a PythonModel by cloudpickle, which runs what is in it"
    with caplog.at_level(logging.WARNING):
        assert validate_model(folder, _MODEL) == Findings(code_on_load=(sentence,))
    assert caplog.messages == [
        f"loading {_MODEL} runs code: {sentence}; only deploy what you trust"
    ]
    assert validate_model(registry.model_folder, _MODEL) == Findings(code_on_load=())


def test_what_runs_code_on_load_may_be_forbidden(registry: Any) -> None:
    folder = _python_model(registry)
    (folder / "requirements.txt").write_text("mlflow==3.17.2\n./wheels/mine.whl\n")
    with pytest.raises(ModelNotDeployable) as caught:
        validate_model(folder, _MODEL, _reviewed(code_on_load="forbid"))
    forbids = "deploy.json forbids code that runs when a model is loaded:"
    assert caught.value.problems == (
        f"{forbids} python_model.pkl is a PythonModel by cloudpickle, which runs what is in it.",
        f"{forbids} requirements.txt installs from elsewhere than the index, which runs code: "
        "./wheels/mine.whl.",
    )
    validate_model(registry.model_folder, _MODEL, _reviewed(code_on_load="forbid"))


def test_trust_that_the_model_does_not_need_is_told(
    registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        validate_model(registry.model_folder, _MODEL, _reviewed("numpy.interp", "numpy.load"))
    assert caplog.messages == [
        f"deploy.json trusts numpy.load, which {_MODEL} does not need; remove it"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "it has no MLmodel file. Register a folder that log_model or save_model wrote."),
        ("- 1\n", "its MLmodel file holds no mapping"),
        ("a: [", "its MLmodel file is not YAML: "),
    ],
)
def test_folder_that_is_no_model_is_refused(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "MLmodel").write_text(content)
    (found,) = _problems(tmp_path)
    assert found.startswith(problem)


def test_missing_skops_says_what_to_install(registry: Any, tmp_path: Path) -> None:
    """In a process whose import system knows no skops, as in a small CodeBuild environment."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['skops'] = sys.modules['skops.io'] = None\n"
    )
    code = (
        "from pathlib import Path; from model_deploy.model_validation import validate_model; "
        f"validate_model(Path({str(registry.model_folder)!r}), 'it')"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.strip().endswith(
        "- model.skops can not be reviewed: skops is not installed here. Run `pip install skops "
        "scikit-learn` in the versions of the model's requirements.txt."
    )
