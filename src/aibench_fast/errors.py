"""The three kinds of error: the caller's, the server's and ours.

A message states what was given, what was found, and what to do. The command line prints it as one
line and exits with the exit code of the class.
"""

import re

MAX_MESSAGE = 4000
"""The most characters of a message."""


class AibenchError(Exception):
    """The base of every error that this package raises on purpose.

    Unprintable characters of a message, such as a line break in a name, are escaped. A message has
    at most MAX_MESSAGE characters.
    """

    exit_code = 4

    def __init__(self, message: str) -> None:
        """Take a message of one line: what was given, what was found, what to do."""
        super().__init__(shortened(escaped(message)))


def escaped(words: str) -> str:
    """Return the words as one printable line, also if they repeat untrusted text."""
    words = words.replace("\t", " ")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)


def shortened(words: str) -> str:
    """Return a message of limited length: servers may send long ones."""
    return words if len(words) <= MAX_MESSAGE else f"{words[: MAX_MESSAGE - 4]} ..."


def misread(error: Exception) -> str:
    """Describe what is wrong with a document, from the error that reading it raised."""
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, (TypeError, AttributeError)):
        return "a value is of another type than expected"
    return getattr(error, "strerror", None) or str(error)


def shown_url(url: str) -> str:
    """Return a URL for a message, without log-in and query, which may be secret."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    address = re.split("[?#]", rest, maxsplit=1)[0]
    authority, slash, path = address.partition("/")
    shown = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
    return shown if address == rest else f"{shown}?..."


class ConfigError(AibenchError):
    """The caller's error: an option, a file or a folder is not what the run needs."""

    exit_code = 2


class ServerError(AibenchError):
    """The server's error: it does not answer, refuses, or does not support the request."""

    exit_code = 3


class InternalError(AibenchError):
    """Our error: something that should not happen, worth a report to the developers."""

    exit_code = 4
