from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from model_deploy import reconcile
from model_deploy.mlflow_handler import Evidence, MLflowHandler

_NEW, _OLD, _UNPROVEN = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def project(
    registry: Any, sagemaker: Any, register_versions: Callable[[int], str], tmp_path: Path
) -> Project:
    return Project(registry, sagemaker, register_versions(3), tmp_path)


class Project:
    """A project whose prod endpoint passed with version 1 and then with version 2."""

    def __init__(self, registry: Any, sagemaker: Any, model: str, folder: Path) -> None:
        self.registry, self.sagemaker, self.model = registry, sagemaker, model
        self.name = f"shop-{model}"
        self.arn = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{self.name}-prod"
        self.config = folder / "prod-config-export.json"
        self.config.write_text(
            json.dumps(
                {
                    "Parameters": {
                        "SageMakerProjectName": self.name,
                        "StageName": "prod",
                        "ModelExecutionRoleArn": "arn:aws:iam::123456789012:role/model",
                    },
                    "Tags": {"mlflow:model-name": model, "mlflow:tracking-uri": registry.uri},
                }
            )
        )
        for version, digest in (("1", _OLD), ("2", _NEW)):
            self.passed(version, digest)
        self.serve(_NEW)

    def passed(self, version: str, digest: str, stage: str = "Production") -> None:
        handler = MLflowHandler(self.registry.uri, self.model, version)
        handler.record_archive(digest, f"s3://bucket/{digest}/model.tar.gz")
        evidence = Evidence(
            endpoint_arn=self.arn, archive_sha256=digest, pipeline_execution_id=f"of-{version}"
        )
        handler.move_stage(stage, evidence)

    def serve(self, digest: str) -> None:
        url = f"s3://bucket/archives/{self.model}/{digest}/model.tar.gz"
        self.sagemaker.model = {"PrimaryContainer": {"ModelDataUrl": url}}

    def run(self, *flags: str) -> int:
        return reconcile.main(["--import-build-config", str(self.config), *flags])

    @property
    def says(self) -> tuple[dict[str, str], dict[str, str]]:
        return self.registry.stages(self.model), self.registry.aliases(self.model)


_SETTLED = ({"1": "Archived", "2": "Production", "3": "None"}, {"champion": "2"})
_ROLLED_BACK = ({"1": "Production", "2": "Archived", "3": "None"}, {"champion": "1"})
_NOBODY = ({"1": "Archived", "2": "Archived", "3": "None"}, {})


def test_a_registry_that_tells_the_truth_is_the_same(project: Project, capsys: Any) -> None:
    assert project.run() == 0
    assert capsys.readouterr().out == (
        "Production: same\n"
        f"  {project.name}-prod serves archive {_NEW[:12]}, version 2 of '{project.model}'\n"
        f"  registry: version 2 of '{project.model}' is Production and champion\n"
        f"  version 2 of '{project.model}' passed there, and has it\n"
    )
    assert project.run("--apply") == 0
    assert project.says == _SETTLED


def test_after_a_rollback_the_old_version_has_the_stage_again(
    project: Project, capsys: Any
) -> None:
    project.serve(_OLD)
    assert project.run() == 1
    assert project.says == _SETTLED
    assert "version 1 of" in capsys.readouterr().out
    assert project.run("--apply", "--json") == 0
    [finding] = json.loads(capsys.readouterr().out)
    assert finding["outcome"] == "settled"
    assert project.says == _ROLLED_BACK
    tags = project.registry.tags(project.model, "1")
    assert tags["deploy.production_pipeline_execution_id"] == "of-1"
    assert project.run("--apply") == project.run() == 0


def test_a_move_that_mlflow_lost_is_made_good(project: Project) -> None:
    project.registry.client.delete_registered_model_alias(project.model, "champion")
    assert project.run() == 1
    assert project.run("--apply") == 0
    assert project.says == _SETTLED


def test_what_no_test_passed_is_never_promoted(project: Project, capsys: Any) -> None:
    MLflowHandler(project.registry.uri, project.model, "3").record_archive(_UNPROVEN, "s3://x")
    project.serve(_UNPROVEN)
    assert project.run() == 1
    assert "is what no test passed there" in capsys.readouterr().out
    assert project.run("--apply") == 0
    assert project.says == _NOBODY
    told = project.registry.tags(project.model, "2")["deploy.replaced_by"]
    assert told == f"archive {_UNPROVEN[:12]} of {project.name}-prod"


def test_evidence_of_another_endpoint_proves_nothing_here(project: Project) -> None:
    model = f"{project.model}-2"
    for _ in range(3):
        project.registry.register(model)
    other = Project(project.registry, project.sagemaker, model, project.config.parent)
    other.serve(_OLD)  # passed on both endpoints, as a version of each model
    assert other.run("--apply") == 0
    assert project.says == _SETTLED
    assert other.says == _ROLLED_BACK


def test_without_an_endpoint_nobody_has_the_stage(project: Project) -> None:
    message = f'Could not find endpoint "{project.name}-prod".'
    project.sagemaker.refusal = (400, "ValidationException", message)
    assert project.run() == 1
    assert project.run("--apply") == 0
    assert project.says == _NOBODY


@pytest.mark.parametrize("status", ["Updating", "RollingBack", "Creating"])
def test_an_endpoint_in_motion_settles_nothing(project: Project, capsys: Any, status: str) -> None:
    project.serve(_OLD)
    project.sagemaker.statuses = [status]
    assert project.run("--apply") == 1
    assert f"an endpoint that is {status}: nothing is settled now" in capsys.readouterr().out
    assert project.says == _SETTLED


def test_a_holder_without_evidence_is_left_to_people(project: Project, capsys: Any) -> None:
    project.serve(_UNPROVEN)
    assert project.run("--apply") == 0
    project.registry.set_stage(project.model, "3", "Production")
    project.registry.client.set_registered_model_alias(project.model, "champion", "1")
    before = project.says
    capsys.readouterr()
    for flags in ([], ["--apply"]):
        assert project.run(*flags) == 1
        out = capsys.readouterr().out
        assert out.startswith("Production: different\n")
        assert f"left to people: version 3 of '{project.model}' is Production without" in out
        assert f"champion is version 1 of '{project.model}', which is Archived: delete" in out
        assert project.says == before


@pytest.mark.parametrize(("stage_of", "alias_to"), [("3", ""), ("1", ""), ("", "1"), ("3", "3")])
def test_what_a_person_set_beside_a_proven_version_is_different_and_settled(
    project: Project, capsys: Any, stage_of: str, alias_to: str
) -> None:
    if stage_of:
        project.registry.set_stage(project.model, stage_of, "Production")
    if alias_to:
        project.registry.client.set_registered_model_alias(project.model, "champion", alias_to)
    assert project.run() == 1
    out = capsys.readouterr().out
    assert out.startswith("Production: different\n")
    assert f"version {stage_of or alias_to} of '{project.model}'" in out
    assert project.run("--apply") == 0
    archived = {"3": "Archived"} if stage_of == "3" else {}
    assert project.says == ({**_SETTLED[0], **archived}, {"champion": "2"})
    assert project.run() == 0


@pytest.mark.parametrize("served", ["1", "2"])
def test_a_challenger_set_by_hand_is_different_while_staging_serves_another(
    project: Project, served: str
) -> None:
    """Version 1 is Archived and becomes Staging; 2 is in Production, and nobody is challenger."""
    config = json.loads(project.config.read_text())
    config["Parameters"]["StageName"] = "staging"
    project.config.write_text(json.dumps(config))
    project.arn = project.arn.replace("-prod", "-staging")
    digest = {"1": _OLD, "2": _NEW}[served]
    project.passed(served, digest, "Staging")
    project.serve(digest)
    assert project.run() == 0
    truth = project.says
    project.registry.client.set_registered_model_alias(project.model, "challenger", "3")
    assert project.run() == 1
    assert project.run("--apply") == 0
    assert project.says == truth


def test_an_endpoint_with_two_models_settles_nothing(
    project: Project, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = project.sagemaker.describe

    def with_two_models(operation: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, answer = describe(operation, params)
        if operation == "DescribeEndpointConfig":
            answer["ProductionVariants"] = [{"ModelName": "two"}, {"ModelName": "one"}]
        if operation == "DescribeModel":
            digest = _OLD if params["ModelName"] == "one" else _NEW
            answer["PrimaryContainer"] = {"ModelDataUrl": f"s3://b/{digest}/model.tar.gz"}
        return status, answer

    monkeypatch.setattr(project.sagemaker, "describe", with_two_models)
    assert project.run("--apply") == 1
    archives = f"several archives (s3://b/{_NEW}/model.tar.gz, s3://b/{_OLD}/model.tar.gz)"
    out = capsys.readouterr().out
    assert "Production: undecided" in out
    assert f"{archives}: nothing is settled now" in out
    assert project.says == _SETTLED


def test_an_archive_that_no_build_named_passed_nowhere(project: Project, capsys: Any) -> None:
    url = "s3://bucket/by-hand.tar.gz"
    project.sagemaker.model = {"PrimaryContainer": {"ModelDataUrl": url}}
    assert project.run() == 1
    assert f"but {url} is what no test passed there" in capsys.readouterr().out
    assert project.run("--apply") == 0
    assert project.says == _NOBODY


def test_in_staging_a_version_of_production_is_in_its_place(
    project: Project, capsys: Any, tmp_path: Path
) -> None:
    document = json.loads(project.config.read_text())
    document["Parameters"]["StageName"] = "staging"
    staging = tmp_path / "staging-config-export.json"
    staging.write_text(json.dumps(document))
    project.arn = project.arn.removesuffix("prod") + "staging"
    project.passed("2", _NEW, "Staging")
    project.passed("3", _OLD, "Staging")
    assert project.run("--import-build-config", str(staging), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert [(each["stage"], each["outcome"]) for each in found] == [
        ("Production", "same"),
        ("Staging", "different"),
    ]
    assert f"version 3 of '{project.model}' has Staging and is not served" in found[1]["detail"]
    assert project.run("--import-build-config", str(staging), "--apply") == 0
    assert project.says == (
        {"1": "Archived", "2": "Production", "3": "Archived"},
        {"champion": "2"},
    )
    assert project.run("--import-build-config", str(staging)) == 0


def test_what_stays_different_after_it_was_settled_is_unsettled(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.serve(_OLD)
    monkeypatch.setattr(reconcile, "_settle", lambda *_: None)  # as if another undid it
    assert project.run("--apply") == 4
    assert "after it was settled once" in caplog.text


def test_mlflow_is_the_flag_s_then_the_environment_s_then_the_configuration_s(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = "sqlite:////no/such/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", nowhere)
    assert project.run("--tracking-uri", project.registry.uri) == 0
    assert project.run() == 3
    assert nowhere in caplog.text
    document = json.loads(project.config.read_text())
    document["Tags"]["mlflow:tracking-uri"] = nowhere
    project.config.write_text(json.dumps(document))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.registry.uri)
    assert project.run() == 0
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    document["Tags"]["mlflow:tracking-uri"] = ""
    project.config.write_text(json.dumps(document))
    assert project.run("--credentials-secret", "not-an-arn") == 2
    assert "--tracking-uri is missing" in caplog.text
    assert "not-an-arn" in caplog.text
    document["Tags"]["mlflow:model-name"] = "=ZZ"
    project.config.write_text(json.dumps(document))
    assert project.run() == 2
    assert "Tags.mlflow:model-name" in caplog.text


def test_an_interrupted_command_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reconcile, "describe", interrupt)
    assert project.run() == 130
    assert "interrupted; repeat it" in caplog.text


def test_aws_out_of_reach_is_exit_code_3(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws.invalid:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert project.run() == 3
    assert f"could not describe endpoint '{project.name}-prod'" in caplog.text


def test_an_endpoint_that_changes_meanwhile_is_not_settled(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.serve(_OLD)
    project.sagemaker.statuses = ["InService", "Updating"]
    assert project.run("--apply") == 4
    assert "serves something else by now" in caplog.text
    assert project.says == _SETTLED


def test_aws_that_refuses_is_exit_code_3(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.sagemaker.refusal = (400, "AccessDeniedException", "no sagemaker:DescribeEndpoint")
    assert project.run("--apply") == 3
    assert "no sagemaker:DescribeEndpoint" in caplog.text


def test_a_configuration_that_lacks_something_is_exit_code_2(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "prod-config-export.json"
    config.write_text(json.dumps({"Parameters": {"StageName": "live"}, "Tags": {}}))
    assert reconcile.main(["--import-build-config", str(config)]) == 2
    assert "Parameters.SageMakerProjectName is missing" in caplog.text
    assert "Parameters.StageName is 'live', not staging or prod" in caplog.text


def test_a_role_that_is_no_arn_is_exit_code_2(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    config = json.loads(project.config.read_text())
    config["Parameters"]["ModelExecutionRoleArn"] = "my-role"
    project.config.write_text(json.dumps(config))
    assert project.run() == 2
    assert "ModelExecutionRoleArn is 'my-role', not the ARN of a role" in caplog.text


def test_help_tells_no_default_of_what_must_be_given() -> None:
    told = " ".join(reconcile.build_parser().format_help().split())
    assert "it must be given, and may be repeated --import-test-results" in told


class _Results:
    """What test-endpoint left of a test of version 3, which MLflow was not told of."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.path = folder / "test-results.json"
        self.document: dict[str, Any] = {
            "passed": True,
            "stage_moved": False,
            "stage_name": "prod",
            "model_name": project.model,
            "model_version": "3",
            "evidence": asdict(
                Evidence(endpoint_arn=project.arn, archive_sha256=_UNPROVEN, approved_by="ana")
            ),
        }

    def flags(self, **said: Any) -> tuple[str, str]:
        self.path.write_text(json.dumps({**self.document, **said}))
        return "--import-test-results", str(self.path)


@pytest.fixture
def results(project: Project, tmp_path: Path) -> _Results:
    return _Results(project, tmp_path)


def test_a_test_that_passed_and_could_not_tell_mlflow_is_believed(
    project: Project, results: _Results
) -> None:
    project.serve(_UNPROVEN)
    assert project.run(*results.flags()) == 1
    assert project.says == _SETTLED
    assert project.run(*results.flags(), "--apply") == 0
    told = ({"1": "Archived", "2": "Archived", "3": "Production"}, {"champion": "3"})
    assert project.says == told
    tags = project.registry.tags(project.model, "3")
    assert tags["deploy.production_approved_by"] == "ana"
    # Once more: it is known, and nothing is added.
    assert project.run(*results.flags(), "--apply") == 0
    assert project.registry.tags(project.model, "3") == tags


def test_without_its_results_what_no_test_is_known_to_have_passed_has_no_stage(
    project: Project,
) -> None:
    project.serve(_UNPROVEN)
    assert project.run("--apply") == 0
    assert project.says == _NOBODY


@pytest.mark.parametrize("moved", [True, False])
def test_a_later_deployment_settles_itself(
    project: Project, results: _Results, moved: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The endpoint already serves what another execution deployed, not tested yet."""
    project.serve("f" * 64)
    assert project.run(*results.flags(stage_moved=moved), "--apply") == 0
    assert "Production: superseded" in capsys.readouterr().out
    assert project.says == _SETTLED


@pytest.mark.parametrize(("moved", "code"), [(True, 0), (False, 1)])
def test_an_endpoint_in_motion_is_a_later_deployment_only_if_mlflow_was_told(
    project: Project, results: _Results, moved: bool, code: int
) -> None:
    project.sagemaker.statuses = ["Updating"]
    assert project.run(*results.flags(stage_moved=moved), "--apply") == code
    assert project.says == _SETTLED


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"passed": False}, "did not pass: it proves nothing"),
        ({"stage_name": "staging"}, "--import-test-results is of Staging"),
        ({"evidence": None}, "it is not what model_deploy.test writes"),
        ({"evidence": {"endpoint_arn": "arn"}}, "lacks endpoint_arn or archive_sha256"),
        ({"stage_name": "uat"}, "it is not what model_deploy.test writes"),
    ],
)
def test_results_that_prove_nothing_change_nothing(
    project: Project,
    results: _Results,
    said: dict[str, Any],
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    project.serve(_UNPROVEN)
    assert project.run(*results.flags(**said), "--apply") == 2
    assert told in caplog.text
    assert project.says == _SETTLED


def test_without_a_model_s_name_or_its_record_only_evidence_counts(
    project: Project, capsys: Any
) -> None:
    document = json.loads(project.config.read_text())
    for name in ("", "no-such-model"):
        document["Tags"]["mlflow:model-name"] = name
        project.config.write_text(json.dumps(document))
        assert project.run() == 0
        told = f"registry: version 2 of '{project.model}' is Production and champion\n"
        assert told in capsys.readouterr().out


def test_without_a_client_for_aws_the_command_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert project.run() == 3
    assert "no AWS client: " in caplog.text
