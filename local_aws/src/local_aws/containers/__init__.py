"""What runs as if in a container: a process with its own /opt/ml that never outlives its parent.

image             what an image's annotations say
images            image URI -> the environment that runs for it; requirements in cached layers
container         a command that sees its folder as /opt/ml
mount_namespace   how, where the kernel allows it
path_rewriting    how, elsewhere
supervision       a child that ends with its limit or its parent; supervisor is its other side
log_stream        what it prints, to CloudWatch Logs
cache             where images and layers are kept
job_pip           what answers `pip install` inside
"""
