"""SageMaker endpoints, served: each is one model server process on this machine.

    CreateEndpoint  Creating ──▶ InService                    (or Failed, with the cause)
    UpdateEndpoint  Updating ──▶ the new one answers, traffic moves to it, alarms are watched
                             ├─▶ InService, the new one serves and the old one is ended
                             └─▶ RollingBack ──▶ InService, the old one serves, FailureReason
    DeleteEndpoint  Deleting ──▶ gone

An endpoint whose server dies gets a new one; if that one can't start, the endpoint is Failed.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.aws_protocol import Call, RawResponse
from local_aws.containers.images import Images
from local_aws.errors import AwsError
from local_aws.gateway import Handler
from local_aws.left_out import left_out, remark
from local_aws.own_aws import OwnAws
from local_aws.pagination import page_of
from local_aws.sagemaker.endpoints.alarms import AlarmWatch
from local_aws.sagemaker.endpoints.data_capture import DataCapture
from local_aws.sagemaker.endpoints.definitions import endpoint_configs, models, refuse
from local_aws.sagemaker.endpoints.endpoint import Endpoint
from local_aws.sagemaker.endpoints.invocation import check_invocation, invoke
from local_aws.sagemaker.endpoints.scaling import deregister, require_unscaled
from local_aws.sagemaker.endpoints.serving import (
    INVOCATION_TIMEOUT_SECONDS,
    Serving,
    ServingCancelled,
    ServingError,
    Variant,
)
from local_aws.sagemaker.endpoints.tags import drop_tags, keep_tags
from local_aws.sagemaker.endpoints.traffic_shifting import TrafficShift
from local_aws.workers import only_logged, start_worker

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 0.2
_FINISH_SECONDS = 0.02
_CLOSE_SECONDS = 10.0
_SORT_KEYS = {"Name": "EndpointName", "CreationTime": "CreationTime", "Status": "EndpointStatus"}


class Endpoints:
    """The service: models, endpoint configurations, endpoints, and their invocation.

    `clock` gives seconds that only grow; a deployment's waits are measured by it.
    """

    kept = ("_models._kept", "_configs._kept", "endpoints")

    def __init__(
        self, own: OwnAws, images: Images, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own = own
        self._clock = clock
        self._images = images
        self._models = models(own, images)
        self._configs = endpoint_configs(own, self._models)
        self._endpoints: dict[str, Endpoint] = {}
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._told: set[tuple[str, str]] = set()

    def operations(self) -> Mapping[tuple[str, str], Handler]:
        """What the gateway hands to this service."""
        sagemaker: dict[str, Handler] = {
            **self._models.handlers(),
            **self._configs.handlers(),
            "CreateEndpoint": self.create_endpoint,
            "UpdateEndpoint": self.update_endpoint,
            "DescribeEndpoint": self.describe_endpoint,
            "ListEndpoints": self.list_endpoints,
            "DeleteEndpoint": self.delete_endpoint,
        }
        return {
            **{("sagemaker", name): handler for name, handler in sagemaker.items()},
            ("sagemaker-runtime", "InvokeEndpoint"): self.invoke_endpoint,
        }

    def close(self) -> None:
        """End every model server."""
        self._closing.set()
        with self._lock:
            endpoints = list(self._endpoints.values())
            servings = [s for e in endpoints for s in (e.pending, e.serving) if s is not None]
            captures = [
                c for e in endpoints for c in (e.pending_capture, e.capture) if c is not None
            ]
        stopping = [start_worker("stop a server", s.stop, only_logged) for s in servings]
        for thread in (*stopping, *self._threads):
            thread.join(_CLOSE_SECONDS)
        for capture in captures:
            capture.close()

    @property
    def endpoints(self) -> Any:
        """What each served last, to be kept."""
        with self._lock:
            return [one.kept() for one in self._endpoints.values() if one.status != "Deleting"]

    @endpoints.setter
    def endpoints(self, kept: Any) -> None:
        self._endpoints = {one["name"]: Endpoint(**one) for one in kept}

    def resume(self) -> list[str]:
        """Let the endpoints serve again: Creating, then InService or Failed, as at first."""
        told = []
        for endpoint in self._endpoints.values():
            if endpoint.status == "Failed":
                continue
            try:
                serving = self._new_serving(endpoint.name, endpoint.config_name)
            except AwsError as err:  # what it needs is gone: deleted while it served
                endpoint.enter("Failed", f"It could not be brought back: {err.message}")
                told.append(f"endpoint {endpoint.name} could not be brought back: {err.message}")
                continue
            endpoint.pending = serving
            endpoint.status = "Creating"
            self._start_thread(
                endpoint,
                functools.partial(self._serve_again, endpoint, serving),
                functools.partial(self._break_off, endpoint, serving),
            )
        starting = [e.name for e in self._endpoints.values() if e.status == "Creating"]
        if starting:
            told.append(f"endpoints start again: {', '.join(starting)}")
        return told

    def create_endpoint(self, call: Call) -> Mapping[str, Any]:
        """Start to serve the configuration's model."""
        params = call.params
        name = params["EndpointName"]
        arn = self._arn(name)
        with self._lock:
            if name in self._endpoints:
                raise AwsError(
                    "ValidationException", f'Cannot create already existing endpoint "{arn}".'
                )
            serving = self._new_serving(name, params["EndpointConfigName"])
            shift = TrafficShift.of(params.get("DeploymentConfig"), serving.variant.definition)
            AlarmWatch(self._own, shift.alarms, [serving]).require_known()
            endpoint = Endpoint(name, arn, params["EndpointConfigName"], "Creating")
            endpoint.pending, endpoint.deployment_config = serving, params.get("DeploymentConfig")
            self._endpoints[name] = endpoint
        keep_tags(self._own, arn, params.get("Tags", []))
        self._run(endpoint, serving, shift)
        return {"EndpointArn": arn}

    def update_endpoint(self, call: Call) -> Mapping[str, Any]:
        """Start the new configuration's model server beside the old one."""
        params = call.params
        refuse(params, "RetainDeploymentConfig")
        with self._lock:
            endpoint = self._find(params["EndpointName"])
            if endpoint.status not in ("InService", "Failed"):
                raise AwsError(
                    "ValidationException", f'Cannot update in-progress endpoint "{endpoint.arn}".'
                )
            if endpoint.serving is None:
                raise AwsError(
                    "ValidationException",
                    f'Cannot update endpoint "{endpoint.arn}" with status Failed. Delete it and '
                    "create it again.",
                )
            old = endpoint.serving.variant
            kept = _retained(params, old)
            serving = self._new_serving(endpoint.name, params["EndpointConfigName"], kept)
            self._require_compatible(endpoint, old, serving.variant)
            shift = TrafficShift.of(params.get("DeploymentConfig"), serving.variant.definition)
            AlarmWatch(self._own, shift.alarms, [serving]).require_known()
            endpoint.pending, endpoint.pending_since = serving, datetime.now(UTC)
            endpoint.deployment_config = params.get("DeploymentConfig")
            endpoint.enter("Updating")
        self._run(endpoint, serving, shift)
        return {"EndpointArn": endpoint.arn}

    def describe_endpoint(self, call: Call) -> Mapping[str, Any]:
        """Status, the configuration that serves, the reason of the last failure."""
        with self._lock:
            return self._find(call.params["EndpointName"]).description()

    def list_endpoints(self, call: Call) -> Mapping[str, Any]:
        """Summaries, the newest first unless asked otherwise."""
        params = call.params
        refuse(params, *(f"{what}Time{when}" for what in ("Creation", "LastModified")
                         for when in ("Before", "After")))  # fmt: skip
        with self._lock:
            found = [endpoint.description() for endpoint in self._endpoints.values()]
        found = [
            endpoint
            for endpoint in found
            if params.get("NameContains", "") in endpoint["EndpointName"]
            and params.get("StatusEquals") in (None, endpoint["EndpointStatus"])
        ]
        key = _SORT_KEYS[params.get("SortBy", "CreationTime")]
        descending = params.get("SortOrder", "Descending") == "Descending"
        found.sort(key=lambda endpoint: endpoint[key], reverse=descending)
        page, more = page_of(found, lambda endpoint: str(endpoint["EndpointName"]), params)
        return {"Endpoints": page, **more}

    def delete_endpoint(self, call: Call) -> None:
        """End the model server in the background; an endpoint that is being made is given up."""
        with self._lock:
            endpoint = self._find(call.params["EndpointName"])
            if endpoint.status == "Deleting":
                return
            endpoint.enter("Deleting")
        self._start_thread(
            endpoint, lambda: self._delete(endpoint), lambda cause: self._fail(endpoint, cause)
        )

    def invoke_endpoint(self, call: Call) -> RawResponse:
        """Hand the request to the model server that serves now."""
        name = call.params["EndpointName"]
        with self._lock:
            endpoint = self._endpoints.get(name)
            serving, capture = endpoint.receiver() if endpoint is not None else (None, None)
            if endpoint is None or serving is None or endpoint.status == "Deleting":
                raise AwsError(
                    "ValidationError",
                    f"Endpoint {name} of account {self._own.account} not found.",
                )
            if endpoint.status == "Failed":
                reason = endpoint.failure_reason
                raise AwsError("ValidationError", f"Endpoint {name} has failed: {reason}")
            # Under the lock that changes who serves: no server ends with this request on its way.
            serving.expect_request()
        try:
            check_invocation(call, serving)
            answer = invoke(self._own, call, serving)
            if capture is not None:
                capture.record(call, answer)
            return answer
        finally:
            serving.end_request()

    def _new_serving(
        self, endpoint_name: str, config_name: str, kept: Mapping[str, Any] | None = None
    ) -> Serving:
        """A server of the configuration; `kept` members of its variant win."""
        config = self._configs.find(config_name)
        variant = {**config["ProductionVariants"][0], **(kept or {})}
        model = self._models.find(variant["ModelName"])
        found = left_out({**config, "ProductionVariants": [variant]}, model)
        self._tell(endpoint_name, remark(found))
        return Serving(
            self._own,
            self._images,
            Variant(
                endpoint_name=endpoint_name,
                config_name=config_name,
                definition=variant,
                model=model,
                data_capture=config.get("DataCaptureConfig"),
                left_out=tuple(found),
            ),
        )

    def _tell(self, endpoint_name: str, text: str) -> None:
        """Once in local_aws's own output; the endpoint's log has it each time."""
        if text and (endpoint_name, text) not in self._told:
            self._told.add((endpoint_name, text))
            logger.warning("endpoint %s: %s", endpoint_name, text)

    def _require_compatible(self, endpoint: Endpoint, old: Variant, new: Variant) -> None:
        """What SageMaker's guide says that no update can change."""
        if old.name != new.name:
            raise AwsError(
                "ValidationException",
                f"The variant is {new.name}, but endpoint {endpoint.name} serves {old.name}",
            )
        if "ServerlessConfig" in new.definition and "ServerlessConfig" not in old.definition:
            raise AwsError(
                "ValidationException",
                f"Cannot update endpoint {endpoint.name} from instances to serverless. Delete it "
                "and create it again.",
            )
        if new.definition.get("InstanceType") != old.definition.get("InstanceType"):
            require_unscaled(self._own, endpoint.name, old.name)

    def _run(self, endpoint: Endpoint, serving: Serving, shift: TrafficShift) -> None:
        self._start_thread(
            endpoint,
            lambda: self._deploy(endpoint, serving, shift),
            lambda cause: self._break_off(endpoint, serving, cause),
        )

    def _serve_again(self, endpoint: Endpoint, serving: Serving) -> None:
        self._deploy(endpoint, serving, TrafficShift.of(None, serving.variant.definition))
        if endpoint.status == "Failed":
            logger.error(
                "endpoint %s could not be brought back: a registry may call its model served. %s",
                endpoint.name,
                endpoint.failure_reason,
            )

    def _deploy(self, endpoint: Endpoint, serving: Serving, shift: TrafficShift) -> None:
        """Let `serving` take over step by step; otherwise leave things as they were."""
        try:
            serving.start(lambda reason: self._died(endpoint, serving, reason))
        except ServingCancelled:
            serving.stop()
            return
        except ServingError as err:
            self._give_up(endpoint, serving, str(err))
            return
        with self._lock:
            endpoint.pending_capture = DataCapture.of(self._own, serving.variant)
            old = endpoint.serving
        if old is not None and not old.gave_up:
            reason = self._shift(endpoint, old, serving, shift)
            if reason is not None:
                self._give_up(endpoint, serving, reason)
                return
        with self._lock:
            if endpoint.status == "Deleting" or self._closing.is_set():
                return
            replaced, endpoint.serving, endpoint.pending = endpoint.serving, serving, None
            old_capture, endpoint.capture = endpoint.capture, endpoint.pending_capture
            endpoint.pending_capture, endpoint.share = None, 0.0
            endpoint.config_name = serving.variant.config_name
        if replaced is not None:
            self._let_finish(replaced)
            replaced.stop()
        if old_capture is not None:
            old_capture.close()
        with self._lock:
            if endpoint.status == "Deleting":
                return
            if serving.gave_up:  # it died before it served
                endpoint.enter("Failed", serving.failure)
            else:
                endpoint.enter("InService")

    def _shift(
        self, endpoint: Endpoint, old: Serving, new: Serving, shift: TrafficShift
    ) -> str | None:
        """Move the traffic, and wait at each step; the reason to move it back, None for none."""
        watch = AlarmWatch(self._own, shift.alarms, [old, new])
        for step in shift.steps:
            with self._lock:
                endpoint.share = step.share
                until = self._clock() + step.bake_seconds
            while (left := until - self._clock()) > 0:
                if endpoint.status == "Deleting" or self._closing.wait(min(_WATCH_SECONDS, left)):
                    return None
                if new.gave_up:
                    return f"the new model server ended with {step.share:.0%} of the traffic"
                try:
                    tripped = watch.tripped()
                except (ClientError, BotoCoreError) as err:
                    tripped = f"the alarms could not be looked at: {err}"
                if tripped is not None:
                    return (
                        f"Rolled back with {step.share:.0%} of the traffic on "
                        f"{new.variant.config_name}: {tripped}"
                    )
        return None

    def _give_up(self, endpoint: Endpoint, serving: Serving, reason: str) -> None:
        """End a server that didn't come up or was not good enough; the one before it goes on."""
        with self._lock:
            old, capture = endpoint.serving, endpoint.pending_capture
            endpoint.share, endpoint.pending_capture = 0.0, None
            if old is not None and endpoint.status == "Updating":
                endpoint.enter("RollingBack", reason)
        try:
            self._let_finish(serving)
            serving.stop()
            if capture is not None:
                capture.close()
        finally:
            with self._lock:
                if endpoint.status != "Deleting":
                    endpoint.pending = None
                    serves = old is not None and not old.gave_up
                    endpoint.enter("InService" if serves else "Failed", reason)

    def _break_off(self, endpoint: Endpoint, serving: Serving, cause: str) -> None:
        """A deployment met a fault of local_aws: as one that failed, unless it has taken over."""
        if endpoint.serving is serving:
            if endpoint.status != "Deleting":
                self._fail(endpoint, cause)
        else:
            self._give_up(endpoint, serving, cause)

    def _fail(self, endpoint: Endpoint, cause: str) -> None:
        with self._lock:
            endpoint.enter("Failed", cause)

    def _let_finish(self, serving: Serving) -> None:
        """Wait until a server that gets no more requests has answered those that it has."""
        until = time.monotonic() + INVOCATION_TIMEOUT_SECONDS
        while serving.busy and time.monotonic() < until:
            if self._closing.wait(_FINISH_SECONDS):
                return

    def _died(self, endpoint: Endpoint, serving: Serving, reason: str) -> None:
        with self._lock:
            if endpoint.serving is serving and endpoint.status == "InService":
                endpoint.enter("Failed", reason)

    def _delete(self, endpoint: Endpoint) -> None:
        with self._lock:
            servings = [s for s in (endpoint.pending, endpoint.serving) if s is not None]
            captures = [c for c in (endpoint.pending_capture, endpoint.capture) if c is not None]
        for serving in servings:
            serving.stop()
        for capture in captures:
            capture.close()
        try:
            deregister(self._own, endpoint.name)
        except (ClientError, BotoCoreError) as err:  # what is left of it scales nothing
            logger.warning("endpoint %s: its scaling stays registered: %s", endpoint.name, err)
        drop_tags(self._own, endpoint.arn)
        with self._lock:
            del self._endpoints[endpoint.name]

    def _start_thread(
        self, endpoint: Endpoint, work: Callable[[], None], on_failure: Callable[[str], None]
    ) -> None:
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(start_worker(f"endpoint {endpoint.name}", work, on_failure))

    def _find(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise AwsError("ValidationException", f'Could not find endpoint "{self._arn(name)}".')
        return endpoint

    def _arn(self, name: str) -> str:
        # As AWS does, whatever the name's letters.
        return self._own.arn("sagemaker", f"endpoint/{name.lower()}")


def _retained(params: Mapping[str, Any], old: Variant) -> dict[str, Any]:
    """What RetainAllVariantProperties keeps of the variant: how many instances there are."""
    excluded = {
        item["VariantPropertyType"] for item in params.get("ExcludeRetainedVariantProperties", [])
    }
    count = old.definition.get("InitialInstanceCount")
    if not params.get("RetainAllVariantProperties") or "DesiredInstanceCount" in excluded:
        return {}
    return {} if count is None else {"InitialInstanceCount": count}
