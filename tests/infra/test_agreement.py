"""Names that several files must agree on: variables, artifacts, parameters, paths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_aws.cloudformation.template import parse_template

_ROOT = Path(__file__).parents[2]
_ENDPOINT_TEMPLATE = _ROOT / "model_deploy" / "endpoint-config-template.yml"
# CodeBuild project: its buildspec, and the folder whose modules that runs.
_BUILDS = {
    "ModelBuild": ("codebuild-buildspec.yml", "model_build"),
    "ModelDeploy": ("model_deploy/buildspec.yml", "model_deploy"),
    "Testing": ("model_deploy/test/buildspec.yml", "model_deploy/test"),
}
# Set by CodeBuild itself ("Environment variables in build environments", CodeBuild user guide).
_OF_CODEBUILD = {
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "CODEBUILD_BUILD_SUCCEEDING",
    "CODEBUILD_INITIATOR",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
}
# Set by people who log in to MLflow with a name of their own; a build logs in with the secret.
_OF_PEOPLE = {"AWS_ENDPOINT_URL", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"}
# Read by another program than ours.
_READ_ELSEWHERE = {
    "NOTIFICATION_TOPIC_ARN": "model_deploy.command_line",
    "UV_PYTHON_DOWNLOADS": "uv",
}
# Variables that both kinds of source actions have, and the pipeline's own.
_OF_SOURCES = {"BranchName", "CommitId", "CommitMessage"}
_OF_PIPELINES = {"PipelineExecutionId"}
# Namespaces that nothing in the template reads: people do, in the console and in
# `aws codepipeline list-action-executions`.
_FOR_PEOPLE = {
    ("ModelBuildPipeline", "SourceVariables"): "which commit was trained",
    ("ModelDeployPipeline", "ProdTestVariables"): "what the test of production said",
}
_UNITS = {
    "ModelBuildPipeline": ("codebuild-buildspec.yml", "model_build"),
    "ModelDeployPipeline": ("model_deploy/buildspec.yml", "model_deploy"),
}


def _buildspec(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((_ROOT / name).read_text())
    return document


def _commands(buildspec: dict[str, Any]) -> str:
    return json.dumps([buildspec["phases"], buildspec.get("artifacts", {})])


def _actions(pipeline: Any) -> list[dict[str, Any]]:
    return [action for stage in pipeline["Stages"] for action in stage["Actions"]]


def _references(pipeline: Any) -> set[tuple[str, str]]:
    """(namespace, variable) of each `#{...}` in the pipeline's configurations."""
    text = json.dumps([action.get("Configuration", {}) for action in _actions(pipeline)])
    return set(re.findall(r"#\{(\w+)\.(\w+)\}", text))


def _building_actions(project: Any, build: str) -> list[dict[str, Any]]:
    name = project.resources[build]["Name"]
    return [
        action
        for pipeline in project.of_type("AWS::CodePipeline::Pipeline").values()
        for action in _actions(pipeline)
        if action.get("Configuration", {}).get("ProjectName") == name
    ]


def _given(project: Any, build: str) -> set[str]:
    """Variables that every build of the project gets: the project's, and those of its actions."""
    environment = project.resources[build]["Environment"]["EnvironmentVariables"]
    of_actions = [
        {item["name"] for item in json.loads(action["Configuration"]["EnvironmentVariables"])}
        for action in _building_actions(project, build)
        if "EnvironmentVariables" in action["Configuration"]
    ]
    common = set.intersection(*of_actions) if of_actions else set()
    every = set().union(*of_actions)
    buildspec = _buildspec(_BUILDS[build][0])
    # What not every action gives has a default, in the buildspec's variables or where it is read.
    optional = set(buildspec["env"].get("variables", {})) | set(
        re.findall(r"\$\{([A-Za-z_]\w*):-\}", _commands(buildspec))
    )
    assert every - common <= optional, f"{build}: not all of its actions give these"
    return {item["Name"] for item in environment} | every


def _read_by_code(folder: str) -> set[str]:
    """Variables that the modules of the folder name."""
    return {
        name
        for path in (_ROOT / folder).glob("*.py")
        for name in re.findall(r"""["']([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)["']""", path.read_text())
    }


def _asked_by_code(folder: str) -> set[str]:
    """Variables that the modules take from their environment."""
    return {
        name
        for path in (_ROOT / folder).glob("*.py")
        for name in re.findall(r'environment\.get\(\s*"([A-Z_]+)"', path.read_text())
    }


def _matches(pattern: str, path: str) -> bool:
    if pattern.endswith("/**"):
        return path.startswith(pattern.removesuffix("**"))
    assert "*" not in pattern, f"this test doesn't know patterns such as {pattern}"
    return path == pattern


def _filter(connected: Any, pipeline: str) -> list[str]:
    (trigger,) = connected.resources[pipeline]["Triggers"]
    (push,) = trigger["GitConfiguration"]["Push"]
    assert push["Branches"] == {"Includes": ["main"]}
    patterns: list[str] = push["FilePaths"]["Includes"]
    return patterns


@pytest.mark.parametrize("build", _BUILDS)
def test_build_runs_the_buildspec_that_is_there(project: Any, build: str) -> None:
    assert project.resources[build]["Source"]["BuildSpec"] == _BUILDS[build][0]
    assert (_ROOT / _BUILDS[build][0]).is_file()


@pytest.mark.parametrize("build", _BUILDS)
def test_each_variable_that_a_build_gets_is_read(project: Any, build: str) -> None:
    path, folder = _BUILDS[build]
    buildspec = _buildspec(path)
    given = _given(project, build) | set(buildspec["env"].get("variables", {}))
    used = set(re.findall(r"\$\{?([A-Za-z_]\w*)", _commands(buildspec)))
    assert given - used - _read_by_code(folder) - set(_READ_ELSEWHERE) == set()


@pytest.mark.parametrize("build", _BUILDS)
def test_each_variable_that_a_build_reads_is_given(project: Any, build: str) -> None:
    path, folder = _BUILDS[build]
    buildspec = _buildspec(path)
    given = _given(project, build) | set(buildspec["env"].get("variables", {})) | _OF_CODEBUILD
    for action in _building_actions(project, build):
        given |= {f"CODEBUILD_SRC_DIR_{item['Name']}" for item in action["InputArtifacts"][1:]}
    used = set(re.findall(r"\$\{?([A-Za-z_]\w*)", _commands(buildspec)))
    assert (used | _asked_by_code(folder)) - given - _OF_PEOPLE == set()


@pytest.mark.parametrize("pipeline", ["ModelBuildPipeline", "ModelDeployPipeline"])
def test_each_reference_to_a_variable_has_one(project: Any, pipeline: str) -> None:
    exported = {"codepipeline": _OF_PIPELINES, "SourceVariables": _OF_SOURCES}
    for build, (path, _) in _BUILDS.items():
        for action in _building_actions(project, build):
            if "Namespace" in action:
                exported[action["Namespace"]] = set(_buildspec(path)["env"]["exported-variables"])
    for namespace, variable in _references(project.resources[pipeline]):
        assert variable in exported[namespace], f"#{{{namespace}.{variable}}}"


def test_each_exported_variable_is_shown_to_the_approver(project: Any) -> None:
    references = _references(project.resources["ModelDeployPipeline"])
    read = {variable for namespace, variable in references if namespace != "codepipeline"}
    exported = {
        variable
        for path, _ in _BUILDS.values()
        for variable in _buildspec(path)["env"].get("exported-variables", [])
    }
    assert exported == read - _OF_SOURCES


@pytest.mark.parametrize("pipeline", ["ModelBuildPipeline", "ModelDeployPipeline"])
def test_each_namespace_is_read_or_meant_for_people(project: Any, pipeline: str) -> None:
    declared = {
        action["Namespace"]
        for action in _actions(project.resources[pipeline])
        if "Namespace" in action
    }
    read = {namespace for namespace, _ in _references(project.resources[pipeline])}
    people = {namespace for of, namespace in _FOR_PEOPLE if of == pipeline}
    assert declared - read == people


def test_approval_message_fits_and_leads_to_the_version(project: Any) -> None:
    (approval,) = [
        action
        for action in _actions(project.resources["ModelDeployPipeline"])
        if action["ActionTypeId"]["Category"] == "Approval"
    ]
    configuration = approval["Configuration"]
    assert configuration["ExternalEntityLink"] == "#{BuildVariables.MODEL_URL}"
    assert configuration["NotificationArn"] == project.outputs["NotificationTopicArn"]
    # CodePipeline takes 1000 characters; the values, as long as they can be, need most of them.
    longest = {
        "MODEL_NAME": 80,
        "MODEL_VERSION": 10,
        "MODEL_ARCHIVE": 64,
        "CODE_ON_LOAD": 200,
        "TESTED_ENDPOINT": 63,
        "CommitId": 64,
    }
    message = re.sub(
        r"#\{\w+\.(\w+)\}",
        lambda found: "x" * longest.get(found[1], 200),
        configuration["CustomData"],
    )
    assert len(message) <= 1000


@pytest.mark.parametrize("build", _BUILDS)
def test_a_build_that_hands_on_an_artifact_has_one(project: Any, build: str) -> None:
    handed_on = [
        item["Name"]
        for action in _building_actions(project, build)
        for item in action.get("OutputArtifacts", [])
    ]
    assert handed_on
    assert _buildspec(_BUILDS[build][0])["artifacts"]["files"]


def test_artifacts_are_made_once_before_they_are_used(project: Any) -> None:
    for pipeline in project.of_type("AWS::CodePipeline::Pipeline").values():
        made: list[str] = []
        for action in _actions(pipeline):
            assert {item["Name"] for item in action.get("InputArtifacts", [])} <= set(made)
            made += [item["Name"] for item in action.get("OutputArtifacts", [])]
        assert len(made) == len(set(made))


def test_deployments_use_the_files_that_the_build_exports(project: Any) -> None:
    values = {
        item["Name"]: item["Value"]
        for item in project.resources["ModelDeploy"]["Environment"]["EnvironmentVariables"]
    }
    actions = {a["Name"]: a for a in _actions(project.resources["ModelDeployPipeline"])}
    for stage in ("Staging", "Prod"):
        config = values[f"EXPORT_TEMPLATE_{stage.upper()}_CONFIG"]
        deploy = actions[f"DeployResources{stage}"]["Configuration"]
        assert deploy["TemplatePath"] == f"BuildArtifact::{values['EXPORT_TEMPLATE_NAME']}"
        assert deploy["TemplateConfiguration"] == f"BuildArtifact::{config}"
        test = json.loads(actions[f"Test{stage}"]["Configuration"]["EnvironmentVariables"])
        assert {"name": "BUILD_CONFIG", "value": config} in test


def test_pipelines_have_the_names_that_people_know(project: Any) -> None:
    named = {
        pipeline["Name"]: [
            f"{stage['Name']}/{action['Name']}"
            for stage in pipeline["Stages"]
            for action in stage["Actions"]
        ]
        for pipeline in project.of_type("AWS::CodePipeline::Pipeline").values()
    }
    assert named == {
        "sagemaker-housing-p-housing-modelbuild": [
            "Source/ModelBuildWorkflowCode",
            "Build/BuildAndExecuteSageMakerPipeline",
        ],
        "sagemaker-housing-p-housing-modeldeploy": [
            "Source/ModelDeployInfraCode",
            "Build/BuildDeploymentTemplates",
            "DeployStaging/DeployResourcesStaging",
            "DeployStaging/TestStaging",
            "DeployStaging/ApproveDeployment",
            "DeployProd/CheckArchive",
            "DeployProd/DeployResourcesProd",
            "DeployProd/TestProd",
            "SettleRegistry/ReconcileProd",
        ],
    }


@pytest.mark.parametrize("stage", ["staging", "prod"])
def test_stage_configurations_and_endpoint_template_name_the_same_parameters(stage: str) -> None:
    declared = parse_template(_ENDPOINT_TEMPLATE.read_text()).parameters
    own = json.loads((_ROOT / "model_deploy" / f"{stage}-config.json").read_text())["Parameters"]
    golden = _ROOT / "tests" / "model_deploy" / "golden" / f"{stage}-config-export.json"
    exported = json.loads(golden.read_text())["Parameters"]
    said = {name for name, value in own.items() if value not in ("", [])}
    assert said <= set(exported) <= set(declared)
    assert set(own) <= set(declared)
    assert {name for name, said in declared.items() if "Default" not in said} <= set(exported)
    # What the build leaves to the template's default is for people to set: they must know of it.
    schema = json.loads((_ROOT / "model_deploy" / "stage-config.schema.json").read_text())
    told = schema["properties"]["Parameters"]["properties"]
    assert {name for name in declared if name not in exported} <= set(told)


def test_endpoints_have_the_names_that_test_and_logs_expect(project: Any) -> None:
    endpoint = parse_template(_ENDPOINT_TEMPLATE.read_text()).resources["Endpoint"]
    assert endpoint.properties["EndpointName"] == {
        "Fn::Sub": "${SageMakerProjectName}-${StageName}"
    }
    (policy,) = project.resources["TestingRole"]["Policies"]
    (ask,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "Ask"]
    names = {resource.rpartition("/")[2] for resource in ask["Resource"]}
    assert names == {"housing-staging", "housing-prod"}
    assert {project.resources[logs]["LogGroupName"] for logs in ("StagingLogs", "ProdLogs")} == {
        f"/aws/sagemaker/Endpoints/{name}" for name in names
    }


def test_the_build_makes_the_pipeline_that_schedule_and_roles_name(project: Any) -> None:
    from model_build.command_line import BuildRequest, complete_keywords

    def get_pipeline(pipeline_name: str) -> None:
        """Takes what the environment says."""

    request = BuildRequest(
        module_name="x",
        keywords={},
        region="eu-west-1",
        environment={"SAGEMAKER_PROJECT_NAME": "housing"},
        role_arn=None,
        job_role_arn=None,
        tags=(),
    )
    made = complete_keywords(request, get_pipeline)["pipeline_name"]
    assert project.outputs["SageMakerPipelineName"] == made
    target = project.resources["ScheduledTraining"]["Target"]["Arn"]
    assert target.endswith(f":pipeline/{made}")


@pytest.mark.parametrize("pipeline", _UNITS)
def test_a_push_to_what_the_build_reads_starts_its_pipeline(connected: Any, pipeline: str) -> None:
    buildspec, folder = _UNITS[pipeline]
    patterns = _filter(connected, pipeline)
    read = set(re.findall(r"requirements/[\w.-]+", _commands(_buildspec(buildspec))))
    read |= {buildspec, *_files(folder)}
    assert len(read) > 10
    unnoticed = [path for path in read if not any(_matches(p, path) for p in patterns)]
    assert unnoticed == []


@pytest.mark.parametrize(
    ("pipeline", "others"),
    [
        ("ModelBuildPipeline", ["model_deploy", "serving", "tests", "docs", "local_aws", "infra"]),
        ("ModelDeployPipeline", ["model_build", "serving", "tests", "docs", "local_aws", "infra"]),
    ],
)
def test_a_push_to_anything_else_starts_nothing(
    connected: Any, pipeline: str, others: list[str]
) -> None:
    patterns = _filter(connected, pipeline)
    paths = [path for folder in others for path in _files(folder)]
    paths += ["README.md", "Makefile", "tox.ini", "requirements/dev.txt"]
    paths += [
        f"requirements/{lock}.txt"
        for lock in ("model-build", "model-deploy")
        if lock.replace("-", "_") in others
    ]
    assert len(paths) > 100
    assert [path for path in paths if any(_matches(p, path) for p in patterns)] == []


@pytest.mark.parametrize("pipeline", _UNITS)
def test_each_path_of_a_filter_is_there(connected: Any, pipeline: str) -> None:
    patterns = _filter(connected, pipeline)
    # CodePipeline takes eight.
    assert len(patterns) <= 8
    for pattern in patterns:
        assert (_ROOT / pattern.removesuffix("/**")).exists(), pattern


def test_the_laptop_s_platform_has_each_parameter_that_the_project_reads(
    project: Any, render: Callable[..., Any]
) -> None:
    laptop = render("laptop.yml", TrackingUri="http://127.0.0.1:5000")
    made = {row["Name"] for row in laptop.of_type("AWS::SSM::Parameter").values()}
    read = {str(row.get("Default", "")) for row in project.template.parameters.values()}
    assert {name for name in read if name.startswith("/sagemaker-mlflow/")} == made


def _files(folder: str) -> list[str]:
    return [
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
