"""The one exception that a user's mistake raises."""


class UserError(ValueError):
    """A mistake of the user's: a bad flag, missing data, a run that does not fit.

    Its message is one line: what was expected, what was received and, where it helps, what to do.
    The doors print it on standard error and exit with status 2.
    """
