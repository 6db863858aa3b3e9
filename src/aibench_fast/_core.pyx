"""The client core as Python sees it."""


# Photographs to tensors.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef extern from "convert.h":
    void c_convert_u8_to_f32 "convert_u8_to_f32"(
        const uint8_t *src, float *out, size_t n, float scale, float offset) nogil

cdef extern from "area.h":
    int c_area_scale_rgb "area_scale_rgb"(
        const uint8_t *src, size_t in_width, size_t in_height,
        uint8_t *out, size_t out_width, size_t out_height) nogil


def convert_u8_to_f32(const uint8_t[::1] src, float[::1] out, float scale, float offset):
    """Fill `out` with `src * scale + offset`; ValueError where their lengths differ."""
    if src.shape[0] != out.shape[0]:
        raise ValueError(f"{src.shape[0]} values do not fill an array of {out.shape[0]}")
    if src.shape[0] == 0:
        return
    with nogil:
        c_convert_u8_to_f32(&src[0], &out[0], src.shape[0], scale, offset)


def area_scale_rgb(const uint8_t[:, :, ::1] src, uint8_t[:, :, ::1] out):
    """Fill `out` with `src` scaled by area averaging; both height x width x 3.

    ValueError where a picture is empty or has not 3 channels.
    """
    cdef int status
    if 0 in (src.shape[0], src.shape[1], out.shape[0], out.shape[1]):
        raise ValueError("a picture has no pixels")
    if src.shape[2] != 3 or out.shape[2] != 3:
        raise ValueError(f"pictures have {src.shape[2]} and {out.shape[2]} channels, 3 are needed")
    with nogil:
        status = c_area_scale_rgb(
            &src[0, 0, 0], src.shape[1], src.shape[0], &out[0, 0, 0], out.shape[1], out.shape[0])
    if status != 0:
        raise MemoryError(f"no memory to scale a picture {src.shape[1]} pixels wide")
