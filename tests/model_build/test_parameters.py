"""Values for an execution: known names, right kinds, sensible ranges."""

from pathlib import Path

import pytest

from model_build import training_step
from model_build.errors import ConfigError
from model_build.parameters import check_values, list_parameters, read_assignments
from model_build.training_step import find_estimators

DECLARED = {
    parameter.name: (
        parameter.kind,
        "http://mlflow:5000" if parameter.default is None else parameter.default,
    )
    for parameter in list_parameters()
}


def test_values_get_their_declared_kind() -> None:
    values = check_values(
        {"NEstimators": "50", "TestSize": "0.1", "TargetColumn": "price"}, DECLARED
    )
    assert values == {"NEstimators": 50, "TestSize": 0.1, "TargetColumn": "price"}


def test_every_default_satisfies_its_own_rule() -> None:
    for parameter in list_parameters():
        if parameter.default is not None:
            assert parameter.find_problem(parameter.default) is None, parameter.name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NEstimators", "abc"),
        ("NEstimators", "1.5"),
        ("NEstimators", "0"),
        ("MinSamplesLeaf", "-1"),
        ("RandomSeed", "4294967296"),
        ("TestSize", "0"),
        ("TestSize", "1"),
        ("TestSize", "nan"),
        ("Task", "classify"),
        ("Estimator", "forest"),
        ("ChampionMargin", "-0.1"),
        ("ChampionMargin", "11"),
        ("ChampionMargin", "nan"),
        ("ChampionIncomparable", "yes"),
        ("Shap", "yes"),
        ("MetricLimits", "median_absolute_error<60"),
        ("MetricLimits", "mae<=60"),
        ("InputDataUri", "sklearn:"),
        ("InputDataUri", "s3://bucket"),
        ("InputDataUri", "/tmp/table.csv"),
        ("OddValues", "drop"),
        ("SplitBy", "time:"),
        ("SplitBy", "rows"),
        ("MaxRowsPerTree", "-1"),
        ("TargetColumn", ""),
        ("TargetColumn", "  "),
        ("RegisteredModelName", "a/b"),
        ("RegisteredModelName", "prices "),
        ("RegisteredModelName", "x" * 300),
        ("MLflowTrackingURI", "localhost:5000"),
        ("MLflowTrackingURI", "sqlite:///mlflow.db"),
    ],
)
def test_wrong_value_is_named_with_what_would_do(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values({name: text}, DECLARED)
    assert f"{name}={text!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("InputDataUri", "s3://bucket/folder/"),
        ("InputDataUri", "s3://bucket/with space.csv"),
        ("RegisteredModelName", "it's"),
        ("RegisteredModelName", "Prices (EU) & rents, v1.2"),
        ("RegisteredModelName", "Größe"),
        ("RegisteredModelName", "your-model-v2"),
        ("MLflowTrackingURI", "https://mlflow.example.com/prefix"),
        ("MLflowTrackingURI", "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/m"),
        ("SplitBy", "time:sold on"),
        ("SplitBy", "group:it's"),
        ("MaxRowsPerTree", "0"),
        ("TargetColumn", "median value (USD)"),
        ("TargetColumn", " price"),
        ("Task", "classification"),
        ("Estimator", "hist-gradient-boosting"),
        ("ChampionMargin", "0"),
        ("ChampionIncomparable", "allow"),
        ("MetricLimits", "none"),
        ("MetricLimits", "median_absolute_error <= 60, r2 >= -0.4"),
    ],
)
def test_unusual_but_right_values_pass(name: str, text: str) -> None:
    assert name in check_values({name: text}, DECLARED)


def test_an_estimator_is_one_of_those_that_have_a_file() -> None:
    with pytest.raises(ConfigError) as caught:
        check_values({"Estimator": "forest"}, DECLARED)
    names = " or ".join(find_estimators())
    assert names.startswith("random-forest or hist-gradient-boosting")
    assert str(caught.value) == f"--parameters: Estimator='forest' won't do; give {names}"


def test_a_parameter_of_an_estimator_says_what_it_means() -> None:
    with pytest.raises(ConfigError) as caught:
        check_values({"NEstimators": "0"}, DECLARED)
    assert str(caught.value) == (
        "--parameters: NEstimators='0' won't do; give a whole number from 1 to 10000 (trees)"
    )


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (
            {"NEstimators": "50", "Estimator": "hist-gradient-boosting"},
            "NEstimators belongs to random-forest; "
            "hist-gradient-boosting has BoostingRounds, LearningRate, MaxLeafNodes",
        ),
        (
            {"LearningRate": "0.2"},  # the default estimator is the forest
            "LearningRate belongs to hist-gradient-boosting; "
            "random-forest has NEstimators, MinSamplesLeaf, MaxRowsPerTree",
        ),
    ],
)
def test_a_parameter_of_another_estimator_than_the_chosen_one_is_refused(
    texts: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values(texts, DECLARED)
    assert str(caught.value) == f"--parameters: {problem}"


def test_the_chosen_estimators_own_parameters_pass() -> None:
    values = check_values({"LearningRate": "0.2", "Estimator": "hist-gradient-boosting"}, DECLARED)
    assert values == {"LearningRate": 0.2, "Estimator": "hist-gradient-boosting"}


def test_limits_are_checked_against_the_task_where_it_is_known() -> None:
    limits = {"MetricLimits": "accuracy>=0.9"}
    assert check_values({**limits, "Task": "classification"}, DECLARED)
    assert check_values({**limits, "Task": "auto"}, DECLARED)
    with pytest.raises(ConfigError) as caught:
        check_values({**limits, "Task": "regression"}, DECLARED)
    assert str(caught.value).startswith(
        "--parameters: MetricLimits='accuracy>=0.9' won't do; "
        "accuracy is no metric of regression, which has rmse, rmse_middle, r2, "
    )


def test_a_pipeline_without_a_choice_of_estimator_or_task_takes_what_it_declares() -> None:
    assert check_values({"NEstimators": "7"}, {"NEstimators": ("Integer", 5)}) == {"NEstimators": 7}


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'Trees'; it has .*NEstimators"):
        check_values({"Trees": "5"}, DECLARED)


def test_parameter_without_default_must_be_given() -> None:
    declared = {**DECLARED, "MLflowTrackingURI": ("String", None)}
    with pytest.raises(ConfigError) as caught:
        check_values({}, declared)
    assert "MLflowTrackingURI has no value; set MLFLOW_TRACKING_URI or pass" in str(caught.value)


def test_assignments_may_contain_equals_signs() -> None:
    assert read_assignments(["InputDataUri=s3://b/day=1/"]) == {"InputDataUri": "s3://b/day=1/"}
    assert read_assignments(["MetricLimits=rmse<=60,r2>=0.4"]) == {
        "MetricLimits": "rmse<=60,r2>=0.4"
    }


@pytest.mark.parametrize("words", [["TestSize"], ["=1"], ["TestSize=0.1", "TestSize=0.2"]])
def test_what_is_no_assignment_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--parameters"):
        read_assignments(words)


def test_shap_is_refused_before_a_job_that_would_not_have_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert check_values({"Shap": "off"}, DECLARED)["Shap"] == "off"
    with pytest.raises(ConfigError) as caught:
        check_values({"Shap": "on"}, DECLARED)
    assert str(caught.value) == (
        "--parameters: Shap='on' won't do; the job would not have the package shap; add the line "
        "shap to model_build/steps/train_evaluate_register/requirements.txt, then `make lock`"
    )
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("-c constraints.txt\nmatplotlib\n# shap\n  \nSHAP==0.54.1\n")
    monkeypatch.setattr(training_step, "REQUIREMENTS", requirements)
    assert training_step.list_job_packages() == {"matplotlib", "shap"}
    assert check_values({"Shap": "on"}, DECLARED)["Shap"] == "on"
