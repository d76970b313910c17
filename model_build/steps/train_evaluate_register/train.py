"""TrainEvaluateRegister: a forest, its errors on rows it never saw, and perhaps a new version.

    train.parquet ─▶ train ─┐
    test.parquet ──────────▶ evaluate ─▶ MLflow run ─▶ within the limit? ─yes▶ a new version
    dataset.json ──────────────────────▶ (data, tags)                    ─no─▶ a failed job
    raw_rows.json ─────────────────────▶ (and predictions)
    data_report.* ─────────────────────▶ (as they are)

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

import mlflow_login

logger = logging.getLogger("train")

# SageMaker copies this file's first 1024 characters into the job's FailureReason
# (developer guide, "How Amazon SageMaker AI Processes Training Output").
FAILURE_FILE = Path("/opt/ml/output/failure")
FAILURE_LENGTH = 1024
# Ending takes a few seconds; SageMaker gives 120.
STOP_AGAIN_SECONDS = 20

DATA_FOLDER = "/opt/ml/input/data/prepared"

OWN_MODULES = frozenset(
    {"__main__", "train", "mlflow_login", "training_data", "tracking", "registration"}
)


class SettingsError(Exception):
    """The environment lacks what the pipeline sets."""


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
    n_estimators: int
    min_samples_leaf: int
    max_rows_per_tree: int
    random_seed: int
    max_median_absolute_error: float

    @classmethod
    def read(cls, args: argparse.Namespace, environment: Mapping[str, str]) -> "Settings":
        """From arguments and environment. Raises SettingsError naming what is missing."""
        required = (
            "MLFLOW_TRACKING_URI",
            "EXPERIMENT_NAME",
            "REGISTERED_MODEL_NAME",
            "TARGET_COLUMN",
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
            experiment_name=environment["EXPERIMENT_NAME"],
            model_name=environment["REGISTERED_MODEL_NAME"],
            target=environment["TARGET_COLUMN"],
            pipeline_execution_arn=environment.get("PIPELINE_EXECUTION_ARN", ""),
            training_job_name=environment.get("TRAINING_JOB_NAME", ""),
            source_commit=environment.get("SOURCE_COMMIT", ""),
            n_estimators=args.n_estimators,
            min_samples_leaf=args.min_samples_leaf,
            max_rows_per_tree=args.max_rows_per_tree,
            random_seed=args.random_seed,
            max_median_absolute_error=args.max_median_absolute_error,
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
        description="Train, evaluate and register a forest.", allow_abbrev=False
    )
    parser.add_argument(
        "--n-estimators", type=int, default=100, help="number of trees (default: 100)"
    )
    parser.add_argument(
        "--min-samples-leaf", type=int, default=3, help="rows in a leaf, at least (default: 3)"
    )
    parser.add_argument(
        "--max-rows-per-tree",
        type=int,
        default=100_000,
        help="rows that a tree learns from, at most; 0: as many as there are (default: 100000)",
    )
    parser.add_argument("--random-seed", type=int, default=42, help="(default: 42)")
    parser.add_argument(
        "--max-median-absolute-error",
        type=float,
        default=0.0,
        help="the limit; 0: the error of always predicting the training median (default: 0)",
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


def run_job(settings: Settings, data_folder: Path) -> None:
    """One MLflow run, FINISHED if the model was evaluated, FAILED if anything broke."""
    # These take seconds to import, so they wait until the arguments are known to be right.
    import evaluation
    import forest
    import mlflow
    import plots
    import registration
    import tracking
    import training_data

    data = training_data.read_training_data(data_folder, settings.target)
    tags = describe_origin(settings, data.description)
    experiment_id = tracking.connect(settings.tracking_uri, settings.experiment_name)
    with mlflow.start_run(tags=tags) as run:
        run_url = tracking.locate_run(settings.tracking_uri, experiment_id, run.info.run_id)
        logger.info("MLflow run: %s", run_url)
        mlflow.log_params(_list_parameters(settings, data.description))
        warnings = [*data.description["warnings"], *forest.find_merged(data.train.features)]
        if warnings:
            # run-pipeline prints them; MLflow keeps 8000 characters of a tag's value.
            mlflow.set_tag("data.warnings", "\n".join(warnings)[:8000])
        _log_inputs(data)

        model = forest.build_model(
            data.train.features,
            n_estimators=settings.n_estimators,
            min_samples_leaf=settings.min_samples_leaf,
            max_rows_per_tree=settings.max_rows_per_tree,
            random_seed=settings.random_seed,
        )
        started = time.monotonic()
        model.fit(data.train.features, data.train.target)
        logger.info("trained %d trees in %.1f s", settings.n_estimators, time.monotonic() - started)
        predicted = model.predict(data.test.features)
        forest.reset_for_serving(model)

        baseline = evaluation.measure_baseline(data.train.target, data.test.target)
        gate = evaluation.choose_gate(settings.max_median_absolute_error, baseline)
        metrics = evaluation.measure(data.test.target, predicted)
        print(evaluation.format_metric_line(metrics), flush=True)
        mlflow.log_metrics(
            {
                **metrics,
                "baseline_median_absolute_error": baseline,
                "max_median_absolute_error": gate.limit,
            }
        )
        mlflow.log_figure(plots.plot_residuals(data.test.target, predicted), "residuals.png")
        mlflow.log_figure(
            plots.plot_importances(forest.rank_columns(model)), "feature_importances.png"
        )
        logged = registration.log_model(model, data)
        registration.log_raw_rows(model, data)
        for path in data.report_files:
            mlflow.log_artifact(str(path))

        error = metrics["median_absolute_error"]
        reason = gate.find_reason(error)
        if reason is None:
            version = registration.register_version(
                logged, settings.model_name, {**tags, "median_absolute_error": f"{error:.10g}"}
            )
            logger.info("registered version %d of %s", version, settings.model_name)
        else:
            mlflow.set_tag("gate.reason", reason)
    if reason is not None:
        raise QualityGateError(f"QualityGateNotMet: {reason}; nothing was registered; {run_url}")


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
        "n_estimators": settings.n_estimators,
        "min_samples_leaf": settings.min_samples_leaf,
        "max_rows_per_tree": settings.max_rows_per_tree,
        "random_seed": settings.random_seed,
        "max_median_absolute_error": settings.max_median_absolute_error,
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
        dataset = mlflow.data.from_pandas(  # type: ignore[attr-defined, unused-ignore]
            part.features.assign(**{data.description["target"]: part.target}),
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
