"""What goes wrong, by who is told.

AwsError                    an AWS API call is refused: the error answer of the call's protocol
LocalAwsError               the person at the terminal is told; the CLI exits with `exit_code`
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


class UsageError(LocalAwsError):
    """The arguments, or the state they meet, are wrong."""

    exit_code = 2


class StartFailed(LocalAwsError):
    """A server that local_aws needs did not become ready."""

    exit_code = 3
