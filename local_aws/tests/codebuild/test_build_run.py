"""Builds as a stranger sees them: what a buildspec's phases do, and how a build ends."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit


def test_commands_share_one_shell_through_all_phases(account, phase):
    build = account.run(
        """
        version: 0.2
        env:
          exported-variables: [GREETING, WHERE, NEVER_SET]
        phases:
          install:
            commands:
              - mkdir below && cd below
              - NAME=world
          build:
            commands:
              - export GREETING="hello $NAME"
              - echo "$GREETING"
          post_build:
            commands:
              - export WHERE=$(basename "$PWD")
        """
    )

    assert build["buildStatus"] == "SUCCEEDED", account.log(build)
    assert build["exportedEnvironmentVariables"] == [
        {"name": "GREETING", "value": "hello world"},
        {"name": "WHERE", "value": "below"},
        {"name": "NEVER_SET", "value": ""},
    ]
    assert [entry["phaseType"] for entry in build["phases"]] == [
        *("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD"),
        *("BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED"),
    ]
    assert all(p["phaseStatus"] == "SUCCEEDED" for p in build["phases"][:-1])


def test_a_failed_command_ends_its_phase_with_its_real_exit_code_and_post_build_still_runs(
    account, phase
):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands:
              - echo before
              - exit 42
              - echo never printed
            finally:
              - echo "finally, succeeding=$CODEBUILD_BUILD_SUCCEEDING"
          post_build:
            commands:
              - echo "after, succeeding=$CODEBUILD_BUILD_SUCCEEDING"
        """
    )
    log = account.log(build)

    assert build["buildStatus"] == "FAILED"
    assert phase(build, "BUILD")["contexts"] == [
        {
            "statusCode": "COMMAND_EXECUTION_ERROR",
            "message": "Error while executing command: exit 42. Reason: exit status 42",
        }
    ]
    assert phase(build, "POST_BUILD")["phaseStatus"] == "SUCCEEDED"
    printed = [line for line in log.splitlines() if not line.startswith("[Container]")]
    assert printed == ["before", "finally, succeeding=0", "after, succeeding=0"]


def test_a_shell_that_a_command_ended_goes_on_with_variables_and_folder(account):
    build = account.run(
        """
        version: 0.2
        env:
          exported-variables: [KEPT]
        phases:
          build:
            commands:
              - export KEPT="two  words, 'quoted'" && mkdir here && cd here && set -e
              - false
          post_build:
            commands:
              - echo "in $(basename "$PWD")"
        """
    )

    assert build["buildStatus"] == "FAILED"
    assert build["exportedEnvironmentVariables"][0]["value"] == "two  words, 'quoted'"
    assert "in here" in account.log(build).splitlines()


def test_a_failed_pre_build_ends_the_build_before_build_and_artifacts(account, phase):
    build = account.run(
        """
        version: 0.2
        phases:
          pre_build:
            commands: ["false"]
            finally: [echo cleaning up]
          build:
            commands: [echo never]
          post_build:
            commands: [echo never]
        """
    )

    assert build["buildStatus"] == "FAILED"
    assert [entry["phaseType"] for entry in build["phases"]][4:] == [
        *("INSTALL", "PRE_BUILD", "FINALIZING", "COMPLETED"),
    ]
    log = account.log(build).splitlines()
    assert "cleaning up" in log
    assert "never" not in log


def test_on_failure_decides_whether_the_next_phase_runs(account, phase):
    goes_on = account.run(
        """
        version: 0.2
        phases:
          pre_build:
            on-failure: CONTINUE
            commands: ["false"]
          build:
            on-failure: ABORT
            commands: [echo build ran, "false"]
          post_build:
            commands: [echo never]
        """
    )

    assert goes_on["buildStatus"] == "FAILED"
    assert "build ran" in account.log(goes_on).splitlines()
    assert [entry["phaseType"] for entry in goes_on["phases"]][-3:] == [
        *("BUILD", "FINALIZING", "COMPLETED"),
    ]


def test_the_log_has_codebuilds_lines_in_the_projects_group_and_stream(account):
    name = account.create_project(
        """
        version: 0.2
        phases:
          install:
            runtime-versions: {python: "3.12"}
          build:
            commands: [echo one]
        reports:
          junit: {files: ["*.xml"]}
        """,
        logsConfig={
            "cloudWatchLogs": {"status": "ENABLED", "groupName": "mine", "streamName": "first"}
        },
    )
    build = account.finished(account.start(name))
    log = account.log(build)

    assert build["logs"]["groupName"] == "mine"
    assert build["logs"]["streamName"] == f"first/{build['id'].partition(':')[2]}"
    assert build["logs"]["deepLink"].startswith("file://")
    for text in (
        *("Phase is DOWNLOAD_SOURCE", "Entering phase BUILD", "Running command echo one"),
        *("Phase complete: BUILD State: SUCCEEDED", "local_aws ignores reports of the buildspec"),
        "runtime-versions python 3.12: local_aws has no runtimes to select from, python is 3.",
    ):
        assert any(
            line.startswith("[Container] 20") and text in line for line in log.splitlines()
        ), text
    assert "one" in log.splitlines()


def test_without_logs_config_the_stream_is_the_builds_uuid(account):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands: ["true"]
        """
    )

    assert build["logs"]["groupName"] == f"/aws/codebuild/{build['projectName']}"
    assert build["logs"]["streamName"] == build["id"].partition(":")[2]


def test_a_build_is_told_about_when_it_starts_and_when_it_ends(account):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands: [exit 3]
        """
    )
    events = [e.document for e in account.events if e.document["resources"] == [build["arn"]]]

    assert [event["detail"]["build-status"] for event in events] == ["IN_PROGRESS", "FAILED"]
    last = events[-1]
    assert last["source"] == "aws.codebuild"
    assert last["detail-type"] == "CodeBuild Build State Change"
    assert last["detail"]["project-name"] == build["projectName"]
    assert last["detail"]["build-id"] == build["arn"]
    information = last["detail"]["additional-information"]
    assert information["build-complete"] is True
    assert information["logs"]["stream-name"] == build["logs"]["streamName"]
    (context,) = [p["phase-context"] for p in information["phases"] if p["phase-type"] == "BUILD"]
    assert context == [
        "COMMAND_EXECUTION_ERROR: Error while executing command: exit 3. Reason: exit status 3"
    ]


def test_nothing_that_a_command_left_running_outlives_the_build(account, tmp_path):
    build = account.run(
        f"""
        version: 0.2
        phases:
          build:
            commands:
              - (sleep 1; echo alive >{tmp_path}/alive) &
        """
    )
    time.sleep(1.2)

    assert build["buildStatus"] == "SUCCEEDED"
    assert not (tmp_path / "alive").exists()


def test_an_unknown_key_of_the_buildspec_fails_the_download_phase_by_name(account, phase):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            comands: [echo hello]
        """
    )

    assert build["buildStatus"] == "FAILED"
    (context,) = phase(build, "DOWNLOAD_SOURCE")["contexts"]
    assert context["statusCode"] == "YAML_FILE_ERROR"
    assert context["message"].startswith("unknown in phases/build: comands. Known here: ")


def test_the_log_file_grows_while_a_command_runs(account, tmp_path):
    name = account.create_project(
        f"""
        version: 0.2
        phases:
          build:
            commands:
              - echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; printf unfinished
        """
    )
    build_id = account.start(name)
    path = Path(urlsplit(account.build(build_id)["logs"]["deepLink"]).path)
    while not path.exists() or "\nfirst\n" not in path.read_text():
        time.sleep(0.05)
    while "first" not in account.log(account.build(build_id)).splitlines():
        time.sleep(0.05)
    (tmp_path / "go").touch()
    build = account.finished(build_id)

    assert "unfinished" in account.log(build).splitlines()


def test_a_build_that_prints_without_end_has_a_log_of_bounded_size(account):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands:
              - echo first
              - for n in 1 2 3; do yes "the same line again" | head -c 9000000; done
              - echo last
        """
    )

    path = Path(urlsplit(build["logs"]["deepLink"]).path)
    assert build["buildStatus"] == "SUCCEEDED"
    assert path.stat().st_size < 20 << 20
    lines = path.read_text().splitlines()
    assert "last" in lines
    assert any(line.startswith(("local_aws left out", "local_aws dropped")) for line in lines)
    assert "last" in account.log(build).splitlines()


def test_a_build_keeps_its_log_and_nothing_else(account):
    build = account.run(
        """
        version: 0.2
        phases:
          build:
            commands: [echo large >file]
        """
    )
    path = Path(urlsplit(build["logs"]["deepLink"]).path)
    deadline = time.monotonic() + 10
    while path.with_suffix("").exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
