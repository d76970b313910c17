"""From data to a registered model version, as a SageMaker pipeline.

run_pipeline             CLI: upsert the pipeline, start it, follow it, report the new version
get_pipeline_definition  CLI: the pipeline's definition as JSON, without touching AWS
command_line             the flags both share, and how a pipeline is made from them
pipeline                 get_pipeline(): PrepareData -> TrainEvaluateRegister
config                   BuildConfig: what is fixed when the pipeline is compiled
parameters               the pipeline's parameters: what each execution may choose
sdk_session              the SageMaker SDK, doing only what it was asked to do
execution_progress       an execution's steps, seen live until it has ended
registered_version       what an execution registered, read back from MLflow
mlflow_login             the login to an MLflow that asks for one
errors                   everything that can go wrong, with its exit code
steps/                   the scripts that run inside the jobs; each folder stands alone
"""
