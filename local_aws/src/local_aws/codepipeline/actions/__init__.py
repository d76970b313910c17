"""What the actions of a pipeline do, one module for each provider.

action            what an action is given, what it gives back, what a provider has to declare
git_source        CodeCommit and CodeStarSourceConnection: a clone, zipped
code_build        CodeBuild: a build or test
cloud_formation   CloudFormation: stacks and change sets
stack_requests    what the CloudFormation actions ask for: template, parameters, tags
approval          Manual: a person's answer
providers         all of them, by category and name
"""
