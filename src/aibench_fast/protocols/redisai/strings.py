"""Tensors of strings as RedisAI takes them, from 1.2.5 on: each string with a NUL behind it."""

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.session import AskedInput
from aibench_fast.tensortype import STRINGS, split_strings

STRING_DTYPE = "STRING"
UNKNOWN_DTYPE = "invalid data type"
SHOWN_BYTES = 60


def their_dtype(dtype: str) -> str:
    """RedisAI's name of one of tensortype.DTYPES."""
    return STRING_DTYPE if dtype == STRINGS else dtype


def our_dtype(dtype: str) -> str:
    """Our name of a type that RedisAI names."""
    return STRINGS if dtype == STRING_DTYPE else dtype


def blob_of(one: AskedInput, tensor: bytes) -> bytes:
    """Return the bytes of an input's tensor; ConfigError where a string has a NUL in it."""
    if one.dtype != STRINGS:
        return tensor
    strings = split_strings(tensor)
    for string in strings:
        if b"\0" in string:
            raise ConfigError(
                f"input {one.name or ''}: {string[:SHOWN_BYTES]!r} has a NUL, which ends a string "
                "in RedisAI; leave it out"
            )
    return b"".join(string + b"\0" for string in strings)


def unknown(error: ServerError) -> ServerError | None:
    """Return a clearer error if the server has no tensors of strings; otherwise None."""
    if UNKNOWN_DTYPE not in str(error):
        return None
    return ServerError(f"{error}; RedisAI knows {STRING_DTYPE} tensors from 1.2.5 on")
