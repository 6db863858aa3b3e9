"""The three kinds of error, by whose they are.

A message names what was asked, what was found, and what to do about it. The command line prints
it as one line and leaves with the class's exit code.
"""

import re

MAX_MESSAGE = 4000
"""Characters of an error's message."""


class AibenchError(Exception):
    """The base of every error that this package raises on purpose.

    What is not printable in a message, such as a line's end in a name that it repeats, is escaped;
    a message has at most MAX_MESSAGE characters.
    """

    exit_code = 4

    def __init__(self, message: str) -> None:
        """Say what was asked, what was found and what to do, in one line."""
        super().__init__(shortened(escaped(message)))


def escaped(words: str) -> str:
    """One line of printable words, where what they repeat was written by anyone."""
    words = words.replace("\t", " ")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words)


def shortened(words: str) -> str:
    """A message of bounded length: a server may have a great deal to say."""
    return words if len(words) <= MAX_MESSAGE else f"{words[: MAX_MESSAGE - 4]} ..."


def misread(error: Exception) -> str:
    """Say what is wrong with a document, from the error that reading it raised."""
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, (TypeError, AttributeError)):
        return "a value is of another type than expected"
    return str(error)


def shown_url(url: str) -> str:
    """A URL as a message may repeat it: without a log-in or a query, which may be secret."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    address = re.split("[?#]", rest, maxsplit=1)[0]
    authority, slash, path = address.partition("/")
    shown = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
    return shown if address == rest else f"{shown}?..."


class ConfigError(AibenchError):
    """The caller's: an option, a file or a folder is not what the run needs."""

    exit_code = 2


class ServerError(AibenchError):
    """The server's: it is not there, refused, or does not know what it was asked."""

    exit_code = 3


class InternalError(AibenchError):
    """Ours: something that should not happen, worth a report to the developers."""

    exit_code = 4
