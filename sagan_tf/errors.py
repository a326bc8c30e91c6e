"""The exceptions that end a program with a line and a status: a user's mistake, and a signal."""


class UserError(ValueError):
    """A mistake of the user's: a bad flag, missing data, a run that does not fit.

    Its message is one line: what was expected, what was received and, where it helps, what to do.
    The doors print it on standard error and exit with status 2.
    """


class StoppedBySignal(Exception):
    """A run that was told to end, and has saved what it did.

    Args:
        number: of the signal.
        message: one line for the user.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + number
        """The exit status by which shells and schedulers know the signal."""
