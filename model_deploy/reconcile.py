"""CLI: what each stage's endpoint serves, beside what the registry says; --apply settles it.

    DescribeEndpoint -> config -> model -> ModelDataUrl -> SHA-256 ─┐
    stage, alias and evidence of the registry's versions ───────────┴─▶ same, or a difference

The truth is: a stage says which version its endpoint serves *and* has passed there. So

    the endpoint serves    the version with evidence of this endpoint and this archive has the stage
                           and the alias; whoever had them is archived
    ... something that     nobody has the stage: who claims it by evidence of this endpoint is
    never passed there     archived. Nothing is promoted that no test passed
    there is no endpoint   the same
    it is being updated,   nothing is changed: what it will serve is not decided yet
    or two models serve

A test that passed and could not tell MLflow left its evidence in its results: with
--import-test-results the version that it tested is proven by them. Only what it tested is settled
then: where the endpoint serves something else by now, a later deployment does that itself.

A proven version has its stage and alias alone: --apply archives whoever else of its model has the
stage, also by hand, and moves the alias. Where nothing is proven, a holder without evidence, and an
alias on a version that has not its stage (set by hand, or older than evidence), are left to people:
"different" with and without --apply, and what to do is said.

Run it after a test or a rollback, or at any time: it takes the same lease as a move, for which its
user needs the right to create and delete experiments in MLflow, and asks the endpoint again when it
has it. While a test runs, its endpoint serves what has not passed yet: applied then, the stage is
empty until the test ends, and true.

Exit codes: 0 the same, settled by --apply, or superseded, 1 different and not applied, or left to
people, 2 wrong input, 3 AWS or MLflow refused, 4 could not be settled, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_deploy.command_line import set_up_process
from model_deploy.errors import AwsError, ConfigError, DeployError, Unsettled
from model_deploy.mlflow_login import find_problem, read_secret_arn
from model_deploy.model_name import decode

if TYPE_CHECKING:
    from model_deploy.registry.connection import Connection
    from model_deploy.registry.evidence import Evidence
    from model_deploy.registry.lease import Times
    from model_deploy.registry.moves import Version, View

# By name, as `python -m` calls this module __main__.
logger = logging.getLogger("model_deploy.reconcile")

_STAGE_OF_NAME = {"staging": "Staging", "prod": "Production"}
_DIGEST = re.compile(r"/([0-9a-f]{64})/[^/]+$")
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/.+")
SAME = "same"
DIFFERENT = "different"
SETTLED = "settled"
UNDECIDED = "undecided"
SUPERSEDED = "superseded"


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stage of a project, as its exported configuration names it."""

    stage: str
    endpoint_name: str
    model_name: str
    role_arn: str
    tracking_uri: str

    @classmethod
    def from_json(cls, path: Path) -> StageConfig:
        """Raises ConfigError with all that it lacks."""
        from model_deploy.stage_config import ExportedConfig

        config = ExportedConfig.from_json(path)
        problems = [
            f"Parameters.{name} is missing; is it the file that model_deploy.build wrote?"
            for name in ("SageMakerProjectName", "StageName", "ModelExecutionRoleArn")
            if not config.parameters.get(name)
        ]
        stage_name = config.parameters.get("StageName", "")
        if stage_name and stage_name not in _STAGE_OF_NAME:
            problems.append(f"Parameters.StageName is {stage_name!r}, not staging or prod")
        role = config.parameters.get("ModelExecutionRoleArn", "")
        if role and not _ROLE_ARN.fullmatch(role):
            problems.append(
                f"Parameters.ModelExecutionRoleArn is {role!r}, not the ARN of a role; the account "
                "of an endpoint that is missing is read from it"
            )
        if problems:
            raise ConfigError(str(path), problems)
        return cls(
            stage=_STAGE_OF_NAME[stage_name],
            endpoint_name=f"{config.parameters['SageMakerProjectName']}-{stage_name}",
            model_name=_decoded(config.tags.get("mlflow:model-name", ""), path),
            role_arn=config.parameters["ModelExecutionRoleArn"],
            tracking_uri=config.tags.get("mlflow:tracking-uri", ""),
        )


def _decoded(tag: str, path: Path) -> str:
    try:
        return decode(tag)
    except ValueError as err:
        raise ConfigError(str(path), [f"Tags.mlflow:model-name: {err}"]) from err


@dataclass(frozen=True, kw_only=True)
class Served:
    """What an endpoint serves: `sha256` of the archive, "" if there is none or it has no digest.

    `status` is SageMaker's, or "missing".
    """

    arn: str
    status: str
    sha256: str = ""
    model_data_url: str = ""

    @property
    def is_decided(self) -> bool:
        """Whether it will go on serving that."""
        return self.status in ("missing", "InService") and self.sha256 != "several"

    def __str__(self) -> str:
        if self.status == "missing":
            return "no endpoint"
        if self.status != "InService":
            return f"an endpoint that is {self.status}"
        if self.sha256 == "several":
            return f"several archives ({self.model_data_url})"
        return f"archive {self.sha256[:12]}" if self.sha256 else self.model_data_url or "no archive"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One stage: what is served, what the registry says, whether that is the same."""

    stage: str
    endpoint: str
    outcome: str
    serves: str
    registry: str
    detail: str
    sha256: str = ""
    proven: str = ""
    to_settle: bool = False
    """Whether --apply has something to write; if not, a difference is left to people."""


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A test that passed, by its results: of which version and archive, with which evidence."""

    stage: str
    model_name: str
    version: str
    evidence: Evidence
    stage_moved: bool

    @classmethod
    def from_json(cls, path: Path) -> Passed:
        """Raises ConfigError; also where the test did not pass."""
        from model_deploy.registry.evidence import Evidence

        try:
            document: Any = json.loads(path.read_text(encoding="utf-8"))
            if document["passed"] is not True:
                raise ConfigError(str(path), ["that test did not pass: it proves nothing"])
            passed = cls(
                stage=_STAGE_OF_NAME[document["stage_name"]],
                model_name=str(document["model_name"]),
                version=str(document["model_version"]),
                evidence=Evidence(**document["evidence"]),
                stage_moved=bool(document["stage_moved"]),
            )
        except OSError as err:
            raise ConfigError(str(path), [f"it can not be read: {err.strerror}"]) from err
        except (ValueError, KeyError, TypeError) as err:
            raise ConfigError(
                str(path), [f"it is not what model_deploy.test writes: {err!r}"]
            ) from err
        if not (passed.evidence.endpoint_arn and passed.evidence.archive_sha256):
            raise ConfigError(str(path), ["its evidence lacks endpoint_arn or archive_sha256"])
        return passed

    def __str__(self) -> str:
        return f"version {self.version} of {self.model_name!r}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the CLI; the exit code."""
    args = build_parser().parse_args(argv)
    set_up_process(args.log_level)
    try:
        findings = reconcile(args, os.environ)
    except DeployError as err:
        logger.error("%s", err)
        return err.exit_code
    except KeyboardInterrupt:
        logger.error("interrupted; repeat it")
        return 130
    if args.json:
        sys.stdout.write(json.dumps([asdict(f) for f in findings], indent=2, sort_keys=True) + "\n")
    else:
        for finding in findings:
            sys.stdout.write(
                f"{finding.stage}: {finding.outcome}\n"
                f"  {finding.endpoint} serves {finding.serves}\n"
                f"  registry: {finding.registry}\n"
                f"  {finding.detail}\n"
            )
    return 1 if any(finding.outcome in (DIFFERENT, UNDECIDED) for finding in findings) else 0


def build_parser() -> argparse.ArgumentParser:
    """The flags, each with its default."""
    parser = argparse.ArgumentParser(
        prog="reconcile",
        description="Compare what each stage's endpoint serves with what MLflow's registry says.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--import-build-config",
        type=Path,
        required=True,
        action="append",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="a stage's exported configuration; it must be given, and may be repeated",
    )
    add(
        "--import-test-results",
        type=Path,
        metavar="FILE",
        help="results of a test that passed, of the one configuration: its evidence counts, and "
        "only what it tested is settled",
    )
    add("--apply", action="store_true", help="make the registry say what is served and has passed")
    add("--json", action="store_true", help="print the findings as JSON")
    add(
        "--log-level",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="least severe level that is logged on stderr",
    )
    add(
        "--tracking-uri",
        default="",
        help="MLflow's URI; else MLFLOW_TRACKING_URI, else the configuration's tag",
    )
    add(
        "--credentials-secret",
        default="",
        metavar="ARN",
        help="secret with MLflow's user and password, or 'none'; else MLFLOW_CREDENTIALS_SECRET",
    )
    return parser


def reconcile(args: argparse.Namespace, environment: Mapping[str, str]) -> list[Finding]:
    """A finding for each configuration; with `args.apply` the registry is settled first."""
    configs = [StageConfig.from_json(path) for path in args.import_build_config]
    uri = args.tracking_uri or environment.get("MLFLOW_TRACKING_URI", "") or configs[0].tracking_uri
    secret = read_secret_arn(
        args.credentials_secret or environment.get("MLFLOW_CREDENTIALS_SECRET", "")
    )
    passed = Passed.from_json(args.import_test_results) if args.import_test_results else None
    problems = [] if uri else ["--tracking-uri is missing: pass it, or set MLFLOW_TRACKING_URI"]
    problems += [problem for problem in [find_problem(secret)] if problem]
    if passed and [passed.stage] != [config.stage for config in configs]:
        problems.append(
            f"--import-test-results is of {passed.stage}; give the one --import-build-config that "
            "it tested"
        )
    if problems:
        raise ConfigError("the command line", problems)

    # Heavy: they are imported once the flags are known to be right.
    from model_deploy.mlflow_handler import log_in
    from model_deploy.registry.connection import Connection
    from model_deploy.registry.lease import Times

    log_in(uri, secret)
    connection = Connection(uri)
    sagemaker = _sagemaker(
        environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or None
    )
    return [
        compare(
            connection,
            sagemaker,
            config,
            apply=args.apply,
            times=Times.of_environment(),
            passed=passed,
        )
        for config in configs
    ]


def compare(
    connection: Connection,
    sagemaker: Any,
    config: StageConfig,
    *,
    apply: bool,
    times: Times,
    passed: Passed | None = None,
) -> Finding:
    """What is served beside what the registry says; made the same first, with `apply`."""
    served = describe(sagemaker, config)
    finding = _judge(connection, config, served)
    if passed is not None:
        finding = _beside_test(finding, served, passed)
    if finding.outcome != DIFFERENT or not finding.to_settle or not apply:
        return finding
    if passed is not None and not passed.stage_moved:
        _claim(connection, sagemaker, config, served, times, passed)
    else:
        _settle(connection, sagemaker, config, served, times)
    again = _judge(connection, config, describe(sagemaker, config))
    if again.to_settle:
        raise Unsettled(
            f"{config.stage} of {config.endpoint_name}: {again.detail}, after it was settled once. "
            "Look at what else writes to this registry, and repeat."
        )
    if again.outcome != SAME:
        return Finding(**{**asdict(again), "detail": f"{again.detail} (was: {finding.detail})"})
    return Finding(**{**asdict(again), "outcome": SETTLED, "detail": f"was: {finding.detail}"})


def _beside_test(finding: Finding, served: Served, passed: Passed) -> Finding:
    """The finding, for those who ask of the version that passed and of no other."""
    tested = passed.evidence.archive_sha256
    moves_on = not served.is_decided and passed.stage_moved
    if moves_on or (served.is_decided and served.sha256 != tested):
        told = f"{passed} was tested here, and there is {served} now: a later deployment settles it"
        said = {"outcome": SUPERSEDED, "detail": told, "to_settle": False}
        return Finding(**{**asdict(finding), **said})
    known = finding.outcome == SAME and finding.proven == str(passed)
    if served.is_decided and not passed.stage_moved and not known:
        told = f"{passed} passed there, which the registry was not told"
        said = {"outcome": DIFFERENT, "detail": told, "to_settle": True}
        return Finding(**{**asdict(finding), **said})
    return finding


def _claim(
    connection: Connection,
    sagemaker: Any,
    config: StageConfig,
    served: Served,
    times: Times,
    passed: Passed,
) -> None:
    from model_deploy.registry import stage_move

    move = stage_move.Move(
        name=passed.model_name,
        version=passed.version,
        stage=config.stage,
        evidence=passed.evidence,
        still_serves=lambda: describe(sagemaker, config) == served,
    )
    stage_move.claim_stage(connection, move, times)


def describe(sagemaker: Any, config: StageConfig) -> Served:
    """What the stage's endpoint serves now; AwsError when AWS does not say."""
    from botocore.exceptions import BotoCoreError, ClientError

    name = config.endpoint_name
    try:
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
        arn, status = endpoint["EndpointArn"], endpoint["EndpointStatus"]
        if status != "InService":
            return Served(arn=arn, status=status)
        described = sagemaker.describe_endpoint_config(
            EndpointConfigName=endpoint["EndpointConfigName"]
        )
        models = {variant.get("ModelName", "") for variant in described["ProductionVariants"]}
        urls = {
            sagemaker.describe_model(ModelName=model)
            .get("PrimaryContainer", {})
            .get("ModelDataUrl", "")
            for model in models
        }
    except ClientError as err:
        error = err.response.get("Error", {})
        if str(error.get("Message", "")).lower().startswith("could not find endpoint"):
            return Served(arn=_arn_of_missing(sagemaker, config), status="missing")
        raise AwsError(f"could not describe endpoint {name!r}: {err}") from err
    except BotoCoreError as err:
        raise AwsError(f"could not describe endpoint {name!r}: {err}") from err
    if len(urls) > 1:
        return Served(
            arn=arn, status=status, sha256="several", model_data_url=", ".join(sorted(urls))
        )
    url = urls.pop() if urls else ""
    digest = _DIGEST.search(url)
    return Served(arn=arn, status=status, sha256=digest[1] if digest else "", model_data_url=url)


def _judge(connection: Connection, config: StageConfig, served: Served) -> Finding:
    from model_deploy.registry import versions

    claims = versions.read_claims(connection, config.stage, served.arn)
    proven = find_proven(connection, config.stage, served)
    told: dict[str, Any] = {
        "stage": config.stage,
        "endpoint": config.endpoint_name,
        "serves": str(served) + (f", {proven}" if proven else ""),
        "registry": _tell(claims),
        "sha256": served.sha256,
        "proven": str(proven) if proven else "",
    }
    if not served.is_decided:
        return Finding(**told, outcome=UNDECIDED, detail=f"{served}: nothing is settled now")
    wrong, left = _differences(connection, claims, proven), ""
    if proven is None and claims.others:
        wrong = [f"{_tell(claims)}, but {served} is what no test passed there"]
    if config.model_name and (proven is None or proven.name != config.model_name):
        left = _left_to_people(connection, config.stage, config.model_name)
    if wrong or left:
        detail = "; ".join([*wrong, *([left] if left else [])])
        return Finding(**told, outcome=DIFFERENT, detail=detail, to_settle=bool(wrong))
    has = f"{proven} passed there, and has it" if proven else "nobody has the stage"
    return Finding(**told, outcome=SAME, detail=has)


def _differences(connection: Connection, claims: View, proven: Version | None) -> list[str]:
    """What contradicts the proven version: it has the stage and the alias, and nobody else."""
    from model_deploy.registry import versions
    from model_deploy.registry.moves import ALIAS_OF_STAGE, STAGE_AFTER_CLAIM

    if proven is None:
        return []
    stage, alias = claims.stage, ALIAS_OF_STAGE[claims.stage]
    named = versions.get_model(connection, proven.name).aliases.get(alias)
    after = STAGE_AFTER_CLAIM[proven.stage, stage]
    wanted = proven.number if after == stage else None
    found = []
    if proven.stage != after or (wanted and str(named) != wanted):
        found.append(f"{proven} passed there and lacks {stage} or {alias}")
    if named is not None and str(named) != wanted:
        found.append(f"{alias} is version {named} of {proven.name!r}, which is not served")
    holders = [*claims.others, *versions.find_in_stage(connection, proven.name, stage)]
    others = sorted({str(holder) for holder in holders} - {str(proven)})
    if others:
        found.append(f"{', '.join(others)} has {stage} and is not served")
    return found


def _left_to_people(connection: Connection, stage: str, name: str) -> str:
    """Who of the model has stage or alias though no evidence says so, and what to do; or ""."""
    from model_deploy.errors import ModelNotFound
    from model_deploy.registry import evidence, versions
    from model_deploy.registry.moves import ALIAS_OF_STAGE

    alias = ALIAS_OF_STAGE[stage]
    try:
        named = versions.get_model(connection, name).aliases.get(alias)
    except ModelNotFound:
        return ""
    found = [
        f"version {holder.number} of {name!r} is {stage} without evidence: archive it in MLflow, "
        "or deploy it and let it be tested"
        for holder in versions.find_in_stage(connection, name, stage)
        if not evidence.endpoint_of(holder.tags, stage)
    ]
    if named is not None:
        holder = versions.get_version(connection, name, str(named))
        if holder.stage != stage:
            found.append(
                f"{alias} is version {holder.number} of {name!r}, which is {holder.stage}: delete "
                "the alias in MLflow, or deploy that version and let it be tested"
            )
    return f"left to people: {'; '.join(found)}" if found else ""


def find_proven(connection: Connection, stage: str, served: Served) -> Version | None:
    """The version whose last test of this archive on this endpoint passed; None if none did."""
    from model_deploy.registry import evidence, versions

    if not served.sha256 or not served.is_decided or served.status == "missing":
        return None
    query = f"tags.`{evidence.ARCHIVE_PREFIX}{served.sha256}` LIKE '%'"
    candidates = {(v.name, v.number): v for v in versions.search_versions(connection, query)}
    flat = f"tags.`{evidence.prefix(stage)}_archive_sha256` = '{served.sha256}'"
    candidates.update({(v.name, v.number): v for v in versions.search_versions(connection, flat)})
    passed = [
        (str(entry.get("at", "")), candidate)
        for candidate in candidates.values()
        for entry in evidence.promotions(candidate.tags, stage)
        if entry.get("endpoint") == served.arn and entry.get("archive_sha256") == served.sha256
    ]
    return max(passed, key=lambda found: (found[0], int(found[1].number)))[1] if passed else None


def _settle(
    connection: Connection, sagemaker: Any, config: StageConfig, served: Served, times: Times
) -> None:
    from model_deploy.registry import stage_move

    def still_served() -> bool:
        return describe(sagemaker, config) == served

    proven = find_proven(connection, config.stage, served)
    if proven is None:
        told = f"{served} of {config.endpoint_name}"
        stage_move.release_stage(connection, config.stage, served.arn, told, times, still_served)
        return
    move = stage_move.Move(
        name=proven.name,
        version=proven.number,
        stage=config.stage,
        evidence=_evidence_again(proven, config.stage, served),
        still_serves=still_served,
    )
    stage_move.claim_stage(connection, move, times)


def _evidence_again(proven: Version, stage: str, served: Served) -> Any:
    """The evidence that the version's last test of this archive left."""
    from model_deploy.registry import evidence

    entry = [
        entry
        for entry in evidence.promotions(proven.tags, stage)
        if entry.get("endpoint") == served.arn and entry.get("archive_sha256") == served.sha256
    ][-1]
    return evidence.from_fields({key: str(value) for key, value in entry.items()})


def _tell(claims: View) -> str:
    from model_deploy.registry.moves import ALIAS_OF_STAGE

    if not claims.others:
        return f"nobody is {claims.stage} by evidence of this endpoint"
    alias = ALIAS_OF_STAGE[claims.stage]
    return "; ".join(
        f"{claim} is {claims.stage}"
        + (f" and {alias}" if claims.others_aliases.get(claim.name) == claim.number else "")
        for claim in claims.others
    )


def _arn_of_missing(sagemaker: Any, config: StageConfig) -> str:
    """The ARN that the endpoint had: the account is the role's, as both are one project's."""
    _, partition, _, _, account, _ = config.role_arn.split(":", 5)
    region = sagemaker.meta.region_name
    return f"arn:{partition}:sagemaker:{region}:{account}:endpoint/{config.endpoint_name.lower()}"


def _sagemaker(region: str | None) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    retries = {"max_attempts": 3, "mode": "standard"}
    quick = Config(connect_timeout=5, read_timeout=30, retries=retries)
    try:
        return boto3.client("sagemaker", region_name=region, config=quick)
    except BotoCoreError as err:
        raise AwsError(f"no AWS client: {err}. Set AWS_REGION.") from err


if __name__ == "__main__":
    sys.exit(main())
