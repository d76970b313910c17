"""The buildspec as it is read: what is understood, what is refused and how."""

from __future__ import annotations

import pytest

from local_aws.codebuild.buildspec import BuildspecError, parse_buildspec

BUILD = "phases: {build: {commands: [make]}}"


def test_scalars_stay_the_text_that_was_written():
    spec = parse_buildspec(f"version: 0.2\nenv: {{variables: {{A: 1.10, B: no, C: 007}}}}\n{BUILD}")

    assert spec.variables == {"A": "1.10", "B": "no", "C": "007"}
    assert spec.phases["build"].commands == ["make"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BUILD, "buildspec version (none) is not supported here; use 0.2"),
        (f"version: 0.1\n{BUILD}", "buildspec version 0.1 is not supported here; use 0.2"),
        ("version: 0.2", "the buildspec has no phases"),
        ("just text", "the buildspec must be a mapping, not the text 'just text'"),
        (
            "version: 0.2\nphases: {deploy: {}}",
            "unknown in phases: deploy. Known here: build, install, post_build, pre_build",
        ),
        (
            f"version: 0.2\nrun-as: me\n{BUILD}",
            "local_aws does not support in the buildspec: run-as. Known here: "
            "artifacts, cache, env, phases, reports, version",
        ),
        (
            f"version: 0.2\nenv: {{parameter-store: {{A: /a}}}}\n{BUILD}",
            "local_aws does not support in env: parameter-store. Known here: "
            "exported-variables, git-credential-helper, shell, variables",
        ),
        (
            f"version: 0.2\nenv: {{shell: powershell.exe}}\n{BUILD}",
            "env/shell 'powershell.exe' cannot run here; use bash or sh",
        ),
        (
            "version: 0.2\nphases: {build: {commands: [echo a: b]}}",
            "Expected phases/build/commands[0] to be of string type: found subkeys. "
            'A text with ": " in it needs quotes.',
        ),
        (
            "version: 0.2\nphases: {build: {commands: make}}",
            "phases/build/commands must be a list, not the text 'make'",
        ),
        (
            "version: 0.2\nphases: {build: {on-failure: RETRY}}",
            "phases/build/on-failure 'RETRY': only ABORT and CONTINUE run here",
        ),
        (
            "version: 0.2\nphases: {install: {runtime-versions: {nodejs: 22}}}",
            "unknown in phases/install/runtime-versions: nodejs. Known here: python",
        ),
        (f"version: 0.2\nartifacts: {{base-directory: a}}\n{BUILD}", "artifacts has no files"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(BuildspecError) as caught:
        parse_buildspec(text)

    assert str(caught.value) == message


def test_broken_yaml_is_said_with_its_place():
    with pytest.raises(BuildspecError, match=r"(?s)not valid YAML: .*line 2"):
        parse_buildspec("version: 0.2\nphases: [")
