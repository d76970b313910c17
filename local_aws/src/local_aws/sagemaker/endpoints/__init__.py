"""SageMaker endpoints that really serve.

service      the operations: an update serves the old until the new answers
definitions  models and endpoint configurations
serving      one serving process: started, watched, restarted
traffic_shifting  canary, linear, all at once: which part goes to the new one, and for how long
alarms       those that a deployment names, watched while it bakes
invocation_metrics  what a server was asked, as metrics count it
scaling      scalable targets of endpoints: kept, not acted on
model_data   model.tar.gz, fetched
model_archive  and unpacked safely, on each accepted Python
invocation   InvokeEndpoint
data_capture what was asked and answered, to S3
tags         what is attached to them
"""
