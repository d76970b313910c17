"""CloudFormation stacks that are really deployed.

service      the operations        change_sets  those of change sets
template     parse, short forms    intrinsics   Ref, Fn::Sub and the others
parameters   values and their constraints
validation   what is refused before anything is created
plan         what a stack should be; two plans compared are the changes
deployment   from one plan to the next, and back on failure
resources    the resource types    properties   their properties, checked by botocore's models
stack stacks requests   one stack, all stacks, what a request asks for
"""
