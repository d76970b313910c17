"""What goes wrong, by who is told.

AwsError                    an AWS API call is refused: the error answer of the call's protocol
LocalAwsError               the person at the terminal is told; the CLI exits with `exit_code`
├── CommandFailed     1-3   a command of the project failed; its last lines are the cause, its
│                           exit code is ours
├── DeploymentFailed  1     a stack rolled back; its events' reasons are the cause
├── NotApproved       1     the person said no
├── UsageError        2     wrong input, or the state doesn't allow it (runs already, doesn't run)
└── StartFailed       3     a server that local_aws needs did not come up
"""


class AwsError(Exception):
    """An AWS error answer: `code` as AWS names it, the message, the HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class LocalAwsError(Exception):
    """Base of what the CLI tells the person who called it."""

    exit_code = 1


class CommandFailed(LocalAwsError):
    """A command of the project ended with an exit code other than 0.

    What it says of the cause is passed on: 2 wrong input, 3 AWS or MLflow refused, 4 the
    registry is not settled; else 1.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code if exit_code in (2, 3, 4) else 1


class DeploymentFailed(LocalAwsError):
    """A stack did not come to its new state."""


class NotApproved(LocalAwsError):
    """The person who was asked for approval said no."""


class UsageError(LocalAwsError):
    """The arguments, or the state they meet, are wrong."""

    exit_code = 2


class StartFailed(LocalAwsError):
    """A server that local_aws needs did not become ready."""

    exit_code = 3
