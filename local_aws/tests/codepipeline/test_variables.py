"""Variables: of the pipeline, of the execution, of actions."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.codepipeline.variables import UnresolvedVariable, references, resolve


def test_references_are_replaced_wherever_they_stand() -> None:
    values = {"Build": {"NAME": "housing", "VERSION": "3"}}
    assert resolve("#{Build.NAME} v#{Build.VERSION}!", values) == "housing v3!"
    assert resolve("no reference: #Build.NAME", values) == "no reference: #Build.NAME"
    assert references("#{a.b} and #{c}") == ["a.b", "c"]
    with pytest.raises(UnresolvedVariable, match=r"Build\.OTHER"):
        resolve("#{Build.OTHER}", values)


def asking(account: Any, declare: Any, text: str, **members: Any) -> Any:
    return account.create(
        account.source_stage(namespace="Source"),
        declare.stage("Ask", declare.approval(configuration={"CustomData": text})),
        **members,
    )


def told(pipeline: Any, execution_id: str) -> str:
    pipeline.asked("Ask", "Approve", execution_id)
    run = pipeline.runs(execution_id)[-1]
    return str(run["input"]["resolvedConfiguration"]["CustomData"])


def test_variables_of_execution_and_source(account: Any, declare: Any) -> None:
    text = "#{codepipeline.PipelineExecutionId} #{Source.RepositoryName}"
    pipeline = asking(account, declare, text)

    execution_id = pipeline.first()
    words = told(pipeline, execution_id)
    assert pipeline.runs(execution_id)[-1]["input"]["configuration"]["CustomData"] == text
    variables = pipeline.runs(execution_id)[0]["output"]["outputVariables"]
    assert words == f"{execution_id} {variables['RepositoryName']}"
    (revision,) = pipeline.execution(execution_id)["artifactRevisions"]
    assert revision["name"] == "Code"
    assert revision["revisionId"] == variables["CommitId"]
    current = pipeline.action("Source", "Fetch")["currentRevision"]
    assert current["revisionId"] == variables["CommitId"]


@pytest.mark.parametrize(
    "asked",
    [
        {"variables": [{"name": "a", "value": "b"}]},
        {
            "sourceRevisions": [
                {"actionName": "Fetch", "revisionType": "COMMIT_ID", "revisionValue": "c0ffee"}
            ]
        },
    ],
)
def test_what_a_start_may_not_ask_for_is_refused_by_name(
    account: Any, declare: Any, asked: dict[str, Any]
) -> None:
    pipeline = asking(account, declare, "x")
    (member,) = asked
    with pytest.raises(ClientError, match=f"local_aws does not emulate {member}"):
        pipeline.start(**asked)


def test_variable_that_no_action_gave_fails_the_action(account: Any, declare: Any) -> None:
    pipeline = asking(account, declare, "#{Source.VersionId}")

    assert pipeline.ended(pipeline.first()) == "Failed"
    message = pipeline.latest("Ask", "Approve")["errorDetails"]["message"]
    assert message.startswith(
        "An action in this pipeline failed because one or more variables could not be resolved: "
        "Action name=[Approve]"
    )
    assert "#{Source.VersionId}" in message
