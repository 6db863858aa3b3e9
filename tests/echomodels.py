"""Models that answer what they are asked, for real servers: of one datatype, and of several.

Each input goes to the output of its place, through the server's own array of that datatype.
"""

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import numpy.typing as npt

from aibench_fast.tensortype import joined_strings

NUMPY_TYPES = {
    "FP16": "<f2", "BF16": ml_dtypes.bfloat16, "FP32": "<f4", "FP64": "<f8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "BOOL": "?",
}  # fmt: skip
"""By the protocol's names."""
VALUES = 6
WORDS = ("word", "caf\u00e9", 'a "quote"', "back\\slash", "line\n", "\U0001f600", "")
Models = Mapping[str, tuple[str, ...]]
"""By name the datatypes of a model's inputs x0, x1 and so on, all of any rows of VALUES."""
MODELS: Models = {
    **{datatype.lower(): (datatype,) for datatype in NUMPY_TYPES if datatype != "BF16"},
    "several": ("INT64", "BOOL", "FP32"),
    "words": ("BYTES", "INT16"),
}
TRITON_MODELS: Models = {
    "fp32": ("FP32",),
    "halves": ("FP16", "BF16"),
    "several": tuple(datatype for datatype in NUMPY_TYPES if datatype not in ("FP16", "BF16")),
    "words": ("BYTES", "INT16"),
}
"""Few, for each is a process of its own; JSON has no form for its halves."""


def in_memory(array: "npt.NDArray[np.generic]") -> bytes:
    """The bytes of a tensor as we have it; strings may be `str`, as a client reads them in JSON."""
    if array.dtype != object:
        return array.tobytes()
    return joined_strings(one.encode() if isinstance(one, str) else one for one in array.ravel())


def described(letter: str, datatypes: tuple[str, ...]) -> list[dict[str, object]]:
    """Inputs, x, or outputs, y, as a server describes them."""
    return [
        {"name": f"{letter}{place}", "datatype": datatype, "shape": [-1, VALUES]}
        for place, datatype in enumerate(datatypes)
    ]


def outputs_of(datatypes: tuple[str, ...]) -> list[dict[str, object]]:
    """A model's outputs. With strings they have the names of the inputs: DLPack has no strings, so
    that Triton's model hands the tensor back as it came.
    """
    return described("x" if "BYTES" in datatypes else "y", datatypes)


def drawn(datatype: str, rows: int, seed: int) -> "npt.NDArray[np.generic]":
    """Any values of a datatype but NaN and infinities, which not every form has."""
    random = np.random.default_rng(seed)
    if datatype == "BYTES":
        words = [WORDS[random.integers(len(WORDS))] * number for number in range(rows * VALUES)]
        return np.array([word.encode() for word in words], object).reshape(rows, VALUES)
    dtype = np.dtype(NUMPY_TYPES[datatype])
    if dtype.kind == "b":
        return random.random((rows, VALUES)) < 0.5
    found = np.frombuffer(random.bytes(rows * VALUES * dtype.itemsize), dtype)
    if dtype.kind not in "iu":
        found = np.where(np.isfinite(found), found, dtype.type(0))
    return found.reshape(rows, VALUES)
