"""The arguments of `mlops demo`."""

from __future__ import annotations

from pathlib import Path

from mlops.arguments import AddCommand, add_account, add_yes, later

STATE_DIR = Path(".local")


def add_demo_command(add: AddCommand) -> None:
    """`mlops demo`."""
    demo = add(
        "demo",
        later("mlops.demo.demo", "demo"),
        "take the project from git push to a prediction from prod, on this machine",
        interrupted="nothing that it started runs any more",
    )
    demo.add_argument(
        "--state-dir",
        type=Path,
        default=STATE_DIR,
        help="where local-aws and demo.json are kept (default: %(default)s)",
    )
    add_yes(demo, "approve each deployment to prod")
    demo.add_argument(
        "--versions",
        type=int,
        choices=[1, 2, 3],
        default=1,
        help="how often to train and release, each forest twice as large (default: %(default)s)",
    )
    demo.add_argument(
        "--exit", action="store_true", help="end everything afterwards, on a terminal too"
    )
    demo.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="an MLflow server that runs already (default: the one of local-aws)",
    )
    login = demo.add_mutually_exclusive_group()
    login.add_argument(
        "--credentials-secret-file",
        type=Path,
        metavar="FILE",
        help='its login, as JSON: {"username": "...", "password": "..."} (default: none)',
    )
    login.add_argument(
        "--tracking-username",
        metavar="NAME",
        help="its user; the password is in MLFLOW_TRACKING_PASSWORD (default: none)",
    )
    add_account(demo)
