"""CloudFormation templates of a project, and the seeds of its repositories.

project.yml        one project: repositories, pipelines, bucket, roles, schedule, notifications
launch-role.yml    the role by which SageMaker Studio or Service Catalog creates project.yml's stack
seed_repositories  cuts the zip of each unit that project.yml can seed its repositories from
units              which files of this tree each unit's repository holds

docs/aws.md says how to deploy them, docs/roles.md what each role may do and why.
"""
