"""The platform of an AWS account, the templates of its projects, and the seeds of repositories.

network.yml, images.yml, mlflow.yml, mlflow-managed.yml   the platform's stacks
project.yml        one project: repositories, pipelines, bucket, roles, schedule, notifications
launch-role.yml    the role by which SageMaker Studio or Service Catalog creates project.yml's stack
settings/          two sizes of the platform; images/: what its images are built from

cli                the command mlops-infra; __main__ is `python -m infra`
deployment         one stack brought to its settings: change set, question, progress
status, teardown   what stands; how it goes, with retained_data for what stays and projects for
                   what is in the way
doctor/            what is wrong, and the remedy
settings           what is to be deployed, checked against templates and their template_rules
change_sets        what CloudFormation would do; stack_events: what it does
stacks             the stacks' names and order, and how they stand in an account
account            the account, and what its refusals mean; interrupts: Ctrl-C at the right time
display            tables, progress, questions; errors: what can go wrong, with exit codes

image_builds       has CodeBuild build images; image_sources: from what; image_trial: tried here
seed_repositories  cuts the zip of each unit that project.yml can seed its repositories from
units              which files of this tree each unit's repository holds

README.md says how to deploy the platform, docs/aws.md a project, docs/roles.md who may do what.
"""
