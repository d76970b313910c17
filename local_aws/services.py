"""The parts of AWS that local_aws executes itself, put together."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from local_aws.gateway import Service
from local_aws.own_aws import OwnAws


def all_services(own: OwnAws) -> Sequence[Service]:
    """Jobs, pipeline executions, endpoints and CloudFormation, ready to be given to a Gateway."""
    found = []
    for module, name, with_images in (
        ("jobs", "Jobs", True),
        ("pipeline_executions", "PipelineExecutions", False),
        ("endpoints", "Endpoints", True),
        ("cloudformation", "CloudFormation", False),
    ):
        try:
            service = getattr(importlib.import_module(f"local_aws.{module}"), name)
        except ModuleNotFoundError:
            continue
        if with_images:
            from local_aws.images import Images

            found.append(service(own, Images(own.state_dir)))
        else:
            found.append(service(own))
    return found
