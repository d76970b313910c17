"""The command `mlops`: what people do, on whichever AWS the environment names.

cli         the command line; overview: `mlops` alone; arguments: what commands have in common
platform/   deploy, doctor, status, teardown: MLflow, its network and images
project/    deploy, env; push, pipeline, approve, reject, schedule, logs, invoke
release/    status: what serves and what the registry says of it
demo/       the whole road on this machine
units       which files of this tree each unit's repository holds; seed_repositories: as zips
account     the AWS account, and what its refusals mean
display     what people see; errors: what can go wrong, with exit codes; interrupts: Ctrl-C
"""
