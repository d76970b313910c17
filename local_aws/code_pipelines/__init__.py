"""AWS CodePipeline: stages, actions, artifacts, approvals, executed.

definition          a pipeline's declaration, read once into Pipeline, Stage, Action
checks              what CreatePipeline and UpdatePipeline refuse, in AWS's words
action_checks       the same for single actions: configuration, artifacts, variable references
variables           #{namespace.key} found and replaced
execution           the records: one execution, its stages, its actions
lanes               who may enter a stage: superseded, queued, parallel
stage_run           the actions of one stage, by run order, in threads
pipeline_runs       one pipeline with all executions: start, stop, retry, roll back, approve
artifacts           zips in the artifact store
triggers            which push starts which pipeline
state_changes       the events that executions tell
views               what Get... and List... answer
service             the API's operations
actions/            one module for each provider
"""
