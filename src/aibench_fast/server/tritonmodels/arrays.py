"""Triton's tensors as NumPy arrays and back, with the NumPy that is installed.

Triton's own conversion reads an array as NumPy 1 lays it out. DLPack works with NumPy 2 alone:
Triton renames the capsule of a tensor that it took, by a name that makes NumPy 1 free it again.
"""

from typing import Any

import numpy as np
import triton_python_backend_utils as triton
from numpy.typing import NDArray

BY_DLPACK = int(np.__version__.partition(".")[0]) >= 2


def to_array(tensor: Any) -> NDArray[Any]:
    """Return the values of a tensor of a request."""
    array: NDArray[Any] = np.from_dlpack(tensor) if BY_DLPACK else tensor.as_numpy()
    return array


def to_tensor(name: str, array: NDArray[Any]) -> Any:
    """Return an array as an output of that name."""
    return triton.Tensor.from_dlpack(name, array) if BY_DLPACK else triton.Tensor(name, array)
