"""SageMaker endpoints that really serve.

service      the operations: an update serves the old until the new answers
definitions  models and endpoint configurations
serving      one serving process: started, watched, restarted
model_data   model.tar.gz, fetched and unpacked safely
invocation   InvokeEndpoint
data_capture what was asked and answered, to S3
tags         what is attached to them
"""
