"""Each file of the folder is an estimator, and says what the pipeline has to know of it."""

from __future__ import annotations

from collections.abc import Callable

import estimators
import pytest
import train
from estimators.contract import Estimator, EstimatorError, Parameter

Plant = Callable[[str, str], None]


def make_parameter(name: str, **fields: float) -> Parameter:
    bounds = {"default": 3, "low": 1, "high": 9, **fields}
    return Parameter(name=name, meaning="trees", **bounds)


def test_the_default_is_the_first_of_those_that_are_shipped() -> None:
    found = estimators.find_estimators()
    assert list(found) == ["random-forest", "hist-gradient-boosting"]
    assert estimators.DEFAULT == "random-forest"


def test_a_file_more_is_an_estimator_more(plant_estimator: Plant) -> None:
    plant_estimator(
        "nearest_rows",
        "from .contract import Estimator, Parameter\n"
        "ESTIMATOR = Estimator(build=print, parameters=(\n"
        "    Parameter(name='NNeighbors', default=5, low=1, high=100, meaning='rows'),))\n",
    )
    found = estimators.find_estimators()
    assert list(found) == ["random-forest", "hist-gradient-boosting", "nearest-rows"]
    assert estimators.list_parameters(found)[-1].keyword == "n_neighbors"


@pytest.mark.parametrize("text", ["", "ESTIMATOR = None", "from .contract import Estimator"])
def test_a_file_without_an_estimator_is_named(plant_estimator: Plant, text: str) -> None:
    plant_estimator("empty", text)
    with pytest.raises(EstimatorError) as caught:
        estimators.find_estimators()
    assert str(caught.value) == "estimators/empty.py has no ESTIMATOR = Estimator(...)"


def test_a_file_that_imports_a_missing_package_at_its_top_is_named(plant_estimator: Plant) -> None:
    plant_estimator("boosted", "import no_such_package\n")
    with pytest.raises(EstimatorError) as caught:
        estimators.find_estimators()
    assert str(caught.value) == (
        "estimators/boosted.py can't be read without its packages: No module named "
        "'no_such_package'. Import them in its functions, not at its top"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def build(:", "SyntaxError: "),
        ("from .contract import Estimator\nESTIMATOR = Estimator(make=1)", "TypeError: "),
    ],
)
def test_a_file_that_python_cannot_run_is_named(
    plant_estimator: Plant, text: str, problem: str
) -> None:
    plant_estimator("broken", text)
    with pytest.raises(EstimatorError) as caught:
        estimators.find_estimators()
    assert str(caught.value).startswith(f"estimators/broken.py can't be read: {problem}")


def test_files_that_mean_a_parameter_differently_are_named(plant_estimator: Plant) -> None:
    plant_estimator(
        "more_trees",
        "from .contract import Estimator, Parameter\n"
        "ESTIMATOR = Estimator(build=print, parameters=(\n"
        "    Parameter(name='NEstimators', default=5, low=1, high=100, meaning='trees'),))\n",
    )
    with pytest.raises(EstimatorError) as caught:
        estimators.find_estimators()
    words = str(caught.value).split()
    assert {words[0], words[2]} == {"more-trees", "random-forest"}
    assert "both declare the parameter NEstimators, and not in the same words" in str(caught.value)


def test_estimators_may_share_a_parameter() -> None:
    trees = make_parameter("Trees")
    some = Estimator(build=print, parameters=[trees])
    other = Estimator(build=print, parameters=[make_parameter("Rows"), make_parameter("Trees")])
    told = estimators.list_parameters({"some": some, "other": other})
    assert [parameter.name for parameter in told] == ["Trees", "Rows"]


def test_names_that_would_be_one_argument_are_told() -> None:
    some = Estimator(build=print, parameters=[make_parameter("MaxRows")])
    other = Estimator(build=print, parameters=[make_parameter("MAXRows")])
    with pytest.raises(EstimatorError, match=r"^some and other both declare the parameter MAXRows"):
        estimators.list_parameters({"some": some, "other": other})


def test_the_training_steps_own_arguments_are_no_estimators() -> None:
    some = Estimator(build=print, parameters=[make_parameter("RandomSeed")])
    with pytest.raises(EstimatorError) as caught:
        estimators.list_parameters({"some": some})
    assert str(caught.value) == (
        "some declares the parameter RandomSeed, and the training step has --random-seed itself; "
        "give it another name"
    )


def test_all_of_the_training_steps_own_arguments_are_known() -> None:
    own = {flag for action in train.build_parser()._actions for flag in action.option_strings}
    for parameter in estimators.list_parameters(estimators.find_estimators()):
        own.remove(f"--{parameter.flag}")
    assert own == {"-h", *(f"--{flag}" for flag in estimators._OWN_FLAGS)}


@pytest.mark.parametrize(
    ("name", "keyword", "flag"),
    [
        ("NEstimators", "n_estimators", "n-estimators"),
        ("MaxRowsPerTree", "max_rows_per_tree", "max-rows-per-tree"),
        ("LearningRate", "learning_rate", "learning-rate"),
        ("Trees", "trees", "trees"),
        ("L2Penalty", "l2_penalty", "l2-penalty"),
        ("UseGPU", "use_gpu", "use-gpu"),
        ("SVMKernelSize", "svm_kernel_size", "svm-kernel-size"),
    ],
)
def test_one_name_has_a_form_for_each_place(name: str, keyword: str, flag: str) -> None:
    parameter = make_parameter(name)
    assert (parameter.keyword, parameter.flag) == (keyword, flag)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"low": 1, "high": 1_000_000}, "a whole number from 1 to 1000000"),
        ({"low": 0, "high": 10**9}, "a whole number from 0 to 1000000000"),
        ({"default": 0.1, "low": 0.0001, "high": 1.0}, "a number from 0.0001 to 1"),
        ({"default": 1.0, "low": 1e-9, "high": 2.5e6}, "a number from 1e-09 to 2500000"),
    ],
)
def test_what_is_expected_is_said_in_plain_numbers(fields: dict[str, float], expected: str) -> None:
    assert make_parameter("Trees", **fields).expected == expected
