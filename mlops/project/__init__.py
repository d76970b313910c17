"""One project: its stack, its repositories and pipelines, each through public APIs.

command_line   the arguments of the commands; commands: what they do
project_stack  the projects of an account, and what programs find one by
deployment     `project deploy`: infra/project/project.yml as a stack
training       `train`: a table to the bucket, run-pipeline on it
push, git      `push`: a commit of the working tree's unit on top of the remote's branch
executions     what a pipeline's execution has done so far, action by action
watching       the same as it changes, until it ends or waits for a person
pipeline_view  `pipeline`: both pipelines on a terminal, or as lines
approval       `approve`, `reject`
schedule       `schedule`: when the model is trained by itself
logs           `logs`: what jobs, builds and endpoints printed
"""
