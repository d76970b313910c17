"""A registered model version -> a SageMaker endpoint.

build              CLI: registry -> archive -> both stage configurations
deploy_request     deploy.json: which version to deploy
mlflow_handler     the registry: find, fetch, move a model version
registry           its parts: reading, evidence, allowed moves, the lease, the move
reconcile          CLI: what the endpoints serve beside what the registry says
mlflow_pages       links to what MLflow's own pages show
mlflow_login       the login to an MLflow that asks for one
model_validation   what a model must have before it is packaged
recorded_answers   what a version must answer, by the model in its own environment
request_limits     what fits into a request
model_archive      model folder -> reproducible model.tar.gz -> S3
stage_config       the parameters and tags of each stage's stack
contradictions     settings of an endpoint that exclude each other
exported_variables  what CodePipeline's approval shows of a build and a test
atomic_write       files written whole, all or none
command_line       what both command lines set up for their process
test               CLI of TestStaging and TestProd: check the endpoint, then move the stage
errors             what can go wrong, with exit codes
"""
