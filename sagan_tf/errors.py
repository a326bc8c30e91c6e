"""Exceptions that end a program with one line on standard error and an exit status."""


class UserError(ValueError):
    """An error of the user, such as a bad flag or missing data.

    The message is one line. It says what was expected, what was received and, where it helps, what to do. The
    commands print it on standard error and exit with status 2.
    """


class CommandEndedError(Exception):
    """The end of a command with an exit status other than 0, without an error of the user.

    Args:
        message: One line for the user.
        status: The exit status of the program.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RunEndedError(CommandEndedError):
    """The end of a run before its last step. The run can be resumed."""


class StoppedBySignalError(RunEndedError):
    """The end of a run that saved its state after a signal.

    The exit status is the one that shells use for the signal.

    Args:
        number: The number of the signal.
        message: One line for the user.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message, 128 + number)


class WorkerLostError(RunEndedError):
    """The end of a run in which another worker no longer answers.

    The exit status says that a later attempt may succeed.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, 75)  # EX_TEMPFAIL of sysexits.h
