"""The registry: one version of a registered model, found, fetched, packaged, moved.

resolve()          "latest" -> "7"
fetch(folder)      the model's files
package(folder)    model.tar.gz of them
move_stage(stage)  the stage, its alias, and the version that it replaces
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from model_deploy import mlflow_login
from model_deploy.errors import AwsError, InputError, MLflowError, ModelNotFound
from model_deploy.model_archive import ModelArchive, write_archive

logger = logging.getLogger(__name__)

STAGING = "Staging"
PRODUCTION = "Production"
ARCHIVED = "Archived"
ALIAS_OF_STAGE: Mapping[str, str] = {STAGING: "challenger", PRODUCTION: "champion"}

_CONNECT_ATTEMPTS = 3
_CONNECT_TIMEOUT_SECONDS = 5.0
_CONNECT_PAUSE_SECONDS = 0.5
_LISTED_AT_MOST = 20


@dataclass(frozen=True, kw_only=True)
class VersionState:
    """What the registry says of a version: its number, stage and aliases (sorted)."""

    name: str
    version: str
    stage: str
    aliases: tuple[str, ...]
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Why a version may move: the endpoint that passed its check, in which execution, by whom.

    The endpoint is named by its ARN, which no other account or region has. Unknown parts are empty
    strings.
    """

    endpoint_arn: str = ""
    pipeline_execution_id: str = ""
    deployed_by: str = ""
    approved_by: str = ""
    approved_at: str = ""
    approval_comment: str = ""
    commit: str = ""
    archive_sha256: str = ""
    image: str = ""
    test_summary: str = ""


class MLflowHandler:
    """One version of one registered model.

    `model_version` is a number, `latest` (the highest number), or an alias (`@challenger` or
    `challenger`). Both the tracking and the registry URI are `tracking_uri`; nothing global is set,
    unless it is the ARN of SageMaker's managed MLflow, whose plugin reads only the global one.
    `client` is an MlflowClient of that URI, for those who have one.
    Every method raises `ModelNotFound` or `MLflowError`, and swallows nothing.
    """

    def __init__(
        self, tracking_uri: str, model_name: str, model_version: str, client: Any = None
    ) -> None:
        self.tracking_uri = tracking_uri
        self.model_name = model_name
        self.requested_version = model_version
        self._version: str | None = None
        self._known_client: Any = client

    @property
    def shown_uri(self) -> str:
        """The tracking URI without credentials, for messages and tags."""
        return without_credentials(self.tracking_uri)

    def resolve(self) -> str:
        """The exact version number, looked up once."""
        if self._version is None:
            self._version = self._find_version()
            logger.info("%s %s is version %s", self.model_name, self._requested(), self._version)
        return self._version

    def state(self) -> VersionState:
        """Stage and aliases as the registry has them now."""
        version = self.resolve()
        found = self._ask("get_model_version", self.model_name, version)
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
        listed = self._ask("list_artifacts", run_id, folder)
        if path not in {artifact.path for artifact in listed if not artifact.is_dir}:
            return None
        to_folder.mkdir(parents=True, exist_ok=True)
        return Path(self._ask("download_artifacts", run_id, path, str(to_folder)))

    def run_metrics(self) -> dict[str, float]:
        """The last value of each metric of the version's run; empty when it has no run."""
        run_id = self.state().run_id
        if not run_id:
            return {}
        return dict(self._ask("get_run", run_id).data.metrics)

    def package(self, model_folder: Path, archive_path: Path) -> ModelArchive:
        """`model.tar.gz` of a fetched model, with its digest."""
        return write_archive(model_folder, archive_path)

    def move_stage(self, stage: str, evidence: Evidence | None = None) -> VersionState:
        """Claim `stage` ("Staging" or "Production") for the version; the state that results.

        Call it when the stage's endpoint was seen to serve this version: stage and alias then say
        what is true. Whatever held the stage is Archived and loses its alias; nothing else moves.
        A version in Production that is deployed to staging again stays Production and champion
        (docs/decisions/0020); the version that was in Staging is archived, as the staging endpoint
        serves it no longer. A version of another model that claimed the stage on the same endpoint
        is Archived too.

        Repeating a call changes nothing, and finishes one that was cut short: the evidence is
        written first, then the stage (the old one's archiving and the claim are one transaction in
        MLflow), then the alias.
        """
        if stage not in ALIAS_OF_STAGE:
            raise InputError(f"no stage {stage!r} to move to; stages are {STAGING}, {PRODUCTION}.")
        before = self.state()
        replaced = [v for v in self._versions_in(stage) if v != before.version]
        stays_production = stage == STAGING and before.stage == PRODUCTION
        moves = before.stage != stage and not stays_production
        evidence = evidence or Evidence()
        self._archive_other_models(stage, evidence.endpoint_arn)
        self._record(stage, evidence, always=moves)
        for version in replaced:
            self._tag(self.model_name, version, {"deploy.replaced_by": before.version})
        if stays_production:
            for version in replaced:
                self._transition(self.model_name, version, ARCHIVED)
            logger.info("version %s of %s stays %s", before.version, self.model_name, PRODUCTION)
        elif moves or replaced:
            self._transition(self.model_name, before.version, stage, archive_existing=True)
        self._settle_aliases(stage)
        after = self.state()
        logger.info(
            "version %s of %s: %s -> %s, aliases: %s; archived: %s",
            after.version,
            after.name,
            before.stage,
            after.stage,
            ", ".join(after.aliases) or "none",
            ", ".join(replaced) or "none",
        )
        return after

    def _archive_other_models(self, stage: str, endpoint_arn: str) -> None:
        """No version of another model claims the stage on an endpoint that serves this one now."""
        if not endpoint_arn:
            return
        query = f"tags.`deploy.{stage.lower()}_endpoint` = '{endpoint_arn}'"
        for found in self._search(query):
            if found.name == self.model_name or found.current_stage != stage:
                continue
            version = str(found.version)
            replaced_by = f"{self.model_name}/{self.resolve()}"
            self._tag(found.name, version, {"deploy.replaced_by": replaced_by})
            self._transition(found.name, version, ARCHIVED)
            logger.info("version %s of %s: archived, no longer served", version, found.name)
            model = self._ask("get_registered_model", found.name)
            if str(model.aliases.get(ALIAS_OF_STAGE[stage])) == version:
                self._ask("delete_registered_model_alias", found.name, ALIAS_OF_STAGE[stage])

    def _settle_aliases(self, stage: str) -> None:
        """The claimed stage's alias points here; no alias of a stage lies about another version."""
        current = self.state()
        alias = ALIAS_OF_STAGE[stage]
        if current.stage == stage and alias not in current.aliases:
            self._ask("set_registered_model_alias", self.model_name, alias, current.version)
        holders = self._aliases()
        archived = self._versions_in(ARCHIVED)
        for stage_of_alias, stage_alias in ALIAS_OF_STAGE.items():
            holder = holders.get(stage_alias)
            left = holder == current.version and current.stage != stage_of_alias
            if left or holder in archived:
                self._delete_alias(stage_alias)

    def _delete_alias(self, alias: str) -> None:
        self._ask("delete_registered_model_alias", self.model_name, alias)

    def _transition(
        self, name: str, version: str, stage: str, archive_existing: bool = False
    ) -> None:
        # MLflow deprecates stages (2.9) in favour of aliases; we write both, knowingly.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._ask(
                "transition_model_version_stage",
                name,
                version,
                stage,
                archive_existing_versions=archive_existing,
            )

    def _record(self, stage: str, evidence: Evidence, *, always: bool) -> None:
        """Version tags that say when, on what evidence and by whom; kept when nothing is new."""
        prefix = f"deploy.{stage.lower()}"
        said = {
            f"{prefix}_endpoint": evidence.endpoint_arn,
            f"{prefix}_pipeline_execution_id": evidence.pipeline_execution_id,
            f"{prefix}_by": evidence.deployed_by,
        }
        known = self._tags()
        same = all(known.get(key, "") == value for key, value in said.items())
        if same and f"{prefix}_at" in known and not always:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told = {key: value for key, value in said.items() if value or key in known}
        self._tag(self.model_name, self.resolve(), {**told, f"{prefix}_at": now})
        if "deploy.replaced_by" in known:
            self._ask(
                "delete_model_version_tag", self.model_name, self.resolve(), "deploy.replaced_by"
            )

    def _tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._ask("set_model_version_tag", name, version, key, value)

    def _tags(self) -> dict[str, str]:
        version = self.resolve()
        found = self._ask("get_model_version", self.model_name, version)
        return dict(found.tags)

    def _aliases(self) -> dict[str, str]:
        model = self._ask("get_registered_model", self.model_name)
        return {alias: str(version) for alias, version in model.aliases.items()}

    def _versions_in(self, stage: str) -> list[str]:
        return [str(v.version) for v in self._versions() if v.current_stage == stage]

    def _versions(self) -> list[Any]:
        quote = '"' if "'" in self.model_name else "'"
        found = self._search(f"name={quote}{self.model_name}{quote}")
        return sorted(found, key=lambda version: int(version.version))

    def _search(self, query: str) -> list[Any]:
        found: list[Any] = []
        token: str | None = None
        while True:
            page = self._ask("search_model_versions", query, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _find_version(self) -> str:
        requested = self._requested()
        self._require_model()
        versions = self._versions()
        numbers = [str(version.version) for version in versions]
        if not versions:
            raise ModelNotFound(
                f"model {self.model_name!r} at {self.shown_uri} has no version. Register one first."
            )
        if requested == "latest":
            wanted = numbers[-1]
        elif requested.isdigit():
            wanted = str(int(requested))
        else:
            wanted = self._version_of_alias(requested.removeprefix("@"), numbers)
        if wanted not in numbers:
            raise ModelNotFound(
                f"no version {wanted} of {self.model_name!r} at {self.shown_uri}; "
                f"versions there: {_some(numbers)}. Pass --model-version."
            )
        status = str(versions[numbers.index(wanted)].status)
        if status != "READY":
            raise ModelNotFound(
                f"version {wanted} of {self.model_name!r} at {self.shown_uri} is {status}, "
                "not READY. Wait until it is registered, or register it again."
            )
        return wanted

    def _version_of_alias(self, alias: str, numbers: list[str]) -> str:
        aliases = self._aliases()
        # MLflow compares aliases without case in some stores and with it in others.
        for known, version in aliases.items():
            if known.lower() == alias.lower():
                return version
        listed = ", ".join(f"{known} (version {aliases[known]})" for known in sorted(aliases))
        raise ModelNotFound(
            f"no alias {alias!r} of {self.model_name!r} at {self.shown_uri}; "
            f"aliases there: {listed or 'none'}; versions: {_some(numbers)}. "
            "Pass --model-version with one of these, or 'latest'."
        )

    def _require_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(self.model_name)
        except MlflowException as err:
            if err.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise self._refused(err) from err
            models = self._ask("search_registered_models")
            names = sorted(model.name for model in models)
            raise ModelNotFound(
                f"no registered model {self.model_name!r} at {self.shown_uri}; "
                f"models there: {_some([repr(name) for name in names])}. Pass --model-name."
            ) from err

    def _requested(self) -> str:
        return self.requested_version.strip() or "latest"

    def _download(self, path: str, to_folder: Path) -> Path:
        import mlflow.artifacts

        version = self.resolve()
        # `models:/` URIs would be looked up at MLflow's global URIs; the storage's own are not.
        uri = self._ask("get_model_version_download_uri", self.model_name, version)
        to_folder.mkdir(parents=True, exist_ok=True)
        with self._refusals_named(f"download {uri}{path}"):
            return Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=f"{uri}{path}",
                    dst_path=str(to_folder),
                    tracking_uri=self.tracking_uri,
                    registry_uri=self.tracking_uri,
                )
            )

    @property
    def _client(self) -> Any:
        if self._known_client is None:
            self._require_reachable()
            with self._refusals_named("open"):
                import mlflow
                from mlflow import MlflowClient

                if self.tracking_uri.startswith("arn:"):
                    # SageMaker's plugin signs requests for MLflow's global URI, whatever the
                    # client's own is.
                    mlflow.set_tracking_uri(self.tracking_uri)
                self._known_client = MlflowClient(
                    tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri
                )
        return self._known_client

    def _require_reachable(self) -> None:
        """An MLflow that is not there is an error within seconds.

        MLflow's own client would retry a refused connection for about four minutes.
        """
        scheme = urlsplit(self.tracking_uri).scheme
        if scheme in ("http", "https"):
            self._require_server()
        elif scheme == "sqlite":
            database = Path(self.tracking_uri.removeprefix("sqlite:///"))
            if not database.is_file():
                raise MLflowError(
                    f"no MLflow at {self.shown_uri}: there is no file {database}. "
                    "Check MLFLOW_TRACKING_URI or --tracking-uri."
                )

    def _require_server(self) -> None:
        import requests

        url = f"{self.tracking_uri.rstrip('/')}/health"
        reason = ""
        for attempt in range(_CONNECT_ATTEMPTS):
            if attempt:
                time.sleep(_CONNECT_PAUSE_SECONDS)
            try:
                status = requests.get(url, timeout=_CONNECT_TIMEOUT_SECONDS).status_code
            except requests.exceptions.SSLError:
                return  # MLflow has settings of its own for certificates; let it decide.
            except requests.exceptions.RequestException as err:
                reason = _root_cause(err)
                continue
            if status not in (502, 503, 504):
                return
            reason = f"it answers HTTP {status}"
        raise MLflowError(
            f"MLflow at {self.shown_uri} can not be reached: {reason}. "
            "Check that it runs, and MLFLOW_TRACKING_URI or --tracking-uri."
        )

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """The client's answer to one of its methods, or an MLflowError that names the URI."""
        client = self._client
        with self._refusals_named("answer"):
            return getattr(client, method)(*arguments, **options)

    @contextmanager
    def _refusals_named(self, what: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as err:
            raise self._refused(err, what) from err
        except OSError as err:
            raise MLflowError(f"MLflow at {self.shown_uri} could not {what}: {err}") from err

    def _refused(self, err: Exception, what: str = "answer") -> MLflowError:
        login = mlflow_login.explain_refused_login(err, os.environ)
        return MLflowError(f"MLflow at {self.shown_uri} {login or f'could not {what}: {err}'}")


def log_in(tracking_uri: str, secret_arn: str) -> None:
    """Let this process's handlers log in with the secret's user; AwsError if that can't be read."""
    # MLflow's thread changes the environment while requests read it, which fails now and then.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        mlflow_login.log_in(tracking_uri, secret_arn, os.environ)
    except mlflow_login.LoginError as err:
        raise AwsError(str(err)) from err


def without_credentials(uri: str) -> str:
    """The URI without user, password and query, fit for logs and tags."""
    parts = urlsplit(uri)
    if not parts.netloc:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _some(names: list[str]) -> str:
    if len(names) <= _LISTED_AT_MOST:
        return ", ".join(names) or "none"
    return f"{', '.join(names[-_LISTED_AT_MOST:])} and {len(names) - _LISTED_AT_MOST} more"


def _root_cause(err: BaseException) -> str:
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(err).__name__
