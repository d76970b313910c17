"""The parts of AWS that local_aws executes itself, put together."""

from __future__ import annotations

from collections.abc import Sequence

from local_aws.cloudformation.service import CloudFormation
from local_aws.codebuild.service import Builds
from local_aws.codecommit.service import Repositories
from local_aws.codepipeline.service import CodePipelines
from local_aws.containers.images import Images
from local_aws.event_bus import EventBus
from local_aws.events.service import Events
from local_aws.gateway import Service
from local_aws.own_aws import OwnAws
from local_aws.sagemaker.endpoints.service import Endpoints
from local_aws.sagemaker.jobs.service import Jobs
from local_aws.sagemaker.pipelines.service import PipelineExecutions
from local_aws.scheduler.service import Schedules


def all_services(own: OwnAws) -> Sequence[Service]:
    """Everything from jobs to schedules, ready to be given to a Gateway.

    Later ones use earlier ones: they are closed in the opposite order.
    """
    images = Images(own)
    bus = EventBus(own)
    return [
        Jobs(own, images),
        Endpoints(own, images),
        PipelineExecutions(own, bus=bus),
        CloudFormation(own),
        Repositories(own, bus),
        Builds(own, bus),
        CodePipelines(own, bus),
        Events(own, bus),
        Schedules(own),
    ]
