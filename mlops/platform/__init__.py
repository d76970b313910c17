"""The platform of an account: MLflow, its network, its images; infra/platform has the templates.

command_line       the arguments of the commands; commands: what they do
deployment         one stack brought to its settings: change set, question, progress
status, teardown   what stands; how it goes, with retained_data for what stays
doctor/            what is wrong, and the remedy
settings           what is to be deployed, checked against templates and their template_rules
change_sets        what CloudFormation would do; stack_events: what it does
stacks             the stacks' names and order, and how they stand in an account
image_builds       has CodeBuild build images; image_sources: from what
laptop             what local-aws needs in place of an image
"""
