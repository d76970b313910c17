"""The commands by which a person uses the project's CI/CD on this machine, each over public APIs.

command_line   their arguments, and what each prints
project_stack  the stack's names, outputs and what `local-aws env` exports of them
deployment     `deploy`: infra/project/project.yml as a stack
stack_change   a change set computed, executed, followed to its end
stack_events   a stack's events as they come, its outputs
unit_files     a unit's files, and the zips that seed repositories
push, git      `push`: a commit of the working tree's unit on top of the remote's main
executions     what a pipeline's execution has done so far, action by action
watching       the same as it changes, until it ends or waits for a person
pipeline_view  `pipeline`: both pipelines on a terminal, or as lines
approval       `approve`, `reject`
schedule       `schedule`: when the model is trained again by itself
clients        boto3 clients of what runs
"""
