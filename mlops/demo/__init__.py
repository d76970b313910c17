"""The whole road on this machine, told to a person.

demo            `mlops demo`; command_line: its arguments
machine         local-aws as a process of its own, and the AWS that it announces
mlflow_login    the login of an MLflow that somebody else runs
pipeline_story  a pipeline's execution, told action by action
narration       steps with their times
"""
