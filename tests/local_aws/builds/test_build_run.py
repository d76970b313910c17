"""Builds as a stranger sees them: what a buildspec's phases do, and how a build ends."""

from __future__ import annotations


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
