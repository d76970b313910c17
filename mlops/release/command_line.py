"""The arguments of the commands about what is released."""

from __future__ import annotations

from mlops.arguments import AddCommand, add_project, later


def add_release_commands(add: AddCommand) -> None:
    """`mlops status`."""
    status = add(
        "status",
        later("mlops.release.status", "status"),
        "show what serves, what the registry says of it, and what waits for you",
    )
    add_project(status)
