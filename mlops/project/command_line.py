"""The arguments of the commands for a project and its pipelines."""

from __future__ import annotations

from pathlib import Path

from mlops.arguments import AddCommand, add_project, add_yes, later

_COMMANDS = "mlops.project.commands"
_PIPELINE_GOES_ON = "the pipelines run on; `mlops pipeline` shows them again"


def add_project_commands(add: AddCommand) -> None:
    """Those of `mlops project`."""
    deploy = add(
        "deploy",
        later(_COMMANDS, "deploy"),
        "put a project up, or bring it up to date: repositories, pipelines, roles, bucket",
        interrupted="what CloudFormation has begun goes on; `mlops status` shows what came of it",
    )
    flag = deploy.add_argument
    flag(
        "name",
        nargs="?",
        metavar="NAME",
        help="of the project, such as housing (default: the account's only one)",
    )
    flag("--schedule", metavar="EXPR", help="train again then, such as 'cron(0 3 ? * MON *)'")
    flag("--timezone", metavar="TZ", help="of the schedule, such as Europe/Paris (default: UTC)")
    flag("--email", metavar="ADDRESS", help="told of approvals and failures (default: nobody)")
    flag("--seed", action="store_true", help="let new repositories begin with a first commit")
    flag(
        *("--connection", "-c"),
        action="append",
        default=[],
        metavar="OWNER/NAME",
        help="a repository behind a Git connection in place of CodeCommit; twice for one each",
    )
    flag(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of infra/project/project.yml; can be repeated (default: those it has)",
    )
    flag(
        "--template-bucket",
        metavar="NAME",
        help="S3 bucket for the template and the seeds (default: the platform's)",
    )
    flag("--dry-run", action="store_true", help="show the changes, make none")
    flag(
        "--accept-data-loss",
        action="store_true",
        help="with --yes, also where a bucket, key or repository is replaced or removed",
    )
    add_yes(deploy, "make the changes")
    add_project(deploy)
    environment = add(
        "env",
        later(_COMMANDS, "environment"),
        'print what run-pipeline and the others need: eval "$(mlops project env)"',
    )
    add_project(environment)


def add_pipeline_commands(add: AddCommand) -> None:
    """Those that train and move a project's units: train, push, pipeline, approve, ..."""
    train = add(
        "train",
        later("mlops.project.training", "train"),
        "train a model on a table, and register it if the gate lets it through",
        interrupted="the execution goes on, if it had started; run-pipeline has said how to stop",
    )
    train.add_argument(
        "table", metavar="TABLE", help="a CSV or Parquet file, s3://bucket/key, sklearn:diabetes"
    )
    train.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column to predict (required)"
    )
    train.add_argument(
        "--model", metavar="NAME", help="the registered model (default: the table's name)"
    )
    train.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another parameter of the pipeline, such as NEstimators=50; can be repeated",
    )
    add_project(train)
    push = add(
        "push",
        later(_COMMANDS, "push"),
        "commit the working tree's unit to its repository, which starts its pipeline",
        interrupted="look with `mlops pipeline` whether the push had arrived",
    )
    push.add_argument(
        "unit", choices=["build", "deploy"], help="build: train a model; deploy: release one"
    )
    push.add_argument("-m", "--message", help="of the commit")
    push.add_argument(
        "--again", action="store_true", help="if nothing changed, run the last commit again"
    )
    add_project(push)
    pipeline = add(
        "pipeline",
        later(_COMMANDS, "pipeline"),
        "show both pipelines, action by action, until they end or wait for approval",
        interrupted=_PIPELINE_GOES_ON,
    )
    pipeline.add_argument(
        "unit", nargs="?", choices=["build", "deploy"], help="one of them (default: both)"
    )
    how = pipeline.add_mutually_exclusive_group()
    how.add_argument(
        "--follow",
        action="store_true",
        help="go on until they have ended or wait for approval (default on a terminal)",
    )
    how.add_argument(
        "--once", action="store_true", help="show them as they are (default elsewhere)"
    )
    add_project(pipeline)
    for name, text in (
        ("approve", "let the deployment that waits go to prod"),
        ("reject", "stop the deployment that waits; prod stays as it is"),
    ):
        command = add(name, later(_COMMANDS, name), text, interrupted="nothing was answered")
        command.add_argument(
            "--comment",
            required=name == "reject",
            default="",
            metavar="TEXT",
            help="kept with the answer",
        )
        add_yes(command, f"{name} it")
        add_project(command)
    schedule = add(
        "schedule",
        later(_COMMANDS, "schedule"),
        "show or set when the model is trained again by itself",
        interrupted="a change of the stack goes on; `mlops schedule` shows what came of it",
    )
    schedule.add_argument(
        "expression",
        nargs="?",
        metavar="EXPR",
        help="'cron(0 3 ? * MON *)', 'rate(1 day)' or 'at(2027-01-31T03:00:00)'",
    )
    schedule.add_argument("--timezone", metavar="TZ", help="such as Europe/Paris (default: UTC)")
    schedule.add_argument("--off", action="store_true", help="never by itself")
    schedule.add_argument("--run-now", action="store_true", help="do now what the schedule does")
    add_project(schedule)
    logs = add(
        "logs",
        later(_COMMANDS, "logs"),
        "show what jobs, builds and endpoints printed; without a name, which there are",
        interrupted="what prints goes on",
    )
    logs.add_argument("name", nargs="?", help="a job, build or endpoint, or the start of its name")
    logs.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    add_project(logs)
    invoke = add("invoke", later(_COMMANDS, "invoke"), "send rows to an endpoint, show its answer")
    invoke.add_argument("endpoint", metavar="ENDPOINT", help="such as housing-prod")
    body = invoke.add_mutually_exclusive_group(required=True)
    body.add_argument("--file", type=Path, help="the request's body, from a file")
    body.add_argument("--data", help="the request's body, as text")
    invoke.add_argument(
        "--content-type",
        help="of the body (default: by the file's ending .csv or .json, else application/json)",
    )
    add_project(invoke)
