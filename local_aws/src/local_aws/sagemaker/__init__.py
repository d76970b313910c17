"""SageMaker: jobs, pipelines and endpoints."""
