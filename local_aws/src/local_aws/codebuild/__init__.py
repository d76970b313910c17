"""CodeBuild: the commands of a buildspec, run as processes in a throwaway environment.

service         projects and builds: the operations
build_requests  what a project and StartBuild may ask for here
build_record    one build: its description, phase by phase, and its events
build_run       one build from its sources to its artifacts
buildspec       the YAML, read strictly
variables       environment variables: whose value wins, where secrets come from
sources         zip archives from S3; artifacts: files to S3
build_shell     the one shell that runs all commands
build_log       a file, and CloudWatch Logs
image           the environment that builds run in
build_uv        the uv inside of it; layers: locked packages that it finds compiled
"""
