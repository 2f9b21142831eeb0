"""The one error a user can cause."""


class UserError(Exception):
    """One clear sentence for the user: what is wrong, where, and how to mend it.

    The command line prints it without a traceback and exits with code 2.
    """


class SaidElsewhere(UserError):
    """An error that another process of the same run reports; this one only has to end."""
