"""AWS CodePipeline: stages, actions, artifacts, approvals, executed.

definition            a pipeline's declaration, read once into Pipeline, Stage, Action
checks                what CreatePipeline and UpdatePipeline refuse, in AWS's words
action_checks         the same for single actions: configuration, artifacts, variable references
variables             #{namespace.key} found and replaced
artifacts             zips in the artifact store
execution             the records: one execution, its stages, its actions
queues                 who may enter a stage: superseded, queued, parallel
action_run            one action, executed
stage_run             the actions of one stage, by run order, in threads
pipeline_runs         one pipeline with all executions, and how they move from stage to stage
starts                what starts executions, what may be stopped
retry_and_rollback    retries and rollbacks that people ask for
approvals             a person's answer finds the action that waits for it
triggers              which push starts which pipeline
state_changes         the events that executions tell
registry              all pipelines by name
views                 what Get... and List... answer
execution_operations  the API's operations on executions
service               the service, and the operations on pipelines
actions/              one module for each provider
"""
