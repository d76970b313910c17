# PYTHON_ARGCOMPLETE_OK
"""`mlops`: what people do with the platform, a project and its models, on whichever AWS the
environment names."""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Sequence

from mlops.arguments import adder, later
from mlops.demo.command_line import add_demo_command
from mlops.errors import MlopsError
from mlops.hints import as_typed
from mlops.platform.command_line import add_platform_commands
from mlops.project.command_line import add_pipeline_commands, add_project_commands
from mlops.release.command_line import add_release_commands

# By name, as `python -m` calls its module __main__.
logger = logging.getLogger("mlops.cli")
_INTERRUPTED = 130
_DISTRIBUTION = "sagemaker-mlflow-pipeline"
_GROUPS = """\
platform and project:
  platform deploy|doctor|status|teardown   MLflow, its network and images, once for an account
  project deploy|env                       repositories, pipelines and roles of one project

a model, from data to prod:
  train           a table to a registered version
  release         a registered version to staging and, once you approve, to prod
  push build      commit modelBuild: CI trains a model and registers a version
  push deploy     commit modelDeploy, which names the version: CD takes it to staging
  pipeline        how far both pipelines are, action by action
  approve         let what waits go to prod          reject     stop it
  schedule        when the model is trained by itself

look at it:
  status          what serves, what the registry says, what waits for you
  logs            what jobs, builds and endpoints printed
  invoke          ask an endpoint

try it:
  demo            the whole road on this machine, from git push to a prediction from prod

mlops COMMAND --help has each one's options. docs/mlops.md tells more."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Exit code: 0 done, 1 a stack, pipeline, build or finding failed, 2 wrong input, 3 AWS or MLflow
    refused, 130 Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    parser = build_parser(doctor="doctor" in words or "_ARGCOMPLETE" in os.environ)
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(words)
    logging.basicConfig(level=args.log_level, format="%(message)s", stream=sys.stderr)
    # MLflow's thread changes the environment while others read it.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as err:
        if err.filename is not None:
            raise
        logger.error("error: can not write the output: %s", err.strerror or err)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _run(args: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except MlopsError as err:
        logger.error("error: %s", as_typed(str(err)))
        return err.exit_code
    except KeyboardInterrupt:
        logger.error("ended by Ctrl-C; %s", as_typed(args.interrupted))
        return _INTERRUPTED
    except Exception as err:
        from botocore.exceptions import BotoCoreError, ClientError

        from mlops.account import explained

        if not isinstance(err, BotoCoreError | ClientError):
            raise
        refused = explained(err)
        logger.error("error: %s", as_typed(str(refused)))
        return refused.exit_code


class _Parser(argparse.ArgumentParser):
    """Its help has commands as they can be typed."""

    def format_help(self) -> str:
        return as_typed(super().format_help())


def build_parser(*, doctor: bool = True) -> argparse.ArgumentParser:
    """The command line; each command's function is in `command`.

    Without `doctor` that one has no options, which take time to import.
    """
    parser = _Parser(
        prog="mlops",
        description="From data to a model in production: MLflow, SageMaker, CodePipeline.",
        epilog=_GROUPS,
        usage="mlops [--version] [COMMAND ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = importlib.metadata.version(_DISTRIBUTION)
    parser.add_argument("--version", action="version", version=f"mlops {version}")
    parser.set_defaults(
        command=later("mlops.overview", "show"), interrupted="", log_level="WARNING", groups=_GROUPS
    )
    # The groups in the epilog say more than argparse's own list.
    commands = parser.add_subparsers(prog="mlops", metavar="COMMAND", help=argparse.SUPPRESS)
    add = adder(commands)
    platform = commands.add_parser(
        "platform",
        help="MLflow, its network and images",
        description="MLflow, its network and images: once for an account.",
        allow_abbrev=False,
    )
    add_platform_commands(
        adder(platform.add_subparsers(required=True, metavar="COMMAND")), doctor=doctor
    )
    project = commands.add_parser(
        "project",
        help="a project's repositories, pipelines and roles",
        description="A project's repositories, pipelines and roles.",
        allow_abbrev=False,
    )
    add_project_commands(adder(project.add_subparsers(required=True, metavar="COMMAND")))
    add_pipeline_commands(add)
    add_release_commands(add)
    add_demo_command(add)
    return parser


if __name__ == "__main__":
    sys.exit(main())
