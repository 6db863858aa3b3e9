"""The three kinds of error, by whose they are.

A message names what was asked, what was found, and what to do about it. The command line prints
it as one line and leaves with the class's exit code.
"""


class AibenchError(Exception):
    """The base of every error that this package raises on purpose."""

    exit_code = 4


class ConfigError(AibenchError):
    """The caller's: an option, a file or a folder is not what the run needs."""

    exit_code = 2


class ServerError(AibenchError):
    """The server's: it is not there, refused, or does not know what it was asked."""

    exit_code = 3


class InternalError(AibenchError):
    """Ours: something that should not happen, worth a report to the developers."""

    exit_code = 4
