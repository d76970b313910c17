"""What a build leaves in S3."""

from __future__ import annotations

import json

MAKE = """
version: 0.2
env:
  variables: {{NAME: from-the-spec.json}}
phases:
  build:
    commands:
      - mkdir -p out/deep && echo one >out/one.txt && echo two >out/deep/two.txt
      - echo hidden >out/.hidden && echo {{}} >$NAME
{artifacts}
"""


def _spec(artifacts: str) -> str:
    return MAKE.format(artifacts=artifacts)


def _settings(account, **settings):
    return {
        "type": "S3",
        "location": account.bucket,
        "name": "a.zip",
        "packaging": "ZIP",
        **settings,
    }


def test_globs_and_variables_choose_files_below_the_base_directory(account):
    spec = _spec("artifacts: {files: ['**/*'], base-directory: out}")
    build = account.run(spec, artifacts=_settings(account, path="some/where", name="key.zip"))

    assert build["artifacts"]["location"] == f"arn:aws:s3:::{account.bucket}/some/where/key.zip"
    assert account.content(build) == {
        ".hidden": "hidden\n",
        "deep/two.txt": "two\n",
        "one.txt": "one\n",
    }
    assert len(build["artifacts"]["sha256sum"]) == 64

    spec = _spec("artifacts: {files: [$NAME, out/one.txt]}")
    build = account.run(spec, artifacts=_settings(account))
    assert account.content(build) == {"from-the-spec.json": "{}\n", "out/one.txt": "one\n"}


def test_a_missing_file_fails_the_build_in_upload_artifacts(account, phase):
    spec = _spec("artifacts: {files: [out/one.txt, out/three.txt]}")
    build = account.run(spec, artifacts=_settings(account, name="missing.zip"))

    assert build["buildStatus"] == "FAILED"
    assert phase(build, "UPLOAD_ARTIFACTS")["contexts"] == [
        {
            "statusCode": "CLIENT_ERROR",
            "message": "no matching artifact paths found: out/three.txt in .",
        }
    ]
    listed = account.s3.list_objects_v2(Bucket=account.bucket, Prefix="missing.zip")
    assert listed["KeyCount"] == 0


def test_a_missing_base_directory_fails_the_build(account, phase):
    spec = _spec("artifacts: {files: ['*'], base-directory: dist}")
    build = account.run(spec, artifacts=_settings(account))

    (context,) = phase(build, "UPLOAD_ARTIFACTS")["contexts"]
    assert context["message"] == "no matching base directory path found for dist"


def test_artifacts_are_uploaded_even_after_a_failed_build_phase(account, phase):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands: [echo report >report.txt, exit 1]
        artifacts: {files: [report.txt]}
        """,
        artifacts=_settings(account),
    )

    assert build["buildStatus"] == "FAILED"
    assert phase(build, "UPLOAD_ARTIFACTS")["phaseStatus"] == "SUCCEEDED"
    assert account.content(build) == {"report.txt": "report\n"}


def test_the_projects_key_encrypts_what_is_stored(account):
    key = account.own.client("kms").create_key()["KeyMetadata"]["Arn"]
    spec = _spec("artifacts: {files: [out/one.txt]}")
    account.run(spec, artifacts=_settings(account, name="secret.zip"), encryptionKey=key)

    stored = account.s3.head_object(Bucket=account.bucket, Key="secret.zip")
    assert (stored["ServerSideEncryption"], stored["SSEKMSKeyId"]) == ("aws:kms", key)


def test_a_build_as_codepipeline_starts_it(account):
    pipeline = {"type": "CODEPIPELINE"}
    name = account.create_project(
        files={}, source={**pipeline, "buildspec": "ci/spec.yml"}, artifacts=pipeline
    )
    spec = """
        version: 0.2
        env:
          exported-variables: [SAID]
        phases:
          build:
            commands:
              - export SAID="$CODEBUILD_RESOLVED_SOURCE_VERSION by $CODEBUILD_INITIATOR"
              - cp "$CODEBUILD_SRC_DIR_BuildArtifact/config.json" result.json
        artifacts: {files: [result.json]}
        """
    build = account.finished(
        account.start(
            name,
            sourceTypeOverride="S3",
            sourceLocationOverride=account.put_zip({"ci/spec.yml": spec}),
            sourceVersion="0123abc",
            secondarySourcesOverride=[
                {
                    "type": "S3",
                    "location": account.put_zip({"config.json": json.dumps({"stage": "prod"})}),
                    "sourceIdentifier": "BuildArtifact",
                }
            ],
            artifactsOverride={
                "type": "S3",
                "location": account.bucket,
                "path": "",
                "name": "pipeline/BuildArt/x1y2z3",
                "packaging": "ZIP",
                "namespaceType": "NONE",
            },
            environmentVariablesOverride=[
                {"name": "CODEBUILD_INITIATOR", "value": "codepipeline/my-pipeline"}
            ],
        )
    )

    assert build["buildStatus"] == "SUCCEEDED", account.log(build)
    assert build["initiator"] == "codepipeline/my-pipeline"
    assert (build["sourceVersion"], build["resolvedSourceVersion"]) == ("0123abc", "0123abc")
    assert build["exportedEnvironmentVariables"] == [
        {"name": "SAID", "value": "0123abc by codepipeline/my-pipeline"}
    ]
    assert account.content(build) == {"result.json": '{"stage": "prod"}'}
    assert build["artifacts"]["location"].endswith("/pipeline/BuildArt/x1y2z3")
