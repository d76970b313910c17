"""EventBridge: what happens starts what should follow.

service         Events: rules and their targets; listens to the bus
rules           a rule and its targets, checked as PutRule and PutTargets check them
patterns        does an event match a pattern
target_input    what a target gets of an event: Input, InputPath, InputTransformer
targets         which ARNs can be a target, and the AWS call that each of them means
delivery        calls targets in worker threads: retries, dead-letter queue, log
"""
