"""The compiled definition: reviewed as a whole, and accepted by AWS's own request models.

The golden file is updated by `UPDATE_GOLDEN=1 python -m pytest tests/model_build/test_pipeline.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

import model_build
from model_build.errors import ConfigError
from model_build.training_step import find_estimators
from tests.model_build.conftest import KEYWORDS

GOLDEN = Path(__file__).with_name("pipeline_definition.json")

Build = Callable[..., dict[str, Any]]

EVERYTHING: dict[str, Any] = {
    "mlflow_tracking_uri": "https://mlflow.example.com",
    "subnets": ["subnet-0a", "subnet-0b"],
    "security_group_ids": ["sg-0a"],
    "kms_key": "arn:aws:kms:us-east-1:123456789012:key/0a",
    "tags": [{"Key": "team", "Value": "pricing"}],
    "source_commit": "0123456789abcdef0123456789abcdef01234567",
}


def normalise(definition: dict[str, Any]) -> str:
    """Without what changes with the hour or with each edit of a script."""
    text = json.dumps(definition, indent=2) + "\n"
    text = re.sub(r"-\d{14}/", "-<time>/", text)
    return re.sub(r"\b[0-9a-f]{64}\b", "<digest>", text)


def test_definition_is_the_reviewed_one(build_definition: Build) -> None:
    compiled = normalise(build_definition(**EVERYTHING))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(compiled, encoding="utf-8")
    assert compiled == GOLDEN.read_text(encoding="utf-8"), "UPDATE_GOLDEN=1 updates the file"


def step(definition: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in definition["Steps"] if item["Name"] == name)
    return found


@pytest.mark.parametrize("keywords", [{}, EVERYTHING])
@pytest.mark.parametrize(
    ("name", "operation", "job_name"),
    [
        ("PrepareData", "CreateProcessingJob", "ProcessingJobName"),
        ("TrainEvaluateRegister", "CreateTrainingJob", "TrainingJobName"),
    ],
)
def test_arguments_fit_the_request_that_aws_makes_of_them(
    build_definition: Build, keywords: dict[str, Any], name: str, operation: str, job_name: str
) -> None:
    arguments = fill_in(step(build_definition(**keywords), name)["Arguments"])
    shape = (
        botocore.session.get_session()
        .get_service_model("sagemaker")
        .operation_model(operation)
        .input_shape
    )
    report = ParamValidator().validate({**arguments, job_name: "pipelines-x"}, shape)
    assert not report.has_errors(), report.generate_report()


def fill_in(value: Any) -> Any:
    """What Pipelines puts in the place of references when an execution runs: always text here."""
    if isinstance(value, dict):
        if set(value) & {"Get", "Std:Join"}:
            return "s3://filled/in"
        return {key: fill_in(item) for key, item in value.items()}
    return [fill_in(item) for item in value] if isinstance(value, list) else value


def test_no_text_of_a_user_is_part_of_a_command_line(build_definition: Build) -> None:
    definition = build_definition()
    texts = {item["Name"] for item in definition["Parameters"] if item["Type"] == "String"}
    commands = json.dumps(
        [
            step(definition, "PrepareData")["Arguments"]["AppSpecification"],
            step(definition, "TrainEvaluateRegister")["Arguments"]["HyperParameters"],
            step(definition, "TrainEvaluateRegister")["Arguments"]["AlgorithmSpecification"],
        ]
    )
    assert not {name for name in texts if f"Parameters.{name}" in commands}


def test_no_step_is_cached_and_each_is_tried_again(build_definition: Build) -> None:
    definition = build_definition()
    assert "CacheConfig" not in json.dumps(definition)
    for item in definition["Steps"]:
        tried_again = {kind for policy in item["RetryPolicies"] for kind in policy["ExceptionType"]}
        assert "Step.THROTTLING" in tried_again
        assert "SageMaker.CAPACITY_ERROR" in tried_again


def test_tracking_uri_has_no_default_unless_one_is_given(build_definition: Build) -> None:
    def default_of(definition: dict[str, Any]) -> object:
        (parameter,) = (p for p in definition["Parameters"] if p["Name"] == "MLflowTrackingURI")
        return parameter.get("DefaultValue")

    assert default_of(build_definition()) is None
    assert default_of(build_definition(mlflow_tracking_uri="http://m:5000")) == "http://m:5000"


def test_without_vpc_or_key_the_definition_has_neither(build_definition: Build) -> None:
    text = json.dumps(build_definition())
    assert "VpcConfig" not in text
    assert "Kms" not in text
    assert "SOURCE_COMMIT" not in text


def test_only_the_training_job_gets_the_login_and_only_its_secrets_name(
    build_definition: Build,
) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mlflow-client-a1b2c3"
    definition = build_definition(mlflow_credentials_secret=arn)
    environment = step(definition, "TrainEvaluateRegister")["Arguments"]["Environment"]
    assert environment["MLFLOW_CREDENTIALS_SECRET"] == arn
    assert "MLFLOW_CREDENTIALS_SECRET" not in json.dumps(step(definition, "PrepareData"))

    for nothing in (None, "", "none"):
        definition = build_definition(mlflow_credentials_secret=nothing)
        assert "MLFLOW_CREDENTIALS_SECRET" not in json.dumps(definition)


def test_wrong_tracking_uri_is_refused(build_definition: Build) -> None:
    with pytest.raises(ConfigError, match=r"mlflow_tracking_uri is 'mlflow:5000'; give the http"):
        build_definition(mlflow_tracking_uri="mlflow:5000")


def test_each_metric_line_of_the_job_is_found_by_its_own_expression(
    build_definition: Build,
) -> None:
    import metrics

    arguments = step(build_definition(), "TrainEvaluateRegister")["Arguments"]
    definitions = arguments["AlgorithmSpecification"]["MetricDefinitions"]
    assert [definition["Name"] for definition in definitions] == list(metrics.ALL)
    log = "\n".join(
        metrics.LINE.format(name=name, value=-index / 3) for index, name in enumerate(metrics.ALL)
    )
    for index, definition in enumerate(definitions):
        (found,) = re.findall(definition["Regex"], log)
        assert float(found) == pytest.approx(-index / 3)
    for value in (12.3, 0.0, 1.5e-07, 123456789.25):
        (found,) = re.findall(
            definitions[0]["Regex"], metrics.LINE.format(name="rmse", value=value)
        )
        assert float(found) == pytest.approx(value)


def test_each_parameter_of_an_estimator_reaches_the_job_under_its_flag(
    build_definition: Build,
) -> None:
    import estimators

    definition = build_definition()
    arguments = step(definition, "TrainEvaluateRegister")["Arguments"]["HyperParameters"]
    declared = {item["Name"]: item for item in definition["Parameters"]}
    for parameter in estimators.list_parameters(estimators.find_estimators()):
        assert declared[parameter.name]["DefaultValue"] == parameter.default
        assert f"Parameters.{parameter.name}" in json.dumps(arguments[parameter.flag])


def test_an_estimators_file_alone_makes_a_choice_and_its_parameters(tmp_path: Path) -> None:
    """In a copy of the package, as a reader would add it, and from another working directory."""
    package = tmp_path / "copy" / "model_build"
    shutil.copytree(Path(model_build.__file__).parent, package)
    folder = package / "steps" / "train_evaluate_register" / "estimators"
    (folder / "nearest_rows.py").write_text(NEAREST_ROWS, encoding="utf-8")

    ended = compile_copy(package.parent, tmp_path)

    assert ended.returncode == 0, ended.stderr
    definition = json.loads(ended.stdout)
    (parameter,) = (p for p in definition["Parameters"] if p["Name"] == "Neighbours")
    assert (parameter["Type"], parameter["DefaultValue"]) == ("Integer", 5)
    arguments = step(definition, "TrainEvaluateRegister")["Arguments"]
    assert "Parameters.Neighbours" in json.dumps(arguments["HyperParameters"]["neighbours"])

    checked = run_python(
        package.parent,
        tmp_path,
        "from model_build.parameters import list_parameters\n"
        "(choice,) = [p for p in list_parameters() if p.name == 'Estimator']\n"
        "print(choice.find_problem('nearest-rows'), choice.find_problem('nearest'))",
    )
    default, *others = find_estimators()
    told = " or ".join([default, *sorted([*others, "nearest-rows"])])
    assert checked.stdout == f"None give {told}\n", checked.stderr


def test_a_wrong_estimators_file_is_named_and_ends_with_the_code_for_wrong_input(
    tmp_path: Path,
) -> None:
    package = tmp_path / "copy" / "model_build"
    shutil.copytree(Path(model_build.__file__).parent, package)
    folder = package / "steps" / "train_evaluate_register" / "estimators"
    (folder / "nearest_rows.py").write_text("import not_installed\n", encoding="utf-8")

    ended = compile_copy(package.parent, tmp_path)

    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(
        "error: the estimators: estimators/nearest_rows.py can't be read without its packages: "
    )


def test_the_estimators_are_found_in_a_zip_file(tmp_path: Path) -> None:
    archive = shutil.make_archive(
        str(tmp_path / "packed"), "zip", Path(model_build.__file__).parents[1], "model_build"
    )
    ended = run_python(
        Path(archive),
        tmp_path,
        "from model_build import training_step\n"
        "print(training_step.__file__)\n"
        "print(list(training_step.find_estimators()))",
    )
    assert ended.stdout.splitlines() == [
        f"{archive}/model_build/training_step.py",
        str(list(find_estimators())),
    ], ended.stderr


NEAREST_ROWS = """
from .contract import Estimator, Parameter


def build(request):
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(n_neighbors=request.parameters["neighbours"])


ESTIMATOR = Estimator(
    build=build,
    parameters=(Parameter(name="Neighbours", default=5, low=1, high=99, meaning="rows asked"),),
    tasks=("regression",),
)
"""


def run_python(
    import_from: Path, folder: Path, script: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """A script in `folder` that imports what lies in `import_from`."""
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(import_from), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def compile_copy(import_from: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys\n"
        "from model_build import get_pipeline_definition\n"
        "sys.exit(get_pipeline_definition.main(sys.argv[1:]))"
    )
    return run_python(import_from, folder, script, "--kwargs", json.dumps(KEYWORDS))


def test_the_uploaded_folder_holds_what_the_job_installs() -> None:
    from model_build.pipeline import STEPS

    folder = STEPS / "train_evaluate_register"
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8")
    assert (folder / "constraints.txt").is_file()
    assert "-c constraints.txt" in requirements
    assert "mlflow-skinny==3.17.2" in requirements
