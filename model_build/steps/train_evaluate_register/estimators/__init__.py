"""The estimators, one file each; the file's name is the estimator's, with dashes.

random_forest.py ─▶ Estimator=random-forest
"""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from .contract import Estimator, EstimatorError, Parameter

DEFAULT = "random-forest"
_NO_ESTIMATORS = ("contract",)
_OWN_FLAGS = ("champion-margin", "data", "failure-file", "help", "random-seed")


def find_estimators() -> dict[str, Estimator]:
    """By name, the default first. Raises EstimatorError that names the file."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    found = {name.replace("_", "-"): _read(name) for name in names if name not in _NO_ESTIMATORS}
    list_parameters(found)
    return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[0])))


def list_parameters(estimators: Mapping[str, Estimator]) -> list[Parameter]:
    """Of all together, each name once. Raises EstimatorError where two mean it differently."""
    declared: dict[str, tuple[str, Parameter]] = {}
    for name, estimator in estimators.items():
        for parameter in estimator.parameters:
            if parameter.flag in _OWN_FLAGS:
                raise EstimatorError(
                    f"{name} declares the parameter {parameter.name}, and the training step has "
                    f"--{parameter.flag} itself; give it another name"
                )
            # By its flag: the training step must tell them apart too.
            other, same = declared.setdefault(parameter.flag, (name, parameter))
            if same != parameter:
                raise EstimatorError(
                    f"{other} and {name} both declare the parameter {parameter.name}, and not in "
                    "the same words; give one of them another name"
                )
    return [parameter for _, parameter in declared.values()]


def _read(name: str) -> Estimator:
    where = Path("estimators", f"{name}.py")
    try:
        module = importlib.import_module(f".{name}", __name__)
    except ImportError as err:
        raise EstimatorError(
            f"{where} can't be read without its packages: {err}. Import them in its functions, not "
            "at its top"
        ) from err
    except Exception as err:  # whatever the file does wrong
        raise EstimatorError(f"{where} can't be read: {type(err).__name__}: {err}") from err
    estimator = getattr(module, "ESTIMATOR", None)
    if not isinstance(estimator, Estimator):
        raise EstimatorError(f"{where} has no ESTIMATOR = Estimator(...)")
    return estimator
