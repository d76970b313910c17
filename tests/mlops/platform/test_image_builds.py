"""The images' builds: their buildspecs really run in local_aws, with a stand-in for Docker."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from local_aws.gateway import Gateway
from mlops.errors import DeploymentFailed, InputError
from mlops.platform.image_builds import build_images
from mlops.platform.image_sources import IMAGES

_ROOT = Path(__file__).parents[3]
_MLFLOW_ENVIRONMENT = _ROOT / ".venv-images" / "mlflow-server"
_VERSION = re.search(
    r"^mlflow==([\d.]+)", (_ROOT / "requirements/mlflow-server.txt").read_text(), re.MULTILINE
)[1]  # type: ignore[index]
# The build's python: what the buildspec installs is in .venv-images already, from the same lock.
_PYTHON = """\
#!/bin/sh
echo "$*" >>"$PYTHON_NOTES"
case "$*" in
  "-m pip install "*) ;;
  "-m uv venv "*) ln -s "$MLFLOW_ENVIRONMENT" .venv ;;
  "-m uv pip sync "*"--require-hashes requirements/mlflow-server.txt")
    cmp requirements/mlflow-server.txt .venv/lock.txt ;;
  *) exit 1 ;;
esac
"""


@dataclasses.dataclass(frozen=True)
class ImageAccount:
    """What infra/platform/images.yml makes, as far as builds touch it, in a running local_aws."""

    client: Callable[[str], Any]
    stand_ins: Path

    def build(self, *images: str, force: bool = False) -> tuple[dict[str, str], list[str]]:
        """What build_images returns, and what it reported."""
        told: list[str] = []
        built = build_images(
            self.client, report=told.append, images=images, force=force, poll_seconds=0.2
        )
        return built, told

    def set(self, image: str, **wanted: str) -> None:
        """Give the image's builds these environment variables besides the others."""
        codebuild = self.client("codebuild")
        (project,) = codebuild.batch_get_projects(names=[f"sagemaker-mlflow-{image}-image"])[
            "projects"
        ]
        environment = project["environment"]
        variables = {v["name"]: v for v in environment["environmentVariables"]}
        variables |= {name: {"name": name, "value": value} for name, value in wanted.items()}
        environment["environmentVariables"] = list(variables.values())
        codebuild.update_project(name=project["name"], environment=environment)

    def calls(self, image: str) -> list[dict[str, Any]]:
        """Of the image's builds: how docker was called since the last time this was asked."""
        notes = self.stand_ins / f"{image}-docker"
        lines = notes.read_text().splitlines() if notes.exists() else []
        notes.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def published(self, image: str) -> list[str]:
        """The parameter's value, if there is one."""
        found = self.client("ssm").get_parameters(Names=[f"/sagemaker-mlflow/images/{image}"])
        return [parameter["Value"] for parameter in found["Parameters"]]


@pytest.fixture(scope="module")
def account(
    gateway: Gateway, render: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> ImageAccount:
    stack = render("images.yml")
    client = gateway.own.client
    stand_ins = tmp_path_factory.mktemp("stand-ins")
    _write_stand_ins(stand_ins)
    bucket = stack.resources["Sources"]["BucketName"]
    client("s3").create_bucket(Bucket=bucket)
    client("s3").put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration=stack.resources["Sources"]["VersioningConfiguration"]
    )
    for image, word in {"server": "Server", "inference": "Inference"}.items():
        repository = stack.resources[f"{word}Repository"]
        made = client("ecr").create_repository(
            repositoryName=repository["RepositoryName"],
            imageTagMutability=repository["ImageTagMutability"],
        )["repository"]
        client("ecr").put_lifecycle_policy(
            repositoryName=repository["RepositoryName"],
            lifecyclePolicyText=repository["LifecyclePolicy"]["LifecyclePolicyText"],
        )
        role = client("iam").create_role(
            RoleName=f"{image}-build",
            AssumeRolePolicyDocument=json.dumps(
                stack.resources[f"{word}BuildRole"]["AssumeRolePolicyDocument"]
            ),
        )["Role"]
        project = _as_request(stack.resources[f"{word}Build"])
        project["serviceRole"] = role["Arn"]
        # local_aws has no containers to give privileges to, and says so.
        del project["environment"]["privilegedMode"]
        variables = {v["name"]: v["value"] for v in project["environment"]["environmentVariables"]}
        variables |= {
            "REPOSITORY": made["repositoryUri"],
            "DOCKER_NOTES": str(stand_ins / f"{image}-docker"),
            "PYTHON_NOTES": str(stand_ins / f"{image}-python"),
            "MLFLOW_ENVIRONMENT": str(_MLFLOW_ENVIRONMENT),
            "PATH": f"{stand_ins / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "AWS_PAGER": "",
        }
        project["environment"]["environmentVariables"] = [
            {"name": name, "value": value} for name, value in variables.items()
        ]
        client("codebuild").create_project(**project)
    return ImageAccount(client, stand_ins)


def _write_stand_ins(folder: Path) -> None:
    commands = folder / "bin"
    commands.mkdir()
    (commands / "aws").symlink_to(Path(sys.executable).with_name("aws"))
    docker = (Path(__file__).parent / "docker_stand_in.py").read_text()
    (commands / "docker").write_text(f"#!{sys.executable}\n{docker}")
    (commands / "python").write_text(_PYTHON)
    for name in ("docker", "python"):
        (commands / name).chmod(stat.S_IRWXU)


def _as_request(value: Any) -> Any:
    """A resource's properties as the arguments of its API call."""
    if isinstance(value, Mapping):
        named = {"BuildSpec": "buildspec", "CloudWatchLogs": "cloudWatchLogs"}
        return {
            named.get(key, key[0].lower() + key[1:]): _as_request(item)
            for key, item in value.items()
        }
    return [_as_request(item) for item in value] if isinstance(value, list) else value


def test_both_images_are_built_tried_pushed_and_published_by_digest(account: ImageAccount) -> None:
    built, told = account.build("server", "inference")

    for image in IMAGES:
        repository = f"sagemaker-mlflow/{image}"
        (described,) = account.client("ecr").describe_images(repositoryName=repository)[
            "imageDetails"
        ]
        assert described["imageTags"] == [f"{_VERSION}-1"]
        assert built[image].endswith(f".amazonaws.com/{repository}@{described['imageDigest']}")
        assert account.published(image) == [built[image]]
        lines = [line for line in told if line.startswith(f"{image} image: ")]
        assert lines[0].startswith(f"{image} image: build started, it takes about ")
        assert f"{image} image: build" in lines
        assert re.fullmatch(rf"{image} image: succeeded after [\d.]+ minutes", lines[-1])

    server = account.calls("server")
    words = [call["arguments"][0] for call in server]
    assert words == ["login", "build", "run", "run", "run", "push"], "tried before it is pushed"
    registry = built["server"].partition("/")[0]
    assert server[0]["arguments"] == ["login", "--username", "AWS", "--password-stdin", registry]
    assert server[0]["password"]
    for call in server[2:5]:
        assert call["arguments"][:5] == ["run", "--rm", "--read-only", "--tmpfs", "/tmp"]

    inference = account.calls("inference")
    words = [call["arguments"][0] for call in inference if call["arguments"][0] != "version"]
    assert words[:6] == ["login", "pull", "tag", "build", "build", "run"]
    assert words[-2:] == ["rm", "push"]
    _, ours = (call for call in inference if call["arguments"][0] == "build")
    pulled, tagged, made, ran = (
        next(call for call in inference if call["arguments"][0] == word)
        for word in ("pull", "tag", "build", "run")
    )
    # What MLflow builds on is what the buildspec fetched for it.
    (base,) = re.findall(r"^FROM (\S+)$", made["dockerfile"], re.MULTILINE)
    assert pulled["arguments"][-1] == f"public.ecr.aws/docker/library/{base}"
    assert tagged["arguments"][1:] == [pulled["arguments"][-1], base], "no pull from Docker Hub"
    assert f"pip install mlflow=={_VERSION}" in made["dockerfile"]
    assert "MLFLOW_DISABLE_ENV_CREATION=False" in made["dockerfile"]
    assert "jdk" not in made["dockerfile"]
    assert _errors_of_hadolint(made["dockerfile"]) == ""
    # Ours builds on what MLflow built, and is what is tried and pushed.
    stock = made["arguments"][made["arguments"].index("-t") + 1]
    assert f"BASE={stock}" in ours["arguments"]
    assert ours["dockerfile"] == (_ROOT / "infra/images/inference/Dockerfile").read_text()
    name = f"{built['inference'].partition('@')[0]}:{_VERSION}-1"
    assert ours["arguments"][ours["arguments"].index("--tag") + 1] == name
    assert inference[-1]["arguments"] == ["push", "--quiet", name]
    assert ran["arguments"][-2:] == [name, "serve"]
    assert "MLmodel" in ran["model"]
    assert any(word.endswith(":/opt/ml/model:ro") for word in ran["arguments"])


def _errors_of_hadolint(dockerfile: str) -> str:
    """Warnings are MLflow's own; nobody here can change its Dockerfile."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "error", "-"],
        input=dockerfile,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode else ""


def test_nothing_is_built_twice_from_the_same_sources(account: ImageAccount) -> None:
    account.set("server", DOCKER_FAULT="")
    first, _ = account.build("server")  # by the test before, if that ran
    account.calls("server")

    again, told = account.build("server")
    assert again == first
    assert told == ["server image: built from these sources already; --rebuild-images builds anew"]
    assert account.calls("server") == []


def test_a_server_image_that_fails_its_trial_is_not_published(account: ImageAccount) -> None:
    account.calls("server")
    account.client("ssm").put_parameter(
        Name="/sagemaker-mlflow/images/server", Value="before", Type="String", Overwrite=True
    )
    account.set("server", DOCKER_FAULT="root")
    with pytest.raises(DeploymentFailed) as caught:
        account.build("server", force=True)

    message = str(caught.value)
    assert message.startswith("could not build the server image\n  - server: Error while executing")
    assert "--entrypoint id" in message
    assert "The last lines of the server image's log:\n" in message
    assert re.search(r"^    .*Command did not exit successfully", message, re.MULTILINE)
    assert "\nAll of it: file:" in message
    assert message.endswith(
        "\nA failed build publishes nothing: the image from before stays in use."
    )
    assert account.published("server") == ["before"]
    assert "push" not in [call["arguments"][0] for call in account.calls("server")]
    # The same sources once more: what failed is not taken for built.
    with pytest.raises(DeploymentFailed):
        account.build("server")
    account.set("server", DOCKER_FAULT="")


@pytest.mark.parametrize(
    ("fault", "of_python", "reason"),
    [
        ("", 1, "infra/images/inference/serve_a_model.py"),
        ("oci index", 0, "SageMaker refuses the manifest application/vnd.oci.image.index.v1+json"),
    ],
)
def test_an_inference_image_that_would_not_serve_is_not_published(
    account: ImageAccount, fault: str, of_python: int, reason: str
) -> None:
    before = account.published("inference")
    # MLflow itself takes ten seconds, and its part is not in question here.
    environment = account.stand_ins / f"mlflow-{of_python}"
    (environment / "bin").mkdir(parents=True)
    for command, code in (("mlflow", 0), ("python", of_python)):
        (environment / "bin" / command).write_text(f"#!/bin/sh\nexit {code}\n")
        (environment / "bin" / command).chmod(stat.S_IRWXU)
    shutil.copy(_ROOT / "requirements/mlflow-server.txt", environment / "lock.txt")
    account.set("inference", DOCKER_FAULT=fault, MLFLOW_ENVIRONMENT=str(environment))

    with pytest.raises(DeploymentFailed) as caught:
        account.build("inference", force=True)

    assert reason in str(caught.value)
    assert account.published("inference") == before
    words = [call["arguments"][0] for call in account.calls("inference")]
    assert ("push" in words) == (fault == "oci index")


def test_a_build_that_runs_already_is_named(account: ImageAccount) -> None:
    codebuild = account.client("codebuild")
    account.set("server", DOCKER_FAULT="")
    started = codebuild.start_build(projectName="sagemaker-mlflow-server-image")["build"]
    with pytest.raises(InputError, match="sagemaker-mlflow-server-image is building already"):
        account.build("server", force=True)
    codebuild.stop_build(id=started["id"])


def test_without_the_stack_there_is_nothing_to_build_with(gateway: Gateway) -> None:
    with pytest.raises(InputError, match=r"sagemaker-mlflow-other-image in the region us-east-1; "):
        build_images(gateway.own.client, report=print, images=["other"])
