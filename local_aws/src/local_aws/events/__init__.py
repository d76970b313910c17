"""EventBridge and EventBridge Scheduler: what happens starts what should follow.

service         Events: rules, their targets, PutEvents; listens to the bus
rules           a rule and its targets, checked as PutRule and PutTargets check them
entries         what PutEvents takes, and the envelope of events
patterns        does an event match a pattern
target_input    what a target gets of an event: Input, InputPath, InputTransformer
schedules       Schedules: schedules and their groups, invoked when they are due
schedule        a schedule, checked as CreateSchedule checks it, and its occurrences
schedule_groups groups of schedules and their tags
expressions     rate(), cron(), at(): when is the next time; cron: AWS's dialect of it
timer           one thread that sleeps until something is due
targets         which ARNs can be a target, and the AWS call that each of them means
universal       any AWS call as a target of a schedule
delivery        calls targets in worker threads: retries, dead-letter queue, log
invocation_log  what became of a schedule's invocations, in CloudWatch Logs
"""
