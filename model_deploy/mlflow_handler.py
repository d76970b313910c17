"""The registry: one version of a registered model, found, fetched, packaged, moved.

resolve()          "latest" -> "7"
fetch(folder)      the model's files
package(folder)    model.tar.gz of them
record_archive()   that archive's digest, on the version
move_stage(stage)  the stage, its alias, and the version that it replaces
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deploy import mlflow_login
from model_deploy.errors import AwsError
from model_deploy.model_archive import ModelArchive, write_archive
from model_deploy.registry import moves, stage_move, versions
from model_deploy.registry.connection import Connection, without_credentials
from model_deploy.registry.evidence import Evidence, tags_of_archive
from model_deploy.registry.lease import Times
from model_deploy.registry.moves import ALIAS_OF_STAGE, ARCHIVED, PRODUCTION, STAGING

__all__ = [
    "ALIAS_OF_STAGE",
    "ARCHIVED",
    "PRODUCTION",
    "STAGING",
    "Evidence",
    "MLflowHandler",
    "VersionState",
    "log_in",
    "without_credentials",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VersionState:
    """What the registry says of a version: its number, stage and aliases (sorted)."""

    name: str
    version: str
    stage: str
    aliases: tuple[str, ...]
    run_id: str


class MLflowHandler:
    """One version of one registered model.

    `model_version` is a number, `latest` (the highest number), or an alias (`@challenger` or
    `challenger`). Both the tracking and the registry URI are `tracking_uri`; nothing global is set,
    unless it is the ARN of SageMaker's managed MLflow, whose plugin reads only the global one.
    `client` is an MlflowClient of that URI, for those who have one; `times` how patient a move is.
    Every method raises `ModelNotFound` or `MLflowError`, and swallows nothing.
    """

    def __init__(
        self,
        tracking_uri: str,
        model_name: str,
        model_version: str,
        client: Any = None,
        times: Times | None = None,
    ) -> None:
        self.tracking_uri = tracking_uri
        self.model_name = model_name
        self.requested_version = model_version
        self._version: str | None = None
        self._connection = Connection(tracking_uri, client)
        self._times = times

    def resolve(self) -> str:
        """The exact version number, looked up once."""
        if self._version is None:
            requested = self.requested_version.strip() or "latest"
            self._version = versions.find_version(self._connection, self.model_name, requested)
            logger.info("%s %s is version %s", self.model_name, requested, self._version)
        return self._version

    def state(self) -> VersionState:
        """Stage and aliases as the registry has them now."""
        version = self.resolve()
        found = self._connection.ask("get_model_version", self.model_name, version)
        return VersionState(
            name=self.model_name,
            version=version,
            stage=found.current_stage,
            aliases=tuple(sorted(found.aliases)),
            run_id=found.run_id or "",
        )

    def fetch(self, to_folder: Path) -> Path:
        """The folder (within `to_folder`) that holds the version's files, MLmodel among them."""
        return self._download("", to_folder)

    def fetch_file(self, path: str, to_folder: Path) -> Path:
        """One file of the model, such as `MLmodel`; `MLflowError` when it is not there."""
        return self._download(f"/{path}", to_folder)

    def fetch_run_file(self, path: str, to_folder: Path) -> Path | None:
        """One artifact of the version's run; None when the run (if any) has none of that name."""
        run_id = self.state().run_id
        if not run_id:
            return None
        folder = path.rpartition("/")[0] or None
        listed = self._connection.ask("list_artifacts", run_id, folder)
        if path not in {artifact.path for artifact in listed if not artifact.is_dir}:
            return None
        to_folder.mkdir(parents=True, exist_ok=True)
        return Path(self._connection.ask("download_artifacts", run_id, path, str(to_folder)))

    def run_metrics(self) -> dict[str, float]:
        """The last value of each metric of the version's run; empty when it has no run."""
        run_id = self.state().run_id
        if not run_id:
            return {}
        return dict(self._connection.ask("get_run", run_id).data.metrics)

    def package(self, model_folder: Path, archive_path: Path) -> ModelArchive:
        """`model.tar.gz` of a fetched model, with its digest."""
        return write_archive(model_folder, archive_path)

    def record_archive(self, sha256: str, uri: str) -> None:
        """Let the version's tags name an archive that was built of it, beside the earlier ones."""
        version = versions.get_version(self._connection, self.model_name, self.resolve())
        for key, value in tags_of_archive(version.tags, sha256, uri).items():
            self._connection.ask(
                "set_model_version_tag", self.model_name, version.number, key, value
            )

    def require_unclaimed(self, endpoint_arns: Mapping[str, str]) -> None:
        """ClaimedElsewhere if a stage of the model speaks of another endpoint than this project's.

        `endpoint_arns` has the ARN that each stage's endpoint has or will have. Ask before anything
        is deployed: a move asks again. MLflowError if this user may not take the lock of a move.
        """
        for stage, arn in endpoint_arns.items():
            moves.require_stage(stage)
            view = versions.read_view(self._connection, self.model_name, stage, arn)
            moves.require_unclaimed(view, self.model_name, arn)
        times = self._times or Times.of_environment()
        stage_move.require_right_to_lock(self._connection, self.model_name, times)

    def move_stage(
        self,
        stage: str,
        evidence: Evidence | None = None,
        still_serves: Callable[[], bool] | None = None,
    ) -> VersionState:
        """Claim `stage` ("Staging" or "Production") for the version; the state that results.

        Call it when the stage's endpoint was seen to serve this version: stage and alias then say
        what is true. Whatever held the stage is Archived and loses its alias; nothing else moves.
        A version in Production that is deployed to staging again stays Production and champion
        (docs/decisions/0020); the version that was in Staging is archived, as the staging endpoint
        serves it no longer. A version that leaves Production and was the last to pass on its
        staging endpoint is Staging and challenger again. A version of another model that claimed
        the stage on the same endpoint is Archived too. A holder that has evidence of another
        endpoint is left alone: ClaimedElsewhere.

        One call at a time writes for a model and an endpoint (registry/lease.py), reads back what
        it wrote, and tries for minutes while MLflow is unwell; what it can't make true is
        Unsettled. Repeating a call adds nothing, and finishes one that was cut short. With
        `still_serves` it asks, when it is its turn, whether the endpoint serves this version.
        """
        moves.require_stage(stage)
        times = self._times or Times.of_environment()
        what = f"move of {self.model_name!r} to {stage}"
        move = stage_move.Move(
            name=self.model_name,
            version=stage_move.persist(what, times, self.resolve),
            stage=stage,
            evidence=evidence or Evidence(),
            still_serves=still_serves,
        )
        stage_move.claim_stage(self._connection, move, times)
        return stage_move.persist(what, times, self.state)

    def _download(self, path: str, to_folder: Path) -> Path:
        import mlflow.artifacts

        version = self.resolve()
        # `models:/` URIs would be looked up at MLflow's global URIs; the storage's own are not.
        uri = self._connection.ask("get_model_version_download_uri", self.model_name, version)
        to_folder.mkdir(parents=True, exist_ok=True)
        what = f"download {uri}{path}"
        with self._connection.waiting_told(what), self._connection.refusals_named(what):
            return Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{uri}{path}",
                    dst_path=str(to_folder),
                    tracking_uri=self.tracking_uri,
                    registry_uri=self.tracking_uri,
                )
            )


def log_in(tracking_uri: str, secret_arn: str) -> None:
    """Let this process's handlers log in with the secret's user; AwsError if that can't be read."""
    # MLflow's thread changes the environment while requests read it, which fails now and then.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        mlflow_login.log_in(tracking_uri, secret_arn, os.environ)
    except mlflow_login.LoginError as err:
        raise AwsError(str(err)) from err
