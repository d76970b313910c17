"""What is released: versions, the endpoints that serve them, what waits.

releasing        `mlops release`: a version to staging and prod
status           `mlops status`: all of it at a glance, and the next step
registry_report  the versions that MLflow has, the endpoints that AWS has, a prediction of both
"""
