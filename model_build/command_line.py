"""The flags that both commands share, and how a pipeline is made from them.

--kwargs, environment ──▶ keywords ──▶ <module>.get_pipeline(**keywords) ──▶ Pipeline
"""

import argparse
import atexit
import http.client
import importlib
import inspect
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from model_build import mlflow_login
from model_build.config import read_tags
from model_build.errors import ConfigError, ServiceError

DEFAULT_MODULE = "model_build.pipeline"

# Keyword of get_pipeline -> flag besides --kwargs, and environment variable, that give it a value.
_FALLBACKS: Mapping[str, tuple[str | None, str]] = {
    "role": ("--role-arn", "SAGEMAKER_JOB_ROLE_ARN or SAGEMAKER_PIPELINE_ROLE_ARN"),
    "bucket": (None, "ARTIFACT_BUCKET"),
    "pipeline_name": (None, "SAGEMAKER_PROJECT_NAME"),
    "base_job_prefix": (None, "SAGEMAKER_PROJECT_NAME"),
}
_PREFIX_LENGTH = 30


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What flags and environment say about the pipeline to make.

    `role_arn` runs the pipeline; `job_role_arn` its jobs, where another role than that does.
    """

    module_name: str
    keywords: Mapping[str, Any]
    region: str
    environment: Mapping[str, str]
    role_arn: str | None
    job_role_arn: str | None
    tags: tuple[tuple[str, str], ...]

    @property
    def mlflow_credentials_secret(self) -> str:
        """ARN of the secret with MLflow's user and password; "" if it asks for none."""
        given = self.keywords.get("mlflow_credentials_secret")
        return mlflow_login.read_secret_arn(
            given or self.environment.get("MLFLOW_CREDENTIALS_SECRET")
        )


def add_build_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say which pipeline to make."""
    parser.add_argument(
        "--module-name",
        default=DEFAULT_MODULE,
        help=f"module with get_pipeline() (default: {DEFAULT_MODULE})",
    )
    parser.add_argument(
        "--kwargs",
        default="{}",
        metavar="JSON",
        help="keywords for get_pipeline(), as a JSON object: role, bucket, pipeline_name, "
        "base_job_prefix, region, mlflow_tracking_uri, mlflow_credentials_secret, subnets, "
        "security_group_ids, kms_key, ... "
        "(default: {}; what is missing comes from SAGEMAKER_JOB_ROLE_ARN or else the pipeline's "
        "role, ARTIFACT_BUCKET, ARTIFACT_BUCKET_KMS_ID, SAGEMAKER_PROJECT_NAME, SUBNET_IDS, "
        "SECURITY_GROUP_IDS, AWS_REGION, MLFLOW_TRACKING_URI, MLFLOW_CREDENTIALS_SECRET)",
    )


class _MarksErrors(logging.Formatter):
    """Messages as they are, but `error: ` before an error: who reads a build's log looks for it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        marked = record.levelno >= logging.ERROR
        return f"error: {record.message}" if marked else record.message


# In backticks, after `$(`, or the whole text: where messages have their commands.
_FIRST_WORD = re.compile(r"(?:(?<=`)|(?<=\$\()|^)(?P<name>[a-z][\w-]*)(?=\s+[\w\"'$/.-])")
# Whichever there is: the commands that are printed are of both versions of the AWS CLI.
_ANY = frozenset({"aws"})


def set_up_logging() -> None:
    """Our own messages to standard error, errors marked; of libraries, only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MarksErrors())
    handler.addFilter(_with_commands_as_typed)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("model_build", "__main__"):
        logging.getLogger(name).setLevel(logging.INFO)
        tell_topic(name)


def explain_stale_shell(environment: Mapping[str, str]) -> str:
    """Why nothing answers at an address of this machine that the shell exports; empty if all do.

    AWS's SDK and MLflow would try for a minute. No other machine's address is looked at.
    """
    try:
        running = json.loads(Path(".local/running.json").read_text())["environment"]
    except (OSError, ValueError, LookupError, TypeError):
        running = {}  # no local-aws in this folder
    program = Path(sys.executable).with_name("local-aws")
    found = shutil.which("local-aws") is None and program.is_file()
    use = f'eval "$({os.path.relpath(program) if found else "local-aws"} env)"'
    known = {"AWS_ENDPOINT_URL": "where a local-aws was", "MLFLOW_TRACKING_URI": "MLflow's address"}
    for name, what in known.items():
        address = urlsplit(environment.get(name, ""))
        if address.hostname not in ("127.0.0.1", "localhost", "::1"):
            continue
        same = running.get(name, environment[name]) == environment[name]
        if name == "MLFLOW_TRACKING_URI" and environment.get("AWS_ENDPOINT_URL") and same:
            continue  # that AWS answers, and its MLflow takes some seconds to start
        try:
            default = 443 if address.scheme == "https" else 80
            there = http.client.HTTPConnection(address.hostname, address.port or default, timeout=1)
            there.connect()
            there.close()
        except OSError:
            told = f"nothing answers at {address.netloc} ({name}), {what}"
            if not same:
                return f"{told}; another local-aws runs in this folder. Type: {use}"
            names = "AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_TRACKING_URI"
            return (
                f"{told}; start one by `local-aws up`, then type: {use}. "
                f"For another AWS type: unset {names}"
            )
    return ""


def explain_refused_credentials(environment: Mapping[str, str]) -> str:
    """Why an AWS of this machine knows the shell's credentials no more; empty if it does."""
    address = urlsplit(environment.get("AWS_ENDPOINT_URL", ""))
    if address.hostname not in ("127.0.0.1", "localhost", "::1"):
        return ""
    import boto3  # after the arguments: 0.2 s
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        boto3.client("sts", region_name=region).get_caller_identity()
    except ClientError as err:
        return (
            f"AWS at {address.netloc}, on this machine, refuses the credentials "
            f"({err.response['Error'].get('Code')}): the shell has them of an earlier local-aws. "
            'Type: eval "$(local-aws env)"'
        )
    except BotoCoreError:
        return ""  # told where it matters, by whoever needs AWS
    return ""


def require_living_shell(environment: Mapping[str, str]) -> None:
    """Raise ServiceError at once if the shell's AWS or MLflow is one of this machine that ended."""
    problem = explain_stale_shell(environment) or explain_refused_credentials(environment)
    if problem:
        raise ServiceError(problem)


class TopicHandler(logging.Handler):
    """Keeps the last error that was logged, and publishes it to a topic when the process ends."""

    def __init__(self, topic_arn: str) -> None:
        super().__init__(logging.ERROR)
        self._topic_arn = topic_arn
        self._last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, unless whoever logs says that it is told by others."""
        if not getattr(record, "told", False):
            self._last = record.getMessage()

    def publish(self) -> None:
        """Nothing that goes wrong here changes how the program ends."""
        if not self._last:
            return
        build = os.environ.get("CODEBUILD_BUILD_ID", "")
        read_on = f"\n\nIts log: `mlops logs {build}`" if build else ""
        import boto3
        from botocore.config import Config

        # A network without a way to SNS must not hold the build up.
        limits = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        try:
            boto3.client("sns", region_name=region, config=limits).publish(
                TopicArn=self._topic_arn,
                Subject=f"Failed: {build.partition(':')[0] or 'a build'}"[:100],
                Message=f"{self._last[:10_000]}{read_on}",
            )
        except Exception as err:  # noqa: BLE001 - of whatever kind
            sys.stderr.write(f"warning: nobody was told of it by mail: {err}\n")


def tell_topic(name: str) -> None:
    """Publish the last error of logger `name` to NOTIFICATION_TOPIC_ARN, where a build has one."""
    topic_arn = os.environ.get("NOTIFICATION_TOPIC_ARN", "")
    if topic_arn:
        # Now, as it starts what can not be started any more when the process ends.
        import boto3  # noqa: F401

        handler = TopicHandler(topic_arn)
        logging.getLogger(name).addHandler(handler)
        atexit.register(handler.publish)


def read_request(args: argparse.Namespace, environment: Mapping[str, str]) -> BuildRequest:
    """Flags and environment, checked as far as that needs no pipeline. Raises ConfigError."""
    keywords = _read_json(args.kwargs, "--kwargs")
    if not isinstance(keywords, dict):
        raise ConfigError("--kwargs", [f"{args.kwargs!r} is no JSON object"])
    tags_text = getattr(args, "tags", None)
    tags = read_tags(_read_json(tags_text, "--tags"), "--tags") if tags_text else ()
    if not tags_text:
        found = {
            "sagemaker:project-name": environment.get("SAGEMAKER_PROJECT_NAME", ""),
            "sagemaker:project-id": environment.get("SAGEMAKER_PROJECT_ID", ""),
        }
        tags = tuple(found.items()) if all(found.values()) and hasattr(args, "tags") else ()
    region = keywords.get("region") or _find_region(environment)
    if not region:
        raise ConfigError(
            "AWS region", ["none is set; set AWS_REGION, or put region into --kwargs"]
        )
    return BuildRequest(
        module_name=args.module_name,
        keywords=keywords,
        region=str(region),
        environment=environment,
        role_arn=getattr(args, "role_arn", None) or environment.get("SAGEMAKER_PIPELINE_ROLE_ARN"),
        job_role_arn=getattr(args, "job_role_arn", None)
        or environment.get("SAGEMAKER_JOB_ROLE_ARN"),
        tags=tags,
    )


def make_pipeline(request: BuildRequest, *, offline: bool) -> Any:
    """The Pipeline that the module's get_pipeline() returns; nothing is uploaded yet.

    `offline`: its definition can be compiled without an AWS account. Raises ConfigError for an
    unknown module, unknown keywords, and values missing or wrong.
    """
    # The SDK makes AWS clients while it is imported, and finds the region only here.
    os.environ["AWS_DEFAULT_REGION"] = request.region
    if offline:
        os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with warnings.catch_warnings():
        # Said at each step; this is how steps are defined, and nobody expects a job here.
        warnings.filterwarnings("ignore", message="Running within a PipelineSession")
        module = _import_module(request.module_name)
        keywords = complete_keywords(request, module.get_pipeline)
        # Imported late for the same reason as the module: it needs seconds, and the region.
        from model_build.sdk_session import open_session

        if "sagemaker_session" in inspect.signature(module.get_pipeline).parameters:
            keywords["sagemaker_session"] = open_session(
                keywords["bucket"], request.region, offline=offline
            )
        _hush_sdk()
        return module.get_pipeline(**keywords)


def compile_definition(pipeline: Any) -> str:
    """The definition as indented JSON; uploads what the steps need, unless offline."""
    definition = json.loads(pipeline.definition())
    return json.dumps(definition, indent=2) + "\n"


def complete_keywords(request: BuildRequest, get_pipeline: Any) -> dict[str, Any]:
    """The keywords given, and those that flags and environment can add. Raises ConfigError."""
    accepted = inspect.signature(get_pipeline).parameters
    keywords = dict(request.keywords)
    problems = [
        f"get_pipeline() has no keyword {name!r}; it has "
        f"{', '.join(key for key in accepted if key != 'sagemaker_session')}"
        for name in keywords
        if name not in accepted or name == "sagemaker_session"
    ]
    for name, value in _list_fallback_values(request).items():
        if value and name in accepted and not keywords.get(name):
            keywords[name] = value
    for name, parameter in accepted.items():
        required = parameter.default is inspect.Parameter.empty
        if required and parameter.kind not in _VARIADIC and not keywords.get(name):
            problems.append(_describe_missing(name))
    if problems:
        raise ConfigError("--kwargs", problems)
    return keywords


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def find_source_commit(environment: Mapping[str, str]) -> str | None:
    """The commit that CodeBuild or Git names.

    "-dirty" is added when a tracked file differs from it, or a new one lies in this package.
    """
    resolved = environment.get("CODEBUILD_RESOLVED_SOURCE_VERSION")
    if resolved:
        return resolved
    package = Path(__file__).parent
    try:
        commit = _ask_git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        # Only what the steps may be made of: a table that lies beside the code changes nothing.
        added = _ask_git(package, "ls-files", "--others", "--exclude-standard")
    except (OSError, subprocess.TimeoutExpired):
        return None  # no Git here: the commit is unknown, which the tags then say by its absence
    if commit and added and not commit.endswith("-dirty"):
        return f"{commit}-dirty"
    return commit or None


def _ask_git(folder: Path, *words: str) -> str:
    """What it prints; nothing where it fails."""
    answered = subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=False
    )
    return answered.stdout.strip()


def write_text(path: Path, text: str, flag: str) -> None:
    """Write the file whole or not at all; ConfigError naming the flag if that can't be done."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as err:
        raise ConfigError(flag, [f"can't write {path}: {err}"]) from err


def _list_fallback_values(request: BuildRequest) -> dict[str, Any]:
    environment = request.environment
    project = environment.get("SAGEMAKER_PROJECT_NAME", "")
    return {
        "role": request.job_role_arn or request.role_arn,
        "bucket": environment.get("ARTIFACT_BUCKET"),
        "pipeline_name": f"{project}-build" if project else None,
        "base_job_prefix": project[:_PREFIX_LENGTH].rstrip("-"),
        "region": request.region,
        "mlflow_tracking_uri": environment.get("MLFLOW_TRACKING_URI"),
        "mlflow_credentials_secret": request.mlflow_credentials_secret,
        "tags": [{"Key": key, "Value": value} for key, value in request.tags],
        "source_commit": find_source_commit(environment),
        "subnets": _split(environment.get("SUBNET_IDS", "")),
        "security_group_ids": _split(environment.get("SECURITY_GROUP_IDS", "")),
        "kms_key": environment.get("ARTIFACT_BUCKET_KMS_ID"),
    }


def _split(listed: str) -> tuple[str, ...]:
    """The parts of a comma-separated value; none of an empty one."""
    return tuple(part.strip() for part in listed.split(",") if part.strip())


def _describe_missing(name: str) -> str:
    if name not in _FALLBACKS:
        return f'{name} is missing; put "{name}" into --kwargs'
    flag, variable = _FALLBACKS[name]
    flags = f'pass {flag}, put "{name}" into --kwargs' if flag else f'put "{name}" into --kwargs'
    return f"{name} is missing; {flags}, or set {variable}"


def _read_json(text: str, flag: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as err:
        raise ConfigError(flag, [f"not JSON: {err}; quotes must be double, in {text!r}"]) from err


def _find_region(environment: Mapping[str, str]) -> str | None:
    named = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if named:
        return named
    import boto3  # 0.2 s, and only now is it needed: the profile may name a region

    profile_region: str | None = boto3.Session().region_name
    return profile_region


def _import_module(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as err:
        if err.name is None or not (name == err.name or name.startswith(f"{err.name}.")):
            raise ServiceError(
                f"{name} needs {err.name!r}, which isn't installed; run `pip install -e .`"
            ) from err
        raise ConfigError("--module-name", [f"there is no module {name!r}"]) from err
    if not callable(getattr(module, "get_pipeline", None)):
        raise ConfigError("--module-name", [f"{name} has no function get_pipeline()"])
    return module


def _hush_sdk() -> None:
    """The SDK reports each lookup and each field it drops; none of it is for the user."""
    for name in ("sagemaker", "sagemaker.core", "sagemaker.config"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("sagemaker.core.workflow.utilities").setLevel(logging.ERROR)


def _with_commands_as_typed(record: logging.LogRecord) -> bool:
    record.msg, record.args = as_typed(record.getMessage()), ()
    return True


def as_typed(text: str) -> str:
    """The text; a program that PATH would not find, or find another of, has its path before it.

    That is so where the environment of this interpreter is not active. In CodeBuild's log the names
    stay: who reads it sits elsewhere.
    """
    if "CODEBUILD_BUILD_ID" in os.environ:
        return text
    return _FIRST_WORD.sub(lambda found: _path_of(found["name"]), text)


def _path_of(name: str) -> str:
    own = Path(sys.executable).parent / name
    if not own.is_file():
        return name
    found = shutil.which(name)
    if found is not None and (name in _ANY or Path(found).samefile(own)):
        return name
    relative = os.path.relpath(own)
    if os.sep not in relative:
        relative = f".{os.sep}{relative}"
    return shlex.quote(min(relative, str(own), key=len))
