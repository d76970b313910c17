"""The checks of `mlops platform doctor`, one module each; registry.py has their order.

A module has one public function `check(patient) -> Iterable[Finding]` that asks AWS or MLflow, and
pure functions that decide what the answers mean. Checks change nothing.
"""
