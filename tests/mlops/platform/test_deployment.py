"""Stacks deployed by small templates on local_aws, and states that only AWS gets into."""

from __future__ import annotations

import dataclasses
import io
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from rich.console import Console

from mlops.account import Account
from mlops.display import Display
from mlops.errors import DeploymentFailed, InputError
from mlops.platform import deployment
from mlops.platform.deployment import DeployOptions, StackPlan, deploy_stack, missing_parameters
from mlops.platform.stacks import IMAGES, MLFLOW, NETWORK, DeployedStack, StackKind, find_stack
from mlops.platform.templates import BODY_LIMIT_BYTES, parse_template

UNASKED = DeployOptions(yes=True, delay_seconds=0.05)
LOOK = DeployOptions(dry_run=True, delay_seconds=0.05)


class Seen(Display):
    """What a person would see; `answer` is what the person types."""

    def __init__(self, answer: str | None = None) -> None:
        out, err = (Console(file=io.StringIO(), width=160) for _ in range(2))
        super().__init__(out=out, err=err, interactive=answer is not None)
        object.__setattr__(self, "answer", answer)

    def confirm(self, question: str, word: str = "yes") -> bool:
        self.say(question)
        return bool(self.answer == word)  # type: ignore[attr-defined]

    @property
    def results(self) -> str:
        return str(self.out.file.getvalue())  # type: ignore[attr-defined]

    @property
    def told(self) -> str:
        return str(self.err.file.getvalue())  # type: ignore[attr-defined]


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": properties}


# A pattern that AWS and local_aws refuse.
BROKEN = {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": {"source": "no list"}}}
SHOWN = {"One": topic(DisplayName={"Ref": "Shown"})}


@pytest.fixture
def plan(local_account: Account) -> Callable[..., StackPlan]:
    """plan(resources, kind=NETWORK, Shown="x"): of a stack that is the test's own."""
    name = f"stack-{uuid.uuid4().hex[:8]}"

    def planned(
        resources: Mapping[str, Any],
        kind: StackKind = NETWORK,
        declared: Mapping[str, Any] | None = None,
        **parameters: str | None,
    ) -> StackPlan:
        declared = declared or {"Shown": {"Type": "String", "Default": "me"}}
        template = {"Parameters": declared, "Resources": resources}
        return StackPlan(
            kind=kind,
            name=name,
            template=parse_template(json.dumps(template)),
            parameters=parameters,
            tags={"application": "test"},
            deployed=find_stack(local_account.client("cloudformation"), name),
        )

    return planned


@pytest.fixture
def stack(
    local_account: Account, plan: Callable[..., StackPlan]
) -> Callable[[], DeployedStack | None]:
    """stack(): the test's stack as it is now."""
    name = plan({}).name
    return lambda: find_stack(local_account.client("cloudformation"), name)


def test_a_new_stack_is_shown_made_and_followed(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    seen = Seen()
    assert deploy_stack(local_account, plan(SHOWN), UNASKED, seen) is True
    assert stack().status == "CREATE_COMPLETE"
    assert stack().tags == {"application": "test"}
    assert not stack().termination_protection
    assert ": a new stack\n" in seen.results
    assert "add     One       AWS::SNS::Topic" in seen.results
    assert "CREATE_COMPLETE       One  AWS::SNS::Topic" in seen.told


def test_without_changes_it_says_so(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    deploy_stack(local_account, plan(SHOWN), UNASKED, Seen())
    seen = Seen()
    assert deploy_stack(local_account, plan(SHOWN), UNASKED, seen) is False
    assert seen.results == f"{plan(SHOWN).name}: no changes\n"
    assert stack().status == "CREATE_COMPLETE"


def test_an_update_shows_which_values_differ(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    deploy_stack(local_account, plan(SHOWN, Shown="first"), UNASKED, Seen())
    seen = Seen()
    deploy_stack(local_account, plan(SHOWN, Shown="second"), UNASKED, seen)
    assert stack().parameters == {"Shown": "second"}
    assert "parameter  from   to    \nShown      first  second" in seen.results
    assert "modify  One       AWS::SNS::Topic  no        DisplayName" in seen.results


def test_what_the_parameter_store_says_by_now_is_shown(
    local_account: Account, plan: Callable[..., StackPlan]
) -> None:
    name = f"/{plan({}).name}/images/server"
    declared = {"Shown": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": name}}
    seen = Seen()
    for value in ("server@1", "server@2"):
        local_account.client("ssm").put_parameter(
            Name=name, Value=value, Type="String", Overwrite=True
        )
        deploy_stack(local_account, plan(SHOWN, declared=declared), UNASKED, seen)
    assert f"Shown ({name})  server@1  server@2" in seen.results


def test_a_kept_value_is_shown_as_no_change(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    deploy_stack(local_account, plan(SHOWN, Shown="first"), UNASKED, Seen())
    seen = Seen()
    more = {**SHOWN, "Two": topic()}
    deploy_stack(local_account, plan(more, Shown=None), UNASKED, seen)
    assert stack().parameters == {"Shown": "first"}
    assert "parameter" not in seen.results


def test_stacks_with_data_are_protected_also_without_changes(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    deploy_stack(local_account, plan(SHOWN), UNASKED, Seen())
    deploy_stack(local_account, plan(SHOWN, kind=MLFLOW), UNASKED, Seen())
    assert stack().termination_protection


def test_a_dry_run_makes_nothing(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    seen = Seen()
    assert deploy_stack(local_account, plan(SHOWN, kind=MLFLOW), LOOK, seen) is False
    assert stack() is None
    assert "One" in seen.results


def test_who_does_not_say_yes_gets_nothing(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    asked = dataclasses.replace(UNASKED, yes=False)
    seen = Seen(answer="no")
    with pytest.raises(DeploymentFailed, match=r"stopped before stack-\w+; it is as it was"):
        deploy_stack(local_account, plan(SHOWN), asked, seen)
    assert f"Deploy {plan(SHOWN).name}?" in seen.told
    assert stack() is None
    assert deploy_stack(local_account, plan(SHOWN), asked, Seen(answer="yes"))


def test_the_first_real_reason_is_told_and_what_to_do(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    with pytest.raises(DeploymentFailed) as failed:
        deploy_stack(local_account, plan({**SHOWN, "Broken": BROKEN}), UNASKED, Seen())
    title, reason, remedy = str(failed.value).splitlines()
    assert title == f"{plan(SHOWN).name} ended in ROLLBACK_COMPLETE:"
    assert reason.startswith("  - Broken (AWS::Events::Rule): ")
    assert "the next `deploy` clears the stack away and begins anew" in remedy
    assert stack().status == "ROLLBACK_COMPLETE"


def test_what_never_came_to_be_is_cleared_away_first(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    with pytest.raises(DeploymentFailed):
        deploy_stack(local_account, plan({"Broken": BROKEN}), UNASKED, Seen())
    first = stack()
    local_account.client("cloudformation").update_termination_protection(
        StackName=first.name, EnableTerminationProtection=True
    )
    looked = Seen()
    deploy_stack(local_account, plan(SHOWN), LOOK, looked)
    assert stack().id == first.id
    assert "its creation failed; `deploy` deletes what is left" in looked.results

    seen = Seen()
    deploy_stack(local_account, plan(SHOWN), UNASKED, seen)
    assert "is in ROLLBACK_COMPLETE: it never came to be. Deleting what is left." in seen.told
    assert stack().status == "CREATE_COMPLETE"
    assert stack().id != first.id


def test_a_failed_update_says_that_all_is_as_before(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    deploy_stack(local_account, plan(SHOWN), UNASKED, Seen())
    with pytest.raises(DeploymentFailed) as failed:
        deploy_stack(local_account, plan({**SHOWN, "Broken": BROKEN}), UNASKED, Seen())
    assert str(failed.value).endswith("\nThe stack is as it was before.")
    assert stack().status == "UPDATE_ROLLBACK_COMPLETE"


def test_a_bucket_is_not_replaced_by_yes_alone(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    def bucket(generation: int) -> dict[str, Any]:
        name = f"{plan({}).name}-{generation}"
        return {"Data": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}}

    deploy_stack(local_account, plan(bucket(1)), UNASKED, Seen())
    seen = Seen()
    with pytest.raises(InputError, match="Data would be replaced or removed, and hold data"):
        deploy_stack(local_account, plan(bucket(2)), UNASKED, seen)
    assert "yes: HOLDS DATA" in seen.results
    asked = dataclasses.replace(UNASKED, yes=False)
    with pytest.raises(DeploymentFailed, match="stopped"):
        deploy_stack(local_account, plan(bucket(2)), asked, Seen(answer="yes"))
    assert stack().status == "CREATE_COMPLETE"

    accepted = dataclasses.replace(UNASKED, accept_data_loss=True)
    assert deploy_stack(local_account, plan(bucket(2)), accepted, Seen())


def test_a_template_too_large_for_a_request_goes_through_a_bucket(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    large = {**SHOWN, "Large": {**topic(), "Metadata": {"Why": "x" * BODY_LIMIT_BYTES}}}
    with pytest.raises(InputError, match=r"network\.yml has more than the 51,200 bytes"):
        deploy_stack(local_account, plan(large), UNASKED, Seen())
    bucket = f"{plan({}).name}-templates"
    local_account.client("s3").create_bucket(Bucket=bucket)
    through = dataclasses.replace(UNASKED, template_bucket=bucket)
    assert deploy_stack(local_account, plan(large), through, Seen())
    assert stack().status == "CREATE_COMPLETE"
    (stored,) = local_account.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert stored["Key"].startswith("templates/")


def test_parameters_that_nobody_wrote_yet_are_named_with_their_maker(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    prefix = f"/{plan({}).name}"
    declared = {
        name: {"Type": "AWS::SSM::Parameter::Value<String>", "Default": f"{prefix}{path}"}
        for name, path in {"A": "/images/server", "B": "/network/vpc-id", "C": "/key-arn"}.items()
    }
    local_account.client("ssm").put_parameter(Name=f"{prefix}/key-arn", Value="k", Type="String")
    planned = plan({"One": topic(), "Two": {**topic(), "Condition": "Never"}}, declared=declared)
    assert missing_parameters(local_account, planned) == [
        f"{prefix}/images/server",
        f"{prefix}/network/vpc-id",
    ]
    seen = Seen()
    deploy_stack(local_account, planned, LOOK, seen)
    assert "Two       AWS::SNS::Topic  Never" in seen.results
    assert f"no parameter {prefix}/images/server yet; the builds of the images" in seen.results
    with pytest.raises(DeploymentFailed, match="stack sagemaker-mlflow-network makes it"):
        deploy_stack(local_account, planned, UNASKED, seen)
    assert stack() is None


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name s"),
        ("ROLLBACK_FAILED", "mlops platform teardown --stack network` deletes what is left"),
        ("DELETE_FAILED", "delete the stack again once that is settled"),
        ("UPDATE_IN_PROGRESS", "something else changes it now"),
    ],
)
def test_a_stack_that_takes_no_change_says_what_to_do(
    local_account: Account, plan: Callable[..., StackPlan], status: str, said: str
) -> None:
    stuck = DeployedStack(
        name="s",
        id="s/1",
        status=status,
        status_reason="The security group is in use",
        changed_at=None,  # type: ignore[arg-type]
        parameters={},
        outputs={},
        tags={},
        termination_protection=False,
    )
    planned = dataclasses.replace(plan(SHOWN), name="s", deployed=stuck)
    with pytest.raises(DeploymentFailed) as failed:
        deploy_stack(local_account, planned, LOOK, Seen())
    assert status in str(failed.value)
    assert said in str(failed.value)


def test_ctrl_c_while_a_stack_changes_says_that_it_goes_on(
    local_account: Account, plan: Callable[..., StackPlan], stack: Callable[[], Any]
) -> None:
    class Impatient(Seen):
        def progress(self, title: str) -> Any:
            raise KeyboardInterrupt

    seen = Impatient()
    with pytest.raises(KeyboardInterrupt):
        deploy_stack(local_account, plan(SHOWN), UNASKED, seen)
    assert "CloudFormation goes on with stack-" in seen.told
    local_account.client("cloudformation").get_waiter("stack_create_complete").wait(
        StackName=stack().name, WaiterConfig={"Delay": 0.05}
    )


def test_the_images_stack_says_which_bucket_takes_templates(render: Callable[..., Any]) -> None:
    outputs = render(IMAGES.template_name).template.outputs
    assert deployment.TEMPLATE_BUCKET_OUTPUT in outputs
