"""The exceptions that end a program with a line and a status: a user's mistake, and what ends a run from outside."""


class UserError(ValueError):
    """A mistake of the user's: a bad flag, missing data, a run that does not fit.

    Its message is one line: what was expected, what was received and, where it helps, what to do.
    The doors print it on standard error and exit with status 2.
    """


class RunEnded(Exception):
    """A run that ends before its last step, by no mistake of the user's, and can go on.

    Args:
        message: one line for the user.
        status: what the program exits with.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StoppedBySignal(RunEnded):
    """It was told to end, and has saved what it did. The status is that by which shells know the signal."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message, 128 + number)


class WorkerLost(RunEnded):
    """One of several workers does not answer any more. The status is the system's for what may work another time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 75)  # EX_TEMPFAIL of sysexits.h
