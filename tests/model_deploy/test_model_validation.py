from __future__ import annotations

import logging
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_deploy.errors import ModelNotDeployable
from model_deploy.model_validation import REVIEWED_SKOPS_TYPES, validate_model

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


def _problems(folder: Path, *trusted: str) -> tuple[str, ...]:
    with pytest.raises(ModelNotDeployable) as caught:
        validate_model(folder, _MODEL, trusted)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{_MODEL} can not be deployed:\n  - ")
    return caught.value.problems


def test_a_forest_behind_encoding_and_imputing_can_be_deployed(registry: Any) -> None:
    validate_model(registry.model_folder, _MODEL)


def test_the_reviewed_types_are_what_such_a_model_needs(registry: Any) -> None:
    from skops.io import get_untrusted_types

    needed = get_untrusted_types(file=registry.model_folder / "model.skops")
    assert sorted(REVIEWED_SKOPS_TYPES) == sorted(needed)


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


def test_input_example_needs_its_serving_form(registry: Any) -> None:
    folder = registry.copy_of_model()
    (folder / "serving_input_example.json").unlink()
    (problem,) = _problems(folder)
    assert problem.startswith("its input example has no serving form")
    (folder / "serving_input_example.json").write_text("{")
    (problem,) = _problems(folder)
    assert problem.startswith("its input example serving_input_example.json is not JSON: ")


def test_unreviewed_type_is_refused_unless_named(registry: Any, tmp_path: Path) -> None:
    import skops.io
    from sklearn.ensemble import HistGradientBoostingRegressor

    folder = registry.copy_of_model()
    model = HistGradientBoostingRegressor(max_iter=2).fit([[1.0], [2.0]] * 20, [1.0, 2.0] * 20)
    skops.io.dump(model, folder / "model.skops")
    unknown = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
    flavors = _flavors(folder)
    flavors["sklearn"]["skops_trusted_types"].append(unknown)
    _edit(folder, flavors=flavors)
    assert _problems(folder) == (
        f"model.skops needs types that nobody reviewed: {unknown}. Read what loading them does, "
        "then pass --trusted-skops-type for each.",
    )
    validate_model(folder, _MODEL, [unknown])


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
    folder = registry.copy_of_model()
    with zipfile.ZipFile(folder / "model.skops") as packed:
        content = {name: packed.read(name) for name in packed.namelist()}
    evil = content["schema.json"].replace(
        b'"__class__": "RandomForestRegressor"', b'"__class__": "system"'
    )
    content["schema.json"] = evil.replace(
        b'"__module__": "sklearn.ensemble._forest"', b'"__module__": "os"'
    )
    with zipfile.ZipFile(folder / "model.skops", "w") as packed:
        for name, data in content.items():
            packed.writestr(name, data)
    flavors = _flavors(folder)
    flavors["sklearn"]["skops_trusted_types"].append("os.system")
    _edit(folder, flavors=flavors)
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


def test_other_flavours_pass_and_the_log_says_what_loading_means(
    registry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = registry.copy_of_model()
    (folder / "model.skops").unlink()
    flavors = {"python_function": {"loader_module": "mlflow.pyfunc.model"}}
    _edit(folder, flavors=flavors)
    with caplog.at_level(logging.WARNING):
        validate_model(folder, _MODEL)
    assert caplog.messages == [
        "not a scikit-learn model (loader mlflow.pyfunc.model): loading it runs the code it was "
        "saved with; only deploy what you trust"
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
