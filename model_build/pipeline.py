"""The training pipeline.

InputDataUri ─▶ PrepareData ─▶ train.parquet ─▶ TrainEvaluateRegister ─▶ MLflow: run, model and,
                (processing)   test.parquet     (training)               if the gate is passed,
                               raw_rows.json,                            a version
                               dataset.json, ...
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sagemaker.core import image_uris
from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output, Tag
from sagemaker.core.training.configs import (
    Compute,
    InputData,
    MetricDefinition,
    Networking,
    OutputDataConfig,
    SourceCode,
    StoppingCondition,
)
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import (
    Parameter,
    ParameterFloat,
    ParameterInteger,
    ParameterString,
)
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.retry import (
    RetryPolicy,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep

from model_build import mlflow_login
from model_build.config import BuildConfig, read_tags
from model_build.errors import ConfigError
from model_build.parameters import MLFLOW_TRACKING_URI, PipelineParameter, list_parameters
from model_build.sdk_session import QuietModelTrainer, open_session
from model_build.step_archive import pack_step
from model_build.training_step import list_estimator_parameters, metrics

STEPS = Path(__file__).resolve().parent / "steps"
SKLEARN_IMAGE_VERSION = "1.9-0"

_OUTPUT_FOLDER = "/opt/ml/processing/output"
_UPLOAD_EXCEPT = [".git", "__pycache__", ".DS_Store", ".ipynb_checkpoints", ".mypy_cache"]


def get_pipeline(
    role: str,
    bucket: str,
    pipeline_name: str,
    base_job_prefix: str,
    *,
    region: str,
    mlflow_tracking_uri: str | None = None,
    mlflow_credentials_secret: str | None = None,
    processing_instance_type: str = BuildConfig.processing_instance_type,
    training_instance_type: str = BuildConfig.training_instance_type,
    volume_size_gb: int = BuildConfig.volume_size_gb,
    max_runtime_seconds: int = BuildConfig.max_runtime_seconds,
    subnets: Sequence[str] = (),
    security_group_ids: Sequence[str] = (),
    kms_key: str | None = None,
    tags: Sequence[Mapping[str, str]] = (),
    source_commit: str | None = None,
    sagemaker_session: PipelineSession | None = None,
) -> Pipeline:
    """The pipeline PrepareData -> TrainEvaluateRegister; nothing is uploaded before it's compiled.

    The keywords are described at BuildConfig; `mlflow_tracking_uri` becomes the default of the
    parameter MLflowTrackingURI, which has none otherwise. `mlflow_credentials_secret` is the ARN of
    the secret by which the training job logs in there. Raises ConfigError.
    """
    config = BuildConfig(
        role=role,
        bucket=bucket,
        pipeline_name=pipeline_name,
        base_job_prefix=base_job_prefix,
        region=region,
        processing_instance_type=processing_instance_type,
        training_instance_type=training_instance_type,
        volume_size_gb=volume_size_gb,
        max_runtime_seconds=max_runtime_seconds,
        subnets=_read_list(subnets),
        security_group_ids=_read_list(security_group_ids),
        kms_key=kms_key,
        tags=read_tags(tags, "tags"),
        source_commit=source_commit,
        mlflow_credentials_secret=mlflow_login.read_secret_arn(mlflow_credentials_secret),
    )
    session = sagemaker_session or open_session(config.bucket, config.region)
    parameters = _declare_parameters(mlflow_tracking_uri)
    prepare_data = _prepare_data_step(config, parameters, session)
    train = _train_step(config, parameters, session, prepare_data)
    return Pipeline(
        name=config.pipeline_name,
        parameters=list(parameters.values()),
        steps=[prepare_data, train],
        sagemaker_session=session,
        pipeline_experiment_config=None,  # MLflow tracks; a SageMaker experiment would be a second
    )


def _read_list(values: Sequence[str]) -> tuple[str, ...]:
    """The values; one alone may come without its list, and isn't taken apart into letters."""
    return (values,) if isinstance(values, str) else tuple(values)


def _declare_parameters(mlflow_tracking_uri: str | None) -> dict[str, Parameter]:
    if mlflow_tracking_uri is not None:
        problem = MLFLOW_TRACKING_URI.find_problem(mlflow_tracking_uri)
        if problem is not None:
            raise ConfigError(
                "pipeline settings", [f"mlflow_tracking_uri is {mlflow_tracking_uri!r}; {problem}"]
            )
    return {
        parameter.name: _declare(
            parameter,
            mlflow_tracking_uri if parameter is MLFLOW_TRACKING_URI else parameter.default,
        )
        for parameter in list_parameters()
    }


def _declare(parameter: PipelineParameter, default: Any) -> Parameter:
    kinds: dict[str, Any] = {
        "String": ParameterString,
        "Integer": ParameterInteger,
        "Float": ParameterFloat,
    }
    declared: Parameter = kinds[parameter.kind](name=parameter.name, default_value=default)
    return declared


def _prepare_data_step(
    config: BuildConfig, parameters: Mapping[str, Any], session: PipelineSession
) -> ProcessingStep:
    """Text reaches the script through its environment, numbers as arguments.

    So no value that a user chose is ever part of a command line. Never cached: SageMaker would not
    look at what lies behind an unchanged address (docs/decisions/0011-no-cache.md).
    """
    processor = ScriptProcessor(
        image_uri=_sklearn_image(config.region, config.processing_instance_type),
        command=["python3"],
        role=config.role,
        instance_count=1,
        instance_type=config.processing_instance_type,
        volume_size_in_gb=config.volume_size_gb,
        volume_kms_key=config.kms_key,
        output_kms_key=config.kms_key,
        max_runtime_in_seconds=config.max_runtime_seconds,
        base_job_name=f"{config.base_job_prefix}-prepare-data",
        sagemaker_session=session,
        env={
            "INPUT_DATA_URI": parameters["InputDataUri"],
            "TARGET_COLUMN": parameters["TargetColumn"],
            "ODD_VALUES": parameters["OddValues"],
            "SPLIT_BY": parameters["SplitBy"],
            "TASK": parameters["Task"],
            "AWS_DEFAULT_REGION": config.region,
        },
        tags=[{"Key": key, "Value": value} for key, value in config.tags] or None,
        network_config=NetworkConfig(
            subnets=list(config.subnets), security_group_ids=list(config.security_group_ids)
        )
        if config.subnets
        else None,
    )
    return ProcessingStep(
        name="PrepareData",
        step_args=processor.run(
            code=str(pack_step(STEPS / "prepare_data", "prepare_data")),
            arguments=[
                "--output",
                _OUTPUT_FOLDER,
                "--test-size",
                parameters["TestSize"].to_string(),
                "--random-seed",
                parameters["RandomSeed"].to_string(),
            ],
            outputs=[
                ProcessingOutput(
                    output_name="prepared",
                    s3_output=ProcessingS3Output(
                        local_path=_OUTPUT_FOLDER,
                        s3_upload_mode="EndOfJob",
                        s3_uri=Join(
                            on="/",
                            values=[
                                f"s3://{config.bucket}/{config.base_job_prefix}/data",
                                ExecutionVariables.PIPELINE_EXECUTION_ID,
                            ],
                        ),
                    ),
                )
            ],
            kms_key=config.kms_key,
        ),
        retry_policies=_retry_policies(),
    )


def _train_step(
    config: BuildConfig,
    parameters: Mapping[str, Any],
    session: PipelineSession,
    prepare_data: ProcessingStep,
) -> TrainingStep:
    """Never cached: a step that registers a version must run."""
    environment = {
        "MLFLOW_TRACKING_URI": parameters["MLflowTrackingURI"],
        "EXPERIMENT_NAME": parameters["ExperimentName"],
        "REGISTERED_MODEL_NAME": parameters["RegisteredModelName"],
        "TARGET_COLUMN": parameters["TargetColumn"],
        "ESTIMATOR": parameters["Estimator"],
        "METRIC_LIMITS": parameters["MetricLimits"],
        "CHAMPION_INCOMPARABLE": parameters["ChampionIncomparable"],
        "SHAP": parameters["Shap"],
        "PIPELINE_EXECUTION_ARN": ExecutionVariables.PIPELINE_EXECUTION_ARN,
        "AWS_DEFAULT_REGION": config.region,
    }
    if config.source_commit:
        environment["SOURCE_COMMIT"] = config.source_commit
    if config.mlflow_credentials_secret:
        # Its name only: the definition is for everyone to read, the password isn't in it.
        environment["MLFLOW_CREDENTIALS_SECRET"] = config.mlflow_credentials_secret
    trainer = QuietModelTrainer(
        training_image=_sklearn_image(config.region, config.training_instance_type),
        role=config.role,
        sagemaker_session=session,
        base_job_name=f"{config.base_job_prefix}-train",
        source_code=SourceCode(
            source_dir=str(STEPS / "train_evaluate_register"),
            entry_script="train.py",
            requirements="requirements.txt",
            ignore_patterns=_UPLOAD_EXCEPT,
        ),
        compute=Compute(
            instance_type=config.training_instance_type,
            instance_count=1,
            volume_size_in_gb=config.volume_size_gb,
            volume_kms_key_id=config.kms_key,
        ),
        networking=Networking(
            subnets=list(config.subnets), security_group_ids=list(config.security_group_ids)
        )
        if config.subnets
        else None,
        stopping_condition=StoppingCondition(max_runtime_in_seconds=config.max_runtime_seconds),
        output_data_config=OutputDataConfig(
            s3_output_path=f"s3://{config.bucket}/{config.base_job_prefix}/train",
            kms_key_id=config.kms_key,
        ),
        hyperparameters={
            "random-seed": parameters["RandomSeed"].to_string(),
            "champion-margin": parameters["ChampionMargin"].to_string(),
            **{
                parameter.flag: parameters[parameter.name].to_string()
                for parameter in list_estimator_parameters()
            },
        },
        environment=environment,
        tags=[Tag(key=key, value=value) for key, value in config.tags] or None,
    ).with_metric_definitions(
        [
            MetricDefinition(name=name, regex=metrics.EXPRESSION.format(name=name))
            for name in metrics.ALL
        ]
    )
    prepared = prepare_data.properties.ProcessingOutputConfig.Outputs["prepared"]
    return TrainingStep(
        name="TrainEvaluateRegister",
        step_args=trainer.train(
            input_data_config=[
                InputData(channel_name="prepared", data_source=prepared.S3Output.S3Uri)
            ]
        ),
        retry_policies=_retry_policies(),
    )


def _sklearn_image(region: str, instance_type: str) -> str:
    image: str = image_uris.retrieve(
        "sklearn",
        region=region,
        version=SKLEARN_IMAGE_VERSION,
        py_version="py3",
        instance_type=instance_type,
    )
    return image


def _retry_policies() -> list[RetryPolicy]:
    """Again when AWS is at fault or full; never when the script failed."""
    return [
        StepRetryPolicy(
            exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
            interval_seconds=5,
            max_attempts=3,
        ),
        SageMakerJobStepRetryPolicy(
            exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT],
            failure_reason_types=[
                SageMakerJobExceptionTypeEnum.INTERNAL_ERROR,
                SageMakerJobExceptionTypeEnum.CAPACITY_ERROR,
            ],
            interval_seconds=60,
            max_attempts=3,
        ),
    ]
