"""The whole road on this machine, told to a person.

demo             `mlops demo`
pipeline_story   a pipeline's execution, told action by action
release          one version to staging and prod: `local-aws release`
commands         the project's console scripts, run as a person types them
stack_deployment CloudFormation as CodePipeline's action does it
registry_report  what MLflow and AWS say at the end
narration        steps with their times
"""
