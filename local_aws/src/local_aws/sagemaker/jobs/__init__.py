"""Processing and training jobs that really run.

service     the operations
job_run     one job from its inputs to its outputs
job_record  its status, as Describe tells it
job_limits  what is refused, because it would change the result
container_contract  the files below /opt/ml
s3_transfer download and upload by prefix
"""
