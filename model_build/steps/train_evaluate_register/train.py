"""TrainEvaluateRegister: a model, its errors on rows it never saw, and perhaps a new version.

    train.parquet ─▶ rehearse ─▶ train ─┐
    test.parquet ──────────────────────▶ evaluate ─▶ MLflow run ─▶ gate ─passed─▶ a new version
    dataset.json ──────────────────────────────────▶ (data, tags)  ▲    ─failed─▶ a failed job
    raw_rows.json ─────────────────────────────────▶ (predictions) │
    data_report.* ─────────────────────────────────▶ (as they are) champion

Its folder is uploaded alone and is its working directory. Text comes from the environment, numbers
as arguments.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import estimators
import metrics
import mlflow_login
from estimators.contract import Number
from metrics import Limit

logger = logging.getLogger("train")

# SageMaker copies this file's first 1024 characters into the job's FailureReason
# (developer guide, "How Amazon SageMaker AI Processes Training Output").
FAILURE_FILE = Path("/opt/ml/output/failure")
FAILURE_LENGTH = 1024
# Ending takes a few seconds; SageMaker gives 120.
STOP_AGAIN_SECONDS = 20

# ExperimentName for an experiment that is named as the registered model.
AS_THE_MODEL = "same-as-model"

DATA_FOLDER = "/opt/ml/input/data/prepared"

OWN_MODULES = frozenset(
    {
        "__main__",
        "train",
        "champion",
        "estimators.contract",
        "evaluation",
        "explanations",
        "mlflow_login",
        "rehearsal",
        "tracking",
        "training_data",
    }
)


class SettingsError(Exception):
    """What the pipeline set is missing or wrong."""


class QualityGateError(Exception):
    """The model is not good enough to be registered; the run has everything else."""


class StoppedError(BaseException):
    """SageMaker asked the job to end. No `except Exception` on the way may hold it up."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the pipeline asked of this job."""

    tracking_uri: str
    credentials_secret: str
    experiment_name: str
    model_name: str
    target: str
    pipeline_execution_arn: str
    training_job_name: str
    source_commit: str
    random_seed: int
    estimator: str
    estimator_parameters: Mapping[str, Number]
    metric_limits: str
    champion_margin: float
    champion_needed: bool
    shap: bool

    @classmethod
    def read(cls, args: argparse.Namespace, environment: Mapping[str, str]) -> "Settings":
        """From arguments and environment. Raises SettingsError naming what is missing or wrong.

        Whoever starts the pipeline by AWS's own commands is told here what run-pipeline checks.
        """
        required = (
            "MLFLOW_TRACKING_URI",
            "EXPERIMENT_NAME",
            "REGISTERED_MODEL_NAME",
            "TARGET_COLUMN",
            "ESTIMATOR",
            "METRIC_LIMITS",
            "CHAMPION_INCOMPARABLE",
            "SHAP",
        )
        missing = [name for name in required if not environment.get(name)]
        if missing:
            raise SettingsError(
                f"not in the environment: {', '.join(missing)}; the pipeline sets them"
            )
        return cls(
            tracking_uri=environment["MLFLOW_TRACKING_URI"],
            credentials_secret=mlflow_login.read_secret_arn(
                environment.get("MLFLOW_CREDENTIALS_SECRET")
            ),
            experiment_name=_read_experiment(environment),
            model_name=environment["REGISTERED_MODEL_NAME"],
            target=environment["TARGET_COLUMN"],
            pipeline_execution_arn=environment.get("PIPELINE_EXECUTION_ARN", ""),
            training_job_name=environment.get("TRAINING_JOB_NAME", ""),
            source_commit=environment.get("SOURCE_COMMIT", ""),
            random_seed=args.random_seed,
            estimator=environment["ESTIMATOR"],
            estimator_parameters=_read_estimator(environment["ESTIMATOR"], args),
            metric_limits=environment["METRIC_LIMITS"],
            champion_margin=_within("ChampionMargin", args.champion_margin, 0, 10),
            champion_needed=_read_champion_needed(environment["CHAMPION_INCOMPARABLE"]),
            shap=_read_shap(environment["SHAP"]),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Train, evaluate, register; 1, with the cause in the failure file, if anything goes wrong."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _stop)
    # GitPython, if there is one, must not complain that the image has no git.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    # MLflow's thread that sends it takes a variable away while requests read the environment; that
    # ends the job with KeyError now and then. And a job tells nobody outside what it does.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    data_folder = args.data or Path(os.environ.get("SM_CHANNEL_PREPARED", DATA_FOLDER))
    try:
        settings = Settings.read(args, os.environ)
        mlflow_login.log_in(settings.tracking_uri, settings.credentials_secret, os.environ)
        run_job(settings, data_folder)
    except (Exception, StoppedError) as err:  # the last stop: whatever it was, it must be said
        signal.alarm(0)
        # Our own messages are written for people; others need their type, and where they came from.
        own = type(err).__module__ in OWN_MODULES
        cause = str(err) if own else f"{type(err).__name__}: {err}"
        logger.error("%s", cause, exc_info=None if own else err)
        args.failure_file.parent.mkdir(parents=True, exist_ok=True)
        args.failure_file.write_text(cause[:FAILURE_LENGTH], encoding="utf-8")
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train, evaluate and register a model.", allow_abbrev=False
    )
    parser.add_argument("--random-seed", type=int, default=42, help="(default: 42)")
    parser.add_argument(
        "--champion-margin",
        type=float,
        default=0.0,
        help="share by which the model may be worse than the champion (default: 0)",
    )
    for parameter in estimators.list_parameters(estimators.find_estimators()):
        parser.add_argument(
            f"--{parameter.flag}",
            dest=parameter.name,
            type=type(parameter.default),
            default=parameter.default,
            help=f"{parameter.meaning} (default: {parameter.default})",
        )
    parser.add_argument(
        "--data", type=Path, help=f"folder of the data (default: the channel, {DATA_FOLDER})"
    )
    parser.add_argument(
        "--failure-file",
        type=Path,
        default=FAILURE_FILE,
        help=f"where the cause of a failure goes (default: {FAILURE_FILE})",
    )
    return parser


def _read_estimator(name: str, args: argparse.Namespace) -> dict[str, Number]:
    """The chosen estimator's own parameters, by name."""
    found = estimators.find_estimators()
    if name not in found:
        raise SettingsError(f"Estimator is {name!r}; there are {', '.join(found)}")
    values: dict[str, Number] = {}
    for parameter in found[name].parameters:
        value = getattr(args, parameter.name)
        if not parameter.low <= value <= parameter.high:
            raise SettingsError(f"{parameter.name} is {value}; give {parameter.expected}")
        values[parameter.name] = value
    return values


def _read_experiment(environment: Mapping[str, str]) -> str:
    """The experiment's name, which is the model's where none was chosen."""
    name = environment["EXPERIMENT_NAME"]
    return environment["REGISTERED_MODEL_NAME"] if name == AS_THE_MODEL else name


def _read_limits(text: str, task: str) -> Sequence[Limit]:
    try:
        return metrics.read_limits(text, task)
    except ValueError as err:
        raise SettingsError(f"MetricLimits is {text!r}: {err}") from err


def _read_champion_needed(text: str) -> bool:
    if text not in ("refuse", "allow"):
        raise SettingsError(f"ChampionIncomparable is {text!r}; give refuse or allow")
    return text == "refuse"


def _read_shap(text: str) -> bool:
    if text not in ("on", "off"):
        raise SettingsError(f"Shap is {text!r}; give on or off")
    return text == "on"


def _within(name: str, value: Number, low: Number, high: Number) -> Number:
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}; give a number from {low:g} to {high:g}")
    return value


def run_job(settings: Settings, data_folder: Path) -> None:
    """One MLflow run, FINISHED if the model was evaluated, FAILED if anything broke."""
    # These take seconds to import, so they wait until the arguments are known to be right.
    import evaluation
    import explanations
    import importances
    import mlflow
    import mlflow_pages
    import model_card
    import plots
    import registration
    import rehearsal
    import size_curve
    import tracking
    import training_data
    import verdict
    from gate import Rules
    from model import Recipe

    if settings.shap:
        explanations.check_installed()
    data = training_data.read_training_data(data_folder, settings.target)
    limits = _read_limits(settings.metric_limits, data.task)
    recipe = Recipe(
        name=settings.estimator,
        estimator=estimators.find_estimators()[settings.estimator],
        task=data.task,
        classes=data.classes,
        parameters=settings.estimator_parameters,
        random_seed=settings.random_seed,
    )
    started = time.monotonic()
    rehearsal.rehearse(recipe, data)
    logger.info("rehearsed in %.1f s", time.monotonic() - started)
    tags = describe_origin(settings, data.description)
    parameters = _list_parameters(settings, data.description)
    experiment_id = tracking.connect(settings.tracking_uri, settings.experiment_name)
    tracking.check_model_name(settings.model_name)
    source = str(data.description["source"])
    run_name = model_card.name_run(recipe.name, source, settings.pipeline_execution_arn)
    with mlflow.start_run(run_name=run_name, tags=tags) as run:
        run_url = mlflow_pages.run_page(settings.tracking_uri, experiment_id, run.info.run_id)
        logger.info("MLflow run: %s", run_url)
        mlflow.log_params(parameters)
        warnings = list(data.description["warnings"])
        if recipe.estimator.remark is not None:
            warnings += recipe.estimator.remark(data.train.features)
        if warnings:
            # run-pipeline prints them; MLflow keeps 8000 characters of a tag's value.
            mlflow.set_tag("data.warnings", "\n".join(warnings)[:8000])
        _log_inputs(data)

        model = recipe.build(data.train.features, data.train.target)
        started = time.monotonic()
        model.fit(data.train.features, data.train.target)
        fit_seconds = time.monotonic() - started
        logger.info("trained %s in %.1f s", recipe.name, fit_seconds)
        recipe.make_ready(model)
        predicted = evaluation.predict(model, data.test.features, data.classes)
        measures = evaluation.choose_measures(data.train.target, data.classes)
        measured = evaluation.measure(data.test.target, predicted, data.classes, measures)
        print(evaluation.format_metric_lines(measured), flush=True)
        mlflow.log_metrics(measured)
        started = time.monotonic()
        first = measures[0]
        figures = plots.list_figures(
            data,
            predicted,
            measured,
            importances=importances.measure_importances(model, recipe, data, first, fit_seconds),
            curve=size_curve.measure_sizes(
                recipe, data, first, measured[first.metric.name], fit_seconds
            ),
            explanation=explanations.explain(model, recipe, data) if settings.shap else None,
        )
        for name, figure in figures:
            mlflow.log_figure(figure, name)
        logger.info("drew the pictures in %.1f s", time.monotonic() - started)
        logged = registration.log_model(model, recipe, data)
        registration.log_raw_rows(model, data)
        for path in data.report_files:
            mlflow.log_artifact(str(path))

        report = verdict.reach(
            data,
            predicted,
            measures,
            measured=measured,
            model_name=settings.model_name,
            split=parameters,
            rules=Rules(
                limits=limits,
                margin=settings.champion_margin,
                champion_needed=settings.champion_needed,
                random_seed=settings.random_seed,
            ),
        )
        gate_tags = verdict.keep(report)
        run_name = model_card.name_run(recipe.name, source, settings.pipeline_execution_arn, report)
        mlflow.set_tag("mlflow.runName", run_name)
        logger.info("gate %s: %s", report["verdict"], report["summary"])
        if report["verdict"] == "passed":
            version = registration.register_version(
                logged, settings.model_name, {**tags, **gate_tags}
            )
            logger.info("registered version %d of %s", version, settings.model_name)
            card = model_card.write_card(
                data,
                recipe,
                report,
                model_card.RunPlace(experiment_id=experiment_id, run_id=run.info.run_id),
                registration.example_request(data),
            )
            registration.describe_version(
                settings.model_name, version, card, model_card.describe_registered_model(data)
            )
    if report["verdict"] != "passed":
        raise QualityGateError(
            f"QualityGateNotMet: {report['reason']}; nothing was registered; {run_url}"
        )


def describe_origin(settings: Settings, description: Mapping[str, Any]) -> dict[str, str]:
    """The tags of run and version that lead back to execution, job, code and data."""
    tags = {
        "sagemaker.pipeline_execution_arn": settings.pipeline_execution_arn,
        "sagemaker.training_job_name": settings.training_job_name,
        "source.commit": settings.source_commit,
        "data.uri": str(description["source"]),
        "data.digest": str(description["digest"]),
    }
    return {name: value for name, value in tags.items() if value}


def _list_parameters(settings: Settings, description: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "estimator": settings.estimator,
        **{
            parameter.keyword: settings.estimator_parameters[parameter.name]
            for parameter in estimators.find_estimators()[settings.estimator].parameters
        },
        "random_seed": settings.random_seed,
        "task": description["task"],
        "test_size": description["test_size"],
        "split_by": description["split_by"],
        "target": settings.target,
        "feature_count": len(description["columns"]),
        "train_rows": description["train_rows"],
        "test_rows": description["test_rows"],
    }


def _log_inputs(data: Any) -> None:
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource

    source = str(data.description["source"])
    for context, part in (("training", data.train), ("testing", data.test)):
        # As object, since MLflow warns of each column of whole numbers.
        target = part.target.astype(object) if data.classes else part.target
        dataset = mlflow.data.from_pandas(  # type: ignore[attr-defined, unused-ignore]
            part.features.assign(**{data.description["target"]: target}),
            source=source if source.startswith("s3://") else CodeDatasetSource({"data": source}),
            targets=data.description["target"],
            name=source.rstrip("/").rpartition("/")[2],
        )
        mlflow.log_input(dataset, context=context)


def _stop(_signal_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough; the clean-up follows
    # Raised inside a finalizer, it is lost, and training would go on: then it is raised again.
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(STOP_AGAIN_SECONDS)
    # Whoever reads our output (the SDK's driver) may end by the same signal. MLflow prints a line
    # before it tells its server that the run has ended, and must not fail at that.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    raise StoppedError("the job was asked to stop (SIGTERM)")


if __name__ == "__main__":
    sys.exit(main())
