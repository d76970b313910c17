"""What stands on AWS: files, and no command. `mlops` deploys them.

platform/   network.yml, images.yml, mlflow.yml, mlflow-managed.yml: the platform's stacks
            laptop.yml: what a project needs of them where local-aws stands for AWS
            launch-role.yml: the role by which SageMaker Studio or Service Catalog creates a project
            settings/: sizes of the platform
project/    project.yml: one project: repositories, pipelines, bucket, roles, schedule, mails
            seeds/: READMEs of the units' own repositories
images/     what the platform's images are built from

README.md says how to deploy the platform, docs/aws.md a project, docs/roles.md who may do what.
"""
