"""EventBridge Scheduler: what is due calls its target, by what EventBridge's rules use too.

service         Schedules: handlers for the gateway, invocations when they are due
schedule        a schedule, checked as CreateSchedule checks it, and its occurrences
expressions     rate(), cron(), at(): when is the next time; cron: AWS's dialect of it
timer           one thread that sleeps until something is due
invocation_log  what became of a schedule's invocations, in CloudWatch Logs
"""
