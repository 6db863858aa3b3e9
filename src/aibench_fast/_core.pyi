import numpy as np
from numpy.typing import NDArray

# Photographs to tensors.

def convert_u8_to_f32(
    src: NDArray[np.uint8], out: NDArray[np.float32], scale: float, offset: float
) -> None: ...
def area_scale_rgb(src: NDArray[np.uint8], out: NDArray[np.uint8]) -> None: ...
