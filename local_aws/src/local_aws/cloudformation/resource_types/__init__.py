"""The resource types that stacks can have.

resource_type   what the engine asks of a type
described       a type with its published schema behind it
api_resource    a type whose properties are the input of one Create call: a row of a table
calls  tags     AWS calls in a template's terms

code            CodeCommit, CodeBuild, CodePipeline, connections; seeding: a first commit
identity        IAM's roles and policies, KMS keys
messaging       SNS, SQS
monitoring      CloudWatch alarms, Application Auto Scaling
parameters      SSM parameters, log groups
sagemaker       models, endpoint configurations, endpoints, pipelines
scheduling      EventBridge rules, schedules
storage         S3, with lifecycle: rules of a bucket; ECR
"""
