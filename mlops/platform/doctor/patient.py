"""What a check is given: the account, MLflow, the choices of the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlops.platform.doctor.account_view import AccountView
from mlops.platform.doctor.finding import Finding
from mlops.platform.stacks import MLFLOW, DeployedStack


class CannotLook(Exception):
    """A check ends early: `finding` is all that it can say."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True, kw_only=True)
class Project:
    """A stack of infra/project/project.yml and the project that it says it is of."""

    name: str
    id: str
    stack: DeployedStack


def read_project(stack: DeployedStack) -> Project | None:
    """The stack's project, whether a person, Studio or Service Catalog made it; else None."""
    if not stack.is_project:
        return None
    return Project(
        name=stack.parameters["SageMakerProjectName"],
        id=stack.parameters["SageMakerProjectId"],
        stack=stack,
    )


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The command line, and what of the environment concerns MLflow's clients."""

    project: str = ""
    expected_account: str = ""
    tracking_uri: str = ""
    template_bucket: str = ""
    domain: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Patient:
    """All that a check looks at; checks share it and change nothing in it."""

    account: AccountView
    choices: Choices
    say: Callable[[str], None] = lambda _: None  # how far a slow check is

    def projects(self) -> tuple[Project, ...]:
        """The projects that are deployed; with `--project`, that one only."""
        found = (read_project(stack) for stack in self.account.stacks().values())
        return tuple(
            project for project in found if project and self.choices.project in ("", project.name)
        )

    def no_projects(self) -> str:
        """Why there is nothing to say of projects."""
        wanted = self.choices.project
        return f"no stack of project {wanted}" if wanted else "no project has been deployed"

    def tracking_uri(self) -> str:
        """Where the projects' MLflow is; empty if nothing says it."""
        return self.choices.tracking_uri or self.account.parameters().get("tracking-uri", "")

    def runs_own_server(self) -> bool:
        """Whether MLflow is, or is to be, the stack of mlflow.yml.

        Not when it is SageMaker's, or when somebody else runs it and only its address is known.
        """
        if MLFLOW.name in self.account.stacks():
            return True
        return not self.tracking_uri()
