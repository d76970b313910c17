"""A package: else `python -m tests.tools.x` finds a `tests` that a library has installed."""
