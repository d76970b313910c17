"""SageMaker pipelines, executed step by step.

pipelines    definitions: create, update, describe
service      executions: start, stop, retry, describe, list
run          one execution: which step is next
step_jobs    a step that is a job: create, watch, retry
definition   a definition, read and checked before anything runs
expressions  Get, Std:Join, Std:JsonGet
conditions parameters retry   one subject each
"""
