"""The arguments of the commands about what is released."""

from __future__ import annotations

from mlops.arguments import AddCommand, add_project, add_yes, later


def add_release_commands(add: AddCommand) -> None:
    """`mlops release` and `mlops status`."""
    release = add(
        "release",
        later("mlops.release.releasing", "release"),
        "take a registered version to staging and, once approved, to prod",
        interrupted="the pipeline runs on; `mlops pipeline deploy` shows it again",
    )
    release.add_argument("model", metavar="MODEL", help="the registered model's name")
    release.add_argument(
        "--version",
        default="latest",
        metavar="VERSION",
        help='a number, "latest" or an alias such as "@challenger" (default: %(default)s)',
    )
    add_yes(release, "approve it")
    add_project(release)
    status = add(
        "status",
        later("mlops.release.status", "status"),
        "show what serves, what the registry says of it, and what waits for you",
    )
    add_project(status)
