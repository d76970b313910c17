"""The parts of AWS that local_aws executes itself, put together."""

from __future__ import annotations

from collections.abc import Sequence

from local_aws.cloudformation.service import CloudFormation
from local_aws.containers.images import Images
from local_aws.endpoints.service import Endpoints
from local_aws.gateway import Service
from local_aws.jobs.service import Jobs
from local_aws.own_aws import OwnAws
from local_aws.pipelines.service import PipelineExecutions


def all_services(own: OwnAws) -> Sequence[Service]:
    """Jobs, endpoints, pipeline executions and CloudFormation, ready to be given to a Gateway.

    Later ones use earlier ones: they are closed in the opposite order.
    """
    images = Images(own.state_dir)
    return [Jobs(own, images), Endpoints(own, images), PipelineExecutions(own), CloudFormation(own)]
